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


def shown_hours(hours: Iterable[ActivityHour]) -> tuple[int, ...]:
    """Hours of the day from the first one recorded to the last.

    Across midnight where that is shorter: recorders that run from 18:00 to 6:00 have 18 to 23, then
    0 to 5.
    """
    recorded = sorted({row.hour for row in hours if row.recorded_h}) or [0]
    after = [*recorded[1:], recorded[0] + 24]
    gaps = [(end - begin, end % 24) for begin, end in zip(recorded, after, strict=True)]
    gap, first = max(gaps, key=lambda one: (one[0], -one[1]))
    return tuple(hour % 24 for hour in range(first, first + 25 - gap))


def by_hour(hours: Sequence[ActivityHour]) -> tuple[Activity, ...]:
    """The recorded hours of the day, by the clock on site."""
    return _sum_up(
        [f"{hour:02d}" for hour in shown_hours(hours)],
        ((f"{row.hour:02d}", row.calls, row.recorded_h * 3600) for row in hours if row.recorded_h),
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
        unit: of the columns: ``date``, ``month``, or ``night`` where the hours go over midnight.
        columns: all of them from the first to the last, with or without recordings; a night has
            the date of its evening.
        rows: the recorded hours of the day, each with a cell for each column.
    """

    unit: str
    columns: tuple[Activity, ...]
    rows: tuple[tuple[int, tuple[Activity, ...]], ...]

    @property
    def busiest(self) -> tuple[int, Activity]:
        """The hour and the cell with the most calls for each recorded hour."""
        every = [(hour, cell) for hour, row in self.rows for cell in row]
        return max(every, key=lambda one: one[1].calls_per_hour or 0)


def heat_map(hours: Sequence[ActivityHour]) -> HeatMap | None:
    """The map of all sites together; None without any time."""
    if not hours:
        return None
    shown = shown_hours(hours)
    goes_over_midnight = shown[0] > shown[-1]

    def day_of(row: ActivityHour) -> date:
        day = date.fromisoformat(row.date)
        return day - timedelta(days=goes_over_midnight and row.hour < shown[0])

    first, last = (pick(map(day_of, hours)) for pick in (min, max))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    is_long = len(days) > MOST_DAYS
    length = len("YYYY-MM") if is_long else len("YYYY-MM-DD")
    labels = list(dict.fromkeys(day.isoformat()[:length] for day in days))
    parts = [
        (row.hour, day_of(row).isoformat()[:length], row.calls, row.recorded_h * 3600)
        for row in hours
    ]
    return HeatMap(
        "month" if is_long else "night" if goes_over_midnight else "date",
        _sum_up(labels, (part[1:] for part in parts)),
        tuple(
            (hour, _sum_up(labels, (part[1:] for part in parts if part[0] == hour)))
            for hour in shown
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
