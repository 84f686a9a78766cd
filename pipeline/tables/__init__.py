"""From rows to tables: CSV, Parquet, BigQuery and the formats of other programs; and back.

Imports ``inference``, ``inputs``, ``storage`` and the modules that lie directly in ``pipeline``.
Only ``transforms`` and ``bigquery`` import Beam.

- ``schema``, ``rows``: what a column is, and what a row says. ``activity``: effort by hour.
- ``csv_text``, ``cell_text``, ``parquet``, ``tool_formats``: rows as the bytes of a file.
- ``render``: every table of an output, file by file.
- ``transforms``, ``unchanged``: which files a run writes, and which it leaves as they are.
- ``read``: the tables of an output folder as the rows that were written.
- ``run_report``: run.json. ``bigquery``: a night's partition of each table in BigQuery.
"""
