"""What is done: an entry for each recording, the scores it was counted from, and drift.

Imports ``inference``, ``inputs``, ``storage`` and the modules that lie directly in ``pipeline``.
``entries``, ``kept_scores`` and ``drift`` are pure; only ``transforms`` imports Beam.
"""
