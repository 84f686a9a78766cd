"""Say what counting would take and cost; start nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.commands import count


def main(argv: Sequence[str]) -> int:
    """Takes the flags of ``count``. Returns an exit code, see ``options.EXIT_CODES``."""
    return count.main([*argv, "--plan"])
