"""Calls for each recorded hour: by hour of the day, by date and by site."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.records import ActivityHour, RecordingCount
from pipeline.tables.rows import valid_s, was_counted

MOST_DAYS = 62
"""With more dates than this, a column is a month."""


@dataclass(frozen=True)
class Activity:
    """Calls and validly recorded seconds in one hour of the day, on one date or at one site."""

    label: str
    calls: int
    valid_s: float

    @property
    def calls_per_hour(self) -> float | None:
        """Calls for each recorded hour; None without any."""
        return self.calls / self.valid_s * 3600 if self.valid_s else None


def by_hour(hours: Iterable[ActivityHour]) -> tuple[Activity, ...]:
    """24 hours of the day, by the clock on site."""
    return _sum_up(
        [f"{hour:02d}" for hour in range(24)],
        ((f"{row.hour:02d}", row.calls, row.recorded_h * 3600) for row in hours),
    )


def shade(activity: Activity, highest: float) -> str:
    """The style of a cell: ``absent``, or ``l0`` for no call to ``l5`` for the highest rate."""
    rate = activity.calls_per_hour
    if rate is None:
        return "absent"
    if not rate or not highest:
        return "l0"
    # Floats: five times a rate by itself may be a trifle more than 5.
    return f"l{min(5, max(1, math.ceil(5 * rate / highest - 1e-9)))}"


@dataclass(frozen=True)
class HeatMap:
    """Activity by date and hour of the day.

    Attributes:
        columns: all dates, or months, from the first to the last, with or without recordings.
        cells: for each of 24 hours, one for each column.
    """

    columns: tuple[Activity, ...]
    cells: tuple[tuple[Activity, ...], ...]

    @property
    def busiest(self) -> tuple[int, Activity]:
        """The hour and the cell with the most calls for each recorded hour."""
        every = [(hour, cell) for hour, row in enumerate(self.cells) for cell in row]
        return max(every, key=lambda one: one[1].calls_per_hour or 0)


def heat_map(hours: Sequence[ActivityHour]) -> HeatMap | None:
    """The map of all sites together; None without any time."""
    if not hours:
        return None
    first, last = (date.fromisoformat(f(row.date for row in hours)) for f in (min, max))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    length = len("YYYY-MM-DD") if len(days) <= MOST_DAYS else len("YYYY-MM")
    labels = list(dict.fromkeys(day.isoformat()[:length] for day in days))
    parts = [(row.hour, row.date[:length], row.calls, row.recorded_h * 3600) for row in hours]
    return HeatMap(
        _sum_up(labels, (part[1:] for part in parts)),
        tuple(
            _sum_up(labels, (part[1:] for part in parts if part[0] == hour)) for hour in range(24)
        ),
    )


def by_site(recordings: Iterable[RecordingCount]) -> tuple[Activity, ...]:
    """All sites, by name, including recordings without a time."""
    with_site = [r for r in recordings if r.site and was_counted(r)]
    return _sum_up(
        sorted({r.site for r in with_site}),
        ((r.site, r.call_count or 0, valid_s(r)) for r in with_site),
    )


def _sum_up(labels: Sequence[str], parts: Iterable[tuple[str, int, float]]) -> tuple[Activity, ...]:
    calls = dict.fromkeys(labels, 0)
    valid_s = dict.fromkeys(labels, 0.0)
    for label, n, seconds in parts:
        calls[label] += n
        valid_s[label] += seconds
    return tuple(Activity(label, calls[label], valid_s[label]) for label in labels)


@dataclass(frozen=True)
class ExpectedTotal:
    """Calls expected in all recordings together, and the 90 % interval of their number."""

    calls: float
    low: float
    high: float


def expected_total(recordings: Iterable[RecordingCount]) -> ExpectedTotal | None:
    """Adds up the expected calls of recordings, with independent errors.

    The squares of the widths of their 90 % intervals add up to that of the total. None if no
    recording has one.
    """
    total, squares, n = 0.0, 0.0, 0
    for row in recordings:
        if row.expected_calls is not None:
            total, n = total + row.expected_calls, n + 1
            squares += (((row.expected_high or 0) - (row.expected_low or 0)) / 2) ** 2
    if not n:
        return None
    reach = math.sqrt(squares)
    return ExpectedTotal(total, max(0.0, total - reach), total + reach)
