"""What is to be done, and what runs say to one another about it.

Imports ``store``, ``inference``, ``inputs``, ``storage`` and the modules that lie directly in
``pipeline``; only ``transforms`` imports Beam.

- ``runs``: notes of runs. ``shares``: how a listing is cut, and what each share has done.
- ``nights``, ``sites``: what people stated once. ``identity``, ``known_copies``: which recordings
  may be added. ``drift``: whether scores are spread as usual. ``left_behind``: what is removed.
"""
