"""Which recordings there are, and where and when each was made.

Patterns, manifests, deployment tables and what recorders note in headers and file names. Imports
``storage``, ``model`` and the modules that lie directly in ``pipeline``. Only ``transforms``
imports Beam, and ``versions`` for a file that is neither on a disk nor in gs://.
"""
