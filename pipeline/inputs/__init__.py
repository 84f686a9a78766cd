"""The recordings of a run, with the place and time of each.

Patterns, manifests, deployment tables, and recorders' notes in headers and file names. Imports
``storage``, ``model`` and the modules that lie directly in ``pipeline``. Only ``transforms``
imports Beam.
"""
