"""Counts calls in archives of recordings: an Apache Beam job and the commands around it.

Directly in this package is what everyone shares or what a run starts with; everything else has a
room. Imports run downwards only: ``__main__``, ``commands``, ``launch``, ``job``, ``preflight`` and
``plan``, ``report``, ``tables``, ``ledger``, ``inference``, ``inputs``, ``storage``; then
``model_folder``, ``beam_options``, ``progress``, ``memory``, ``options`` and ``records``.
"""

__version__ = "0.1.0"
