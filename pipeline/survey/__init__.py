"""What a survey says of its birds: calls with what people heard, by site and time.

Imports ``tables``, ``inputs`` and the modules that lie directly in ``pipeline``; no Beam.

- ``labels``: labels.csv. ``findings``: recordings with the model's calls and people's labels.
- ``histories``: calls and effort by site and visit.
- ``recorders``: how each recorder did, and what is wrong with its clock.
"""
