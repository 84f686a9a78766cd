"""Questions about a row: outcome, order, valid time, start."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pipeline.records import ActivityHour, Outcome, RecordingCount, Row, VerifiedCount

SHORTEST_S = 1.0
"""Shorter recordings are no effort."""

OUTCOME_WORDS = {
    Outcome.OK.value: "with calls",
    Outcome.NO_CALLS.value: "without calls",
    Outcome.TRUNCATED.value: "cut short",
    Outcome.COPY.value: "copies",
    Outcome.FAILED.value: "failed",
}
"""Outcomes in words."""


def was_counted(row: RecordingCount) -> bool:
    """Whether the recording has a count."""
    return row.outcome not in (Outcome.FAILED.value, Outcome.COPY.value)


def is_failure(row: RecordingCount) -> bool:
    """Whether the file needs a person's attention: failed or truncated."""
    return row.outcome in (Outcome.FAILED.value, Outcome.TRUNCATED.value)


def row_order(row: Row) -> tuple[Any, ...]:
    """The order of rows in every table: by recording or site, then by time."""
    if isinstance(row, ActivityHour):
        return row.site, row.date, row.hour
    if isinstance(row, VerifiedCount):
        return row.scope, row.site
    return row.recording, getattr(row, "start_s", 0.0)


def sound_share(row: RecordingCount) -> float:
    """Share of the decoded time without silence of the equipment and dropouts, 0 to 1.

    None of a recording that is shorter than any call: a recorder that fails to start leaves these.
    """
    if (row.heard_s or 0) < SHORTEST_S:
        return 0.0
    return 1 - min(1.0, (row.silent_share or 0) + (row.dropout_share or 0))


def valid_s(row: RecordingCount) -> float:
    """Decoded seconds without silence of the equipment and dropouts."""
    return (row.heard_s or 0) * sound_share(row)


def local_start(row: RecordingCount) -> datetime | None:
    """Start of the recording by the clock on site; None if unknown."""
    if not row.recorded_local:
        return None
    return datetime.fromisoformat(row.recorded_local).replace(tzinfo=None)
