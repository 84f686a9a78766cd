"""The pages to look at and listen to: read the tables, choose calls, draw, render.

Imports ``tables``, ``storage`` and ``model``; no Beam, and matplotlib only for the colours.

- ``page``: report.html, from an output folder to the finished file.
- ``review``: a folder of clips for a person to correct and a training to read.
- ``dictionary``: docs/outputs.md, the meaning of every column.
- ``choose``: which calls and recordings are shown when there are too many.
- ``activity``: calls for each hour recorded.
- ``charts``, ``spectrograms``: what is drawn. ``html``: how ``templates/`` are filled in.
"""
