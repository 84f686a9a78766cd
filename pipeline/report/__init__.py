"""The page to look at and listen to, report.html, and the parts of pages that other rooms use.

Imports ``exports``, ``survey``, ``tables``, ``inputs``, ``storage`` and ``model``; no Beam, and
matplotlib only for the colours.

- ``page``: report.html, from an output folder to the finished file.
- ``choose``: which calls and recordings are shown when there are too many.
- ``activity``, ``sun``: calls for each hour recorded, and when the sun rises and sets.
- ``verified``: what people's labels say of the run.
- ``charts``, ``spectrograms``: what is drawn. ``html``: how ``templates/`` are filled in.
- ``speech``: people's voices in clips, marked or silenced.
- ``dictionary``: docs/outputs.md, the meaning of every column.
"""
