"""Counts calls in archives of recordings: an Apache Beam job and the commands around it.

Directly in this package is what everyone shares or what a run starts with; everything else has a
room. Imports run downwards only: ``__main__``, ``commands``, ``launch``, ``job``, ``preflight``,
``plan`` and ``rerun``, ``run``, ``review``, ``report``, what writes ``tables``, ``exports``,
``survey``, what a table is, ``ledger``, ``inference``, ``inputs``; then ``beam_options`` and
``progress``, ``storage``, and last ``runtime``, ``options`` and ``records``.
"""

__version__ = "0.1.0"
