"""The page to look at and listen to: read the tables, choose calls, draw, render.

Imports ``tables``, ``storage`` and ``model``. No Beam, and matplotlib only for the colours.
"""
