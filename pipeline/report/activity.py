"""Calls for each hour that was recorded: by hour of the day, by date and by site.

A count alone says more about when recorders ran than about birds. Only recordings that were counted
and whose start is known take part; their time is shared out over the clock's hours, less the share
in which the recorder was deaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from pipeline.records import DetectedCall, RecordingCount
from pipeline.tables.rows import local_start, sound_share, valid_s, was_counted

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


@dataclass(frozen=True)
class _Tally:
    moment: datetime
    calls: int
    valid_s: float


def by_hour(
    recordings: Iterable[RecordingCount], calls: Iterable[DetectedCall]
) -> tuple[Activity, ...]:
    """24 hours of the day, by the clock on site."""
    return _sum_up(
        [f"{hour:02d}" for hour in range(24)],
        ((f"{t.moment.hour:02d}", t.calls, t.valid_s) for t in _tallies(recordings, calls)),
    )


def by_date(
    recordings: Iterable[RecordingCount], calls: Iterable[DetectedCall]
) -> tuple[Activity, ...]:
    """All dates, or all months, from the first to the last, with those without a recording."""
    tallies = [(t.moment.date(), t.calls, t.valid_s) for t in _tallies(recordings, calls)]
    if not tallies:
        return ()
    first, last = min(t[0] for t in tallies), max(t[0] for t in tallies)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    length = len("YYYY-MM-DD") if len(days) <= MOST_DAYS else len("YYYY-MM")

    def label(day: date) -> str:
        return day.isoformat()[:length]

    return _sum_up(
        list(dict.fromkeys(map(label, days))),
        ((label(day), calls, valid_s) for day, calls, valid_s in tallies),
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


def _tallies(
    recordings: Iterable[RecordingCount], calls: Iterable[DetectedCall]
) -> Iterator[_Tally]:
    began = {}
    for row in filter(was_counted, recordings):
        if start := local_start(row):
            began[row.recording] = start
            for hour in _hours(start, row.heard_s or 0):
                yield replace(hour, valid_s=hour.valid_s * sound_share(row))
    for call in calls:
        if call.recording in began:
            yield _Tally(began[call.recording] + timedelta(seconds=call.start_s), 1, 0.0)


def _hours(start: datetime, length_s: float) -> Iterator[_Tally]:
    """A stretch of time, cut at the full hours of the clock."""
    end = start + timedelta(seconds=length_s)
    while start < end:
        full_hour = start.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        stop = min(full_hour, end)
        yield _Tally(start, 0, (stop - start).total_seconds())
        start = stop
