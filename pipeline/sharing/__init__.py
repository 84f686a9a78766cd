"""Runs that share the recordings of one output out: as processes here, or on several machines.

How many there are is decided here, they are started and joined here, and here is told where they
stand. May import ``run`` and everything below it. What a share is, and its record, are in
``ledger.shares``.
"""
