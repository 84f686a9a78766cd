"""Which recordings there are, and where and when each was made.

Patterns, manifests, deployment tables and what recorders note in headers and file names. Imports
``storage`` and the modules that lie directly in ``pipeline``; only ``transforms`` imports Beam.
"""
