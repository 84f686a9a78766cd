"""Make report.html from the tables of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.commands import add_speech, check_speech
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird report",
        example="report results",
        description="Make report.html, one file to look at and listen to, from the tables of a run."
        " Start it where the run was started if the recordings' names are relative.",
    )
    result.add_argument("output", metavar="OUTPUT", help="the folder that --output named")
    add_speech(result)
    return result


def main(argv: Sequence[str]) -> int:
    """Makes the page. Returns 0; no tables there: UsageError."""
    arguments = parser().parse_args(argv)
    from pipeline.report.page import write_page

    check_speech(arguments.speech)
    try:
        print(write_page(arguments.output, arguments.speech))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "no counts.csv of a run lies there" if missing else error
        raise UsageError(f"{arguments.output}: {reason}") from None
    return 0
