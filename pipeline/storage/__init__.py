"""Bytes here and in buckets: list, open, read, write whole, delete.

Knows paths, URIs and Google Cloud Storage, and nothing of recordings or tables. Imports ``model``
and ``options``; no Apache Beam.
"""
