"""Calls and hours recorded by site, date and hour of the day: activity.csv.

A count alone says more about when recorders ran than about birds. Recordings take part if they
have a count and a start time. Their time is divided over the clock's hours, less the share of
silence and dropouts. Sums are whole milliseconds, so the order of adding changes no digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from pipeline.inputs.local_time import SiteClock, full_hour
from pipeline.records import ActivityHour, DetectedCall, RecordingCount
from pipeline.tables.rows import row_order, sound_share, was_counted

SiteHour = tuple[str, str, int]
"""Site, date and hour of the day."""
Amount = tuple[int, int]
"""Milliseconds recorded, and calls."""


def recorded_hours(row: RecordingCount) -> Iterator[tuple[SiteHour, Amount]]:
    """A recording's valid time, cut at the full hours of the clock on site."""
    clock = SiteClock.of(row)
    if clock is None or not was_counted(row):
        return
    share, decoded = sound_share(row), timedelta(seconds=row.heard_s or 0)
    for local, begin, end in clock.spans(decoded, full_hour):
        yield _hour(row.site, local), (round((end - begin).total_seconds() * share * 1000), 0)


def called_hours(call: DetectedCall) -> Iterator[tuple[SiteHour, Amount]]:
    """The hour of a call's start; nothing where its time is unknown."""
    if call.called_local:
        yield _hour(call.site, datetime.fromisoformat(call.called_local)), (0, 1)


def _hour(site: str, moment: datetime) -> SiteHour:
    return site, moment.date().isoformat(), moment.hour


def activity_row(of: SiteHour, amount: Amount) -> ActivityHour:
    """A row of activity.csv."""
    site, date, hour = of
    return ActivityHour(
        site=site, date=date, hour=hour, recorded_h=amount[0] / 3_600_000, calls=amount[1]
    )


def hours_of(
    recordings: Iterable[RecordingCount], calls: Iterable[DetectedCall]
) -> dict[SiteHour, Amount]:
    """Recorded milliseconds and calls by site and hour."""
    amounts: dict[SiteHour, Amount] = {}
    for parts in (*map(recorded_hours, recordings), *map(called_hours, calls)):
        for of, amount in parts:
            amounts[of] = added(amounts.get(of, (0, 0)), amount)
    return amounts


def added(a: Amount, b: Amount) -> Amount:
    """Both together."""
    return a[0] + b[0], a[1] + b[1]


def activity(
    recordings: Iterable[RecordingCount], calls: Iterable[DetectedCall]
) -> list[ActivityHour]:
    """The rows of activity.csv, in their order."""
    rows = (activity_row(of, amount) for of, amount in hours_of(recordings, calls).items())
    return sorted(rows, key=row_order)
