"""From rows to tables: CSV, Parquet and BigQuery; and back.

The room has two floors. Below ``survey`` and ``exports`` lies what a table is; it imports
``ledger``, ``inputs``, ``storage`` and the modules that lie directly in ``pipeline``:

- ``schema``, ``rows``: what a column is, and what a row says.
- ``csv_text``, ``cell_text``, ``parquet``: rows as the bytes of a file.
- ``read``: the tables of an output folder as the rows that were written.

Above them lies what writes the tables of an output, those for other programs included:

- ``render``: every table of an output, file by file. ``pieces``: of one part. ``join``: of all.
- ``unchanged``: which files already hold what would be written.
- ``run_report``: run.json. ``bigquery``: a night's partition of each table in BigQuery.
- ``transforms``: wires these. Only this module and ``bigquery`` import Beam.
"""
