"""Make the tables of recordings that were counted in shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import EarlierOutput
from pipeline.options import Command


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    output: EarlierOutput


COMMAND = Command(
    "join",
    Flags,
    "Make the tables, run.json and the page of recordings that were counted in shares (count "
    "--share), add up what the shares have done, and say which are missing: then it exits with 1.",
    ("join results",),
)


def main(argv: Sequence[str]) -> int:
    """Joins. Returns an exit code, see ``options.EXIT_CODES``."""
    flags = COMMAND.parse(argv)
    from pipeline.sharing.join import join_output

    return join_output(flags.output)
