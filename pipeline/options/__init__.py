"""The command line, checked before anything heavy is imported.

- ``command``: flags from dataclasses, which declare each one once.
- ``values``: what a word is turned into.
- ``config``: what may be asked of a count, and of whatever counts.
- ``console``: what is printed at the end.
- ``extras``: what to install where a package is missing.

Imports nothing of ``pipeline`` but itself.
"""

from pipeline.options.command import COMMANDS, EXIT_CODES, Command, Flag, UsageError, flag, refusing
from pipeline.options.config import COUNT, FORMATS, RELEASED_MODEL, Config, count_command, parse
from pipeline.options.console import remark, say

__all__ = [
    "COMMANDS", "COUNT", "EXIT_CODES", "FORMATS", "RELEASED_MODEL", "Command", "Config", "Flag",
    "UsageError", "count_command", "flag", "parse", "refusing", "remark", "say",
]  # fmt: skip
