"""From rows to tables: CSV, Parquet and BigQuery; and back.

Imports ``ledger``, ``store``, ``inputs``, ``storage`` and the modules that lie directly in
``pipeline``; only ``bigquery`` imports Beam.

- ``schema``, ``rows``: what a column is, and what a row says. ``activity``: rows by site and hour.
- ``csv_text``, ``cell_text``, ``parquet``: rows as the bytes of a file.
- ``bigquery``: a night's partition of each table in BigQuery.
- ``read``: the tables of an output folder as the rows that were written.
"""
