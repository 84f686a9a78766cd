"""Calls for each hour that was recorded: by hour of the day, by date and by site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.records import ActivityHour, RecordingCount
from pipeline.tables.rows import valid_s, was_counted

MOST_DAYS = 62
"""With more dates than this, a bar is a month."""


@dataclass(frozen=True)
class Activity:
    """Calls, and seconds validly recorded, in one hour of the day, on one date or at one site."""

    label: str
    calls: int
    valid_s: float

    @property
    def calls_per_hour(self) -> float | None:
        """Calls for each hour recorded; None where nothing was."""
        return self.calls / self.valid_s * 3600 if self.valid_s else None


def by_hour(hours: Iterable[ActivityHour]) -> tuple[Activity, ...]:
    """24 hours of the day, by the clock on site."""
    return _sum_up(
        [f"{hour:02d}" for hour in range(24)],
        ((f"{row.hour:02d}", row.calls, row.recorded_h * 3600) for row in hours),
    )


def by_date(hours: Sequence[ActivityHour]) -> tuple[Activity, ...]:
    """All dates, or all months, from the first to the last, with those without a recording."""
    if not hours:
        return ()
    first, last = (date.fromisoformat(f(row.date for row in hours)) for f in (min, max))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    length = len("YYYY-MM-DD") if len(days) <= MOST_DAYS else len("YYYY-MM")
    return _sum_up(
        list(dict.fromkeys(day.isoformat()[:length] for day in days)),
        ((row.date[:length], row.calls, row.recorded_h * 3600) for row in hours),
    )


def by_site(recordings: Iterable[RecordingCount]) -> tuple[Activity, ...]:
    """All sites that recordings name, by name. The time of day is not needed here."""
    known = [r for r in recordings if r.site and was_counted(r)]
    return _sum_up(
        sorted({r.site for r in known}), ((r.site, r.call_count or 0, valid_s(r)) for r in known)
    )


def _sum_up(labels: Sequence[str], parts: Iterable[tuple[str, int, float]]) -> tuple[Activity, ...]:
    calls = dict.fromkeys(labels, 0)
    valid_s = dict.fromkeys(labels, 0.0)
    for label, n, seconds in parts:
        calls[label] += n
        valid_s[label] += seconds
    return tuple(Activity(label, calls[label], valid_s[label]) for label in labels)
