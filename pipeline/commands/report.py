"""Make report.html, one file to look at and listen to, from the tables of a run. Start it where the
run was started if the recordings' names are relative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import SPEECH, OutputFlags, Speech, check_speech
from pipeline.options import Command, UsageError, flag, say


@dataclass(frozen=True, kw_only=True)
class Flags(OutputFlags):
    """The flags."""

    speech: Speech = flag(SPEECH, default="")


COMMAND = Command("report", Flags, __doc__, ("report results",))


def main(argv: Sequence[str]) -> None:
    """Makes the page. UsageError: no tables there."""
    flags = COMMAND.parse(argv)
    from pipeline.report.page import write_page

    check_speech(flags.speech)
    try:
        page = write_page(flags.output, flags.speech)
        say(page, report=page)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "no counts.csv of a run lies there" if missing else error
        raise UsageError(f"{flags.output}: {reason}") from None
