"""Rows as lines of CSV."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pipeline.records import Outcome, RecordingCount, Row
from pipeline.tables.cell_text import guard_path, guard_text


def csv_line(values: Sequence[str]) -> str:
    """Values as a line of CSV (RFC 4180 quoting, a plain newline at the end)."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def tutorial_cells(row: RecordingCount) -> list[str]:
    """A row of the tutorial's table. A recording that failed keeps an empty count."""
    count = "" if row.call_count is None else str(row.call_count)
    return [guard_path(posixpath.basename(row.recording)), count]


TUTORIAL_COLUMNS = ["recording", "capuchin_calls"]


def is_failure(row: RecordingCount) -> bool:
    """Whether someone should look at the file: not counted, or not in full."""
    return row.outcome in (Outcome.FAILED.value, Outcome.TRUNCATED.value)


def cells(row: Row) -> list[str]:
    """A row as text, empty where a value is unknown."""
    return [_cell(f.name, getattr(row, f.name), f.metadata["digits"]) for f in fields(row)]


def _cell(name: str, value: Any, digits: int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return guard_path(value) if name == "recording" else guard_text(value)
    # Adding 0 turns what rounds to -0 into 0.
    return f"{round(value, digits) + 0.0:.{digits}f}" if digits is not None else str(value)
