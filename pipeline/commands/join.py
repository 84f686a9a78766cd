"""Make the tables, run.json and the page of recordings that were counted in shares (count --share),
add up what the shares have done, and say which are missing: then it exits with 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.commands import OutputFlags
from pipeline.options import Command

COMMAND = Command("join", OutputFlags, __doc__, ("join results",))


def main(argv: Sequence[str]) -> int:
    """Joins. Returns an exit code, see ``options.EXIT_CODES``."""
    flags = COMMAND.parse(argv)
    from pipeline.sharing.join import join_output

    return join_output(flags.output)
