"""Print docs/outputs.md: the meaning of every column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.options import Command, say


@dataclass(frozen=True)
class Flags:
    """The flags: none."""


COMMAND = Command(
    "columns",
    Flags,
    "Print the meaning of every column of every table, as docs/outputs.md has it.",
    ("columns",),
)


def main(argv: Sequence[str]) -> int:
    """Prints the document. Returns 0."""
    COMMAND.parse(argv)
    from pipeline.report.dictionary import document

    say(document().removesuffix("\n"))
    return 0
