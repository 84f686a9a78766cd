"""Results to browse on one's own machine: the page, every call, any recording, answers kept.

- ``pages``: what is shown: a path and its query → HTML, a picture or a sound.
- ``answers``: what the visitor says of calls, kept as a table of labels.
- ``server``: the HTTP around them, for this machine alone.

Imports ``report``, ``survey`` and what these import.
"""
