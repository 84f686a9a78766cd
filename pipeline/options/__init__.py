"""The command line, checked before anything heavy is imported.

- ``command``: flags from dataclasses, which declare each one once.
- ``values``: from a word to a value.
- ``config``: the flags of a count, and of whatever counts.
- ``console``: what a command prints, for people and for scripts.
- ``extras``: which extra to install where a package is missing.

Imports nothing of ``pipeline`` but itself.
"""

from pipeline.options.command import COMMANDS, EXIT_CODES, Command, Flag, UsageError, flag, refusing
from pipeline.options.config import COUNT, FORMATS, RELEASED_MODEL, Config, count_command, parse
from pipeline.options.console import remark, say

__all__ = [
    "COMMANDS", "COUNT", "EXIT_CODES", "FORMATS", "RELEASED_MODEL", "Command", "Config", "Flag",
    "UsageError", "count_command", "flag", "parse", "refusing", "remark", "say",
]  # fmt: skip
