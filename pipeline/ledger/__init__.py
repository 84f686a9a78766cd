"""What is done: an entry for each recording, the scores it was counted from, and drift.

Imports ``inference``, ``inputs``, ``storage`` and the modules that lie directly in ``pipeline``.
A ``Ledger`` reads what all runs have kept; ``RunNotes`` are what one says to the others.
``entries``, ``kept_scores`` and ``drift`` are pure; only ``transforms`` imports Beam.
"""
