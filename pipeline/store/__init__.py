"""What an output keeps of each part: the only reader and writer of that.

Imports ``inference``, ``inputs``, ``storage`` and the modules that lie directly in ``pipeline``;
no Beam.

- ``parts``: which recordings lie together, and where. ``moves``: where they lay before.
- ``entries``: what was counted. ``scores``: from what. ``sums``: entries added up.
- ``part_file``: what the tables show of a part.
- ``ledger``: the entry that holds for each recording. ``traces``: how moved ones are recognised.
"""
