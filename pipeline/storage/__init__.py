"""Bytes here and in buckets: list, open, read, write whole, delete.

Knows paths, URIs and Google Cloud Storage, and nothing of recordings or tables. Imports ``model``
only; no Apache Beam until a URI is opened that is not local.
"""
