"""Lines of CSV, and the tutorial's table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pipeline.records import RecordingCount
from pipeline.tables.cell_text import guard_path

TUTORIAL_COLUMNS = ["recording", "capuchin_calls"]


def csv_line(values: Sequence[str]) -> str:
    r"""Values as a line of CSV (RFC 4180 quoting, a plain newline at the end).

    >>> csv_line(["a, b", "c"])
    '"a, b",c\n'
    """
    buffer = io.StringIO()
    # The writer quotes what holds a character of its line end: a carriage return, too.
    csv.writer(buffer, lineterminator="\r\n").writerow(values)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def tutorial_cells(row: RecordingCount) -> list[str]:
    """A row of the tutorial's table. A recording that failed keeps an empty count."""
    count = "" if row.call_count is None else str(row.call_count)
    return [guard_path(row.recording), count]
