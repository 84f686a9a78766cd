"""Recorders at sites: when each ran, its battery, and warnings about its clock.

All input is rows of counts.csv. This module corrects nothing: a person corrects a clock, with
``recorded_at`` or ``time_zone`` in a manifest or deployment table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby, pairwise
from statistics import median

from pipeline.inputs.deployments import clock_flags
from pipeline.inputs.local_time import SiteClock
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.times import parse_zone
from pipeline.records import Outcome, RecordingCount, column, optional, text

TOLERATED_OVERLAP = timedelta(seconds=2)
LONG_GAP = timedelta(days=20)
"""A shorter gap is a battery or a card changed late."""
HALF_HOUR_MINUTES = 30
LARGEST_SHIFT_MINUTES = 120
"""Clocks are put forward or back by half an hour to two hours."""

SEPARATOR = " | "
"""Between warnings."""


@dataclass(frozen=True, kw_only=True)
class RecorderAtSite:
    """A row of recorders.csv: one for each site and recorder."""

    site: str = text("Name of the place; empty for recordings without one.")
    recorder: str = text("Serial number; empty for all recorders that no file names.")
    recordings: int = column("Recordings, whatever became of them.")
    first_local: str = text("Start of the first one by the clock on site.")
    last_local: str = text("End of the last one.")
    recorded_h: float = column("Hours recorded.", 2)
    firmware: str = text("Versions of the firmware.")
    gain: str = text("Gains, in the recorder's words.")
    battery_first_v: float | None = optional("Voltage of the battery in the first recording.", 2)
    battery_last_v: float | None = optional("Voltage in the last one.", 2)
    battery_lowest_v: float | None = optional("Lowest voltage.", 2)
    temperature_lowest_c: float | None = optional("Lowest temperature, in degrees Celsius.", 1)
    temperature_highest_c: float | None = optional("Highest temperature.", 1)
    latitude: float | None = optional("Degrees north, WGS 84.", 6)
    longitude: float | None = optional("Degrees east, WGS 84.", 6)
    time_sources: str = text("Where its times are from.")
    warnings: str = text("What is doubtful about its clock or its name.")


@dataclass(frozen=True)
class Timed:
    """A recording with a time.

    Attributes:
        start, end: by the clock on site.
        earliest, latest: when it can have begun, on a time that no change of clocks bends: UTC, or
            what the clock showed if no zone is known. They differ in the hour that clocks repeat.
    """

    start: datetime
    end: datetime
    earliest: datetime
    latest: datetime
    row: RecordingCount

    @property
    def length(self) -> timedelta:
        """As recorded."""
        return timedelta(seconds=self.row.duration_s or 0)


def recorders(rows: Iterable[RecordingCount]) -> list[RecorderAtSite]:
    """A row for each site and recorder, by both. Recorders without a serial number are one."""
    of: dict[tuple[str, str], list[RecordingCount]] = defaultdict(list)
    for row in rows:
        if row.outcome != Outcome.COPY.value:
            of[row.site, row.recorder].append(row)
    times = {key: _timed(those) for key, those in of.items()}
    return [_line(*key, of[key], times[key], times if key[1] else {}) for key in sorted(of)]


def _timed(rows: Iterable[RecordingCount]) -> list[Timed]:
    clocks = [(row, SiteClock.of(row)) for row in rows if "clock_unset" not in clock_flags(row)]
    zones = {clock.zone: None for _, clock in clocks if clock and clock.zone}
    timed = []
    for row, clock in clocks:
        if clock:
            begins = _possible(clock, next(iter(zones), None))
            end = clock.shown(timedelta(seconds=row.duration_s or 0))
            timed.append(Timed(clock.local, end, min(begins), max(begins), row))
    return sorted(timed, key=lambda one: (one.earliest, one.row.recording))


def _possible(clock: SiteClock, zone: tzinfo | None) -> list[datetime]:
    """When a recording can have begun; in UTC if a zone is known of any of the recorder's."""
    if clock.at:
        return [clock.at.replace(tzinfo=None)]
    if zone is None:
        return [clock.local]
    both = (clock.local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return [moment.astimezone(UTC).replace(tzinfo=None) for moment in both]


def _line(
    site: str,
    recorder: str,
    rows: Sequence[RecordingCount],
    timed: Sequence[Timed],
    others: dict[tuple[str, str], list[Timed]],
) -> RecorderAtSite:
    ordered = [one.row for one in timed] or sorted(rows, key=lambda row: row.recording)
    volts = [row.battery_v for row in ordered if row.battery_v is not None]
    degrees = [row.temperature_c for row in rows if row.temperature_c is not None]
    placed = next((row for row in ordered if row.latitude is not None), None)
    warnings = [
        *_flagged(rows),
        *_overlapping(timed),
        *_gaps(timed),
        *_shifted(timed),
        *_zone_changed(timed),
        *_elsewhere(site, recorder, timed, others),
    ]
    return RecorderAtSite(
        site=site,
        recorder=recorder,
        recordings=len(rows),
        first_local=timed[0].start.isoformat() if timed else "",
        last_local=max(one.end for one in timed).isoformat() if timed else "",
        recorded_h=sum(row.duration_s or 0 for row in rows) / 3600,
        firmware=_all_of(row.firmware for row in ordered),
        gain=_all_of(row.gain for row in ordered),
        battery_first_v=volts[0] if volts else None,
        battery_last_v=volts[-1] if volts else None,
        battery_lowest_v=min(volts, default=None),
        temperature_lowest_c=min(degrees, default=None),
        temperature_highest_c=max(degrees, default=None),
        latitude=placed.latitude if placed else None,
        longitude=placed.longitude if placed else None,
        time_sources=_all_of(row.time_source for row in ordered),
        warnings=SEPARATOR.join(warnings),
    )


def _all_of(texts: Iterable[str]) -> str:
    """Different texts in their order, one after the other."""
    return ", ".join(dict.fromkeys(text for text in texts if text))


def _flagged(rows: Sequence[RecordingCount]) -> Iterator[str]:
    unset = [row for row in rows if "clock_unset" in clock_flags(row)]
    if unset:
        years = _all_of(sorted({row.recorded_local[:4] for row in unset}))
        yield (
            f"the clock was not set in {len(unset):,} of {len(rows):,} recordings "
            f"({years}); state recorded_at in a manifest"
        )
    if doubtful := [row for row in rows if row.clock_conflict]:
        first = min(doubtful, key=lambda row: row.recording)
        yield (
            f"times disagree in {len(doubtful):,} of {len(rows):,} recordings: {first.recording} "
            f"begins at {first.recorded_at or first.recorded_local} by {first.time_source}, but "
            f"{first.clock_conflict}"
        )


def _overlapping(timed: Sequence[Timed]) -> Iterator[str]:
    """One recorder makes one recording at a time."""
    n, first = 0, None
    ended = timed[0].earliest + timed[0].length if timed else datetime.min
    for one in timed[1:]:
        if one.latest < ended - TOLERATED_OVERLAP:
            n, first = n + 1, first or one.start
        ended = max(ended, one.earliest + one.length)
    if first:
        yield (
            f"{n:,} recordings begin before the one before has ended, first at "
            f"{first.isoformat()}: the clock was set back, or two recorders have one name"
        )


def _gaps(timed: Sequence[Timed]) -> Iterator[str]:
    gaps = [
        (after.earliest - before.earliest - before.length, before.end)
        for before, after in pairwise(timed)
    ]
    usual = timedelta(seconds=median(gap.total_seconds() for gap, _ in gaps)) if gaps else LONG_GAP
    for gap, at in gaps:
        if gap >= max(LONG_GAP, 10 * usual):
            yield (
                f"nothing for {gap.days:,} days after {at.isoformat()}: it stood still, or its "
                "clock jumped"
            )


def _shifted(timed: Sequence[Timed]) -> Iterator[str]:
    """A daily schedule that shifts as a whole from some day on.

    The first and last day are incomplete and do not take part.
    """
    days = [
        (day, frozenset(one.start.hour * 60 + one.start.minute for one in those))
        for day, those in groupby(timed, key=lambda one: one.start.date())
    ][1:-1]
    runs = [(minutes, list(those)) for minutes, those in groupby(days, key=lambda day: day[1])]
    for (before, earlier), (after, later) in pairwise(runs):
        if len(earlier) < 2 or len(later) < 2 or len(before) != len(after):
            continue
        for shift in range(-LARGEST_SHIFT_MINUTES, LARGEST_SHIFT_MINUTES + 1, HALF_HOUR_MINUTES):
            if shift and {(minute + shift) % 1440 for minute in before} == after:
                yield (
                    f"from {later[0][0].isoformat()} on the same schedule begins {abs(shift)} min "
                    f"{'later' if shift > 0 else 'earlier'}: was its clock changed?"
                )
                break


def _zone_changed(timed: Sequence[Timed]) -> Iterator[str]:
    """An offset that changes, or clocks on site that change while the recorder does not say so."""
    offsets = [
        (one.start, one.row.recorded_at[-6:])
        for one in timed
        if one.row.recorded_at and one.row.time_zone == one.row.recorded_at[-6:]
    ]
    for (_, before), (start, after) in pairwise(offsets):
        if before != after:
            yield f"its clock's offset changes from {before} to {after} at {start.isoformat()}"
    silent = [
        (one.start, one.row)
        for one in timed
        if one.row.time_source == "file_name" and not note_from_name(one.row.recording).utc_offset
    ]
    for (start, row), (end, other) in pairwise(silent):
        if row.time_zone != other.time_zone or not row.time_zone:
            continue
        zone = parse_zone(row.time_zone)
        if zone.utcoffset(start) != zone.utcoffset(end):
            yield (
                f"clocks in {row.time_zone} changed between {start.isoformat()} and "
                f"{end.isoformat()}, and its files do not say whether its own did: times "
                "after it may be an hour off"
            )


def _elsewhere(
    site: str, recorder: str, timed: Sequence[Timed], others: dict[tuple[str, str], list[Timed]]
) -> Iterator[str]:
    """The same recorder at another site, or another recorder at this site, at the same time."""
    for (other_site, other), those in sorted(others.items()):
        if (other == recorder) == (other_site == site) or not other:
            continue
        if _meet(timed, those):
            if other == recorder:
                yield f"recorded at {other_site or 'no site'} at the same time"
            else:
                yield f"another recorder, {other}, recorded here at the same time"


def _meet(one: Sequence[Timed], other: Sequence[Timed]) -> bool:
    """Whether a recording of each was made at one time; both are in order of their starts."""
    in_utc = all(any(timed.row.recorded_at for timed in both) for both in (one, other))

    def span(timed: Timed) -> tuple[datetime, datetime]:
        begin = timed.latest if in_utc else timed.start
        return begin, begin + timed.length - TOLERATED_OVERLAP

    i = j = 0
    while i < len(one) and j < len(other):
        (begin, end), (other_begin, other_end) = span(one[i]), span(other[j])
        if end <= other_begin:
            i += 1
        elif other_end <= begin:
            j += 1
        else:
            return True
    return False
