"""From rows to tables: CSV, Parquet, BigQuery and the formats of other programs; and back.

Imports ``inputs``, ``storage`` and the modules that lie directly in ``pipeline``. Only
``transforms`` and ``bigquery`` import Beam.
"""
