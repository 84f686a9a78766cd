"""From a recording to its count: decode, score, count.

Imports ``inputs``, ``storage``, ``model`` (never ``model.training``) and the modules that lie
directly in ``pipeline``. ``decode`` and ``count`` are pure; ``score`` and ``transforms`` use Beam.
"""
