"""Print the meaning of every column of every table, as docs/outputs.md has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.options import Command, flag, say


@dataclass(frozen=True)
class Flags:
    """The flags."""

    recorders: bool = flag(
        "print docs/recorders.md: which names, headers and files of recorders are understood",
        default=False,
    )


COMMAND = Command("columns", Flags, __doc__, ("columns", "columns --recorders"))


def main(argv: Sequence[str]) -> None:
    """Prints the document."""
    flags = COMMAND.parse(argv)
    from pipeline.report import dictionary, understood

    text = understood.recorders_document() if flags.recorders else dictionary.document()
    say(text.removesuffix("\n"))
