"""The end of a run: every table of the output made from the store, and run.json.

Imports ``exports``, ``survey``, ``tables`` and everything below them; only ``transforms`` imports
Beam.

- ``render``: every table, file by file. ``part_tables``: of one part. ``join``: of all.
- ``finish``: tables joined, run.json (``run_report``) written. ``transforms``: wires these.
"""
