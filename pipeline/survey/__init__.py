"""What a survey says of its birds: calls with what people heard, by site and time.

Imports ``tables.schema``, ``read`` and their like (not what writes an output), ``inputs`` and the
modules that lie directly in ``pipeline``; no Beam.

- ``labels``: labels.csv. ``findings``: recordings with the model's calls and people's labels.
- ``activity``: calls and effort by site, date and hour. ``histories``: by site and visit.
- ``recorders``: how each recorder did, and what is wrong with its clock.
"""
