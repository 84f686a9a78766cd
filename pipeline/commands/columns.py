"""Print docs/outputs.md: the meaning of every column."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.options import Parser


def parser() -> Parser:
    """The flags: none."""
    return Parser(
        prog="capuchinbird columns",
        example="columns",
        description="Print the meaning of every column of every table, as docs/outputs.md has it.",
    )


def main(argv: Sequence[str]) -> int:
    """Prints the document. Returns 0."""
    parser().parse_args(argv)
    from pipeline.report.dictionary import document

    print(document(), end="")
    return 0
