"""From a recording to its count: decode, score, count.

Imports ``inputs``, ``storage``, ``model`` (never ``model.training``) and the modules that lie
directly in ``pipeline``. Only ``transforms`` imports Beam.
"""
