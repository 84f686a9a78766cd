"""Detection histories, the input of occupancy and abundance models.

For each site and visit: recorded hours, valid hours, detection, and number of calls. A visit is a
day, a night (noon to noon, named by its evening) or a week (from Monday, 0:00), by the clock on
site. A visit without valid hours is NA.

Sums are whole milliseconds, as in ``tables.activity``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from typing import Literal

from pipeline.inputs.deployments import clock_flags
from pipeline.inputs.local_time import SiteClock
from pipeline.records import RecordingCount, SiteVisit
from pipeline.survey.findings import Finding, Survey
from pipeline.tables.cell_text import encode, guard_text
from pipeline.tables.csv_text import csv_line
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.rows import sound_share, was_counted
from pipeline.tables.schema import cells

VisitKind = Literal["night", "day", "week"]
MISSING = "NA"
_MS_PER_H = 3_600_000


def visit_of(moment: datetime, kind: VisitKind) -> date:
    """The visit of a moment on site.

    >>> visit_of(datetime(2024, 6, 11, 5, 30), "night")
    datetime.date(2024, 6, 10)
    """
    if kind == "night":
        return (moment - timedelta(hours=12)).date()
    return moment.date() - timedelta(days=moment.weekday() if kind == "week" else 0)


def visit_of_finding(finding: Finding, kind: VisitKind) -> date | None:
    """The visit of a finding to its site; None without a site, or a clock that was set."""
    row, local = finding.recording, finding.local
    if local is None or not row.site or "clock_unset" in clock_flags(row):
        return None
    return visit_of(local, kind)


def bounds(visit: date, kind: VisitKind) -> tuple[datetime, datetime]:
    """When a visit begins and ends by the clock on site."""
    begins = datetime.combine(visit, time(12 if kind == "night" else 0))
    return begins, begins + timedelta(days=7 if kind == "week" else 1)


@dataclass
class _Sums:
    recorded_ms: int = 0
    valid_ms: int = 0
    calls: int = 0
    verified_calls: int = 0


def time_shares(row: RecordingCount, kind: VisitKind) -> Iterator[tuple[date, int, int]]:
    """The visits of a recording, each with its recorded and valid milliseconds.

    The decoded part of a truncated recording counts as its beginning.
    """
    clock = SiteClock.of(row)
    if clock is None:
        return
    heard_s = (row.heard_s or 0.0) if was_counted(row) else 0.0
    recorded_s = max(row.duration_s or 0.0, heard_s)
    decoded_to = timedelta(seconds=heard_s)

    def following(local: datetime) -> datetime:
        return bounds(visit_of(local, kind), kind)[1]

    for local, begin, end in clock.spans(timedelta(seconds=recorded_s), following):
        decoded = max(timedelta(), min(end, decoded_to) - begin)
        yield visit_of(local, kind), _ms(end - begin), round(_ms(decoded) * sound_share(row))


def _ms(length: timedelta) -> int:
    return round(length.total_seconds() * 1000)


def histories(survey: Survey, kind: VisitKind, min_valid_h: float = 0.0) -> list[SiteVisit]:
    """A row for each site and visit, by site and time.

    All sites have the same visits, from the first to the last with a recording at any site.
    Recordings without a site or a time do not take part, see ``left_out``.

    Args:
        survey: recordings and findings.
        kind: of visits.
        min_valid_h: a visit with fewer valid hours is NA, as is one with none.
    """
    sums: dict[tuple[str, date], _Sums] = defaultdict(_Sums)
    for row in survey.recordings:
        if row.site and "clock_unset" not in clock_flags(row):
            for visit, recorded_ms, valid_ms in time_shares(row, kind):
                of = sums[row.site, visit]
                of.recorded_ms += recorded_ms
                of.valid_ms += valid_ms
    for finding in survey.findings:
        at = visit_of_finding(finding, kind)
        if at is None or finding.is_refuted:
            continue
        of = sums[finding.recording.site, at]
        of.calls += 1
        of.verified_calls += finding.is_verified
    if not sums:
        return []
    first, last = (pick(visit for _, visit in sums) for pick in (min, max))
    step = timedelta(days=7 if kind == "week" else 1)
    visits = [first + n * step for n in range((last - first) // step + 1)]
    return [
        _row(site, visit, kind, sums[site, visit], survey.has_labels, min_valid_h)
        for site in sorted({site for site, _ in sums})
        for visit in visits
    ]


def _row(
    site: str, visit: date, kind: VisitKind, of: _Sums, has_labels: bool, min_valid_h: float
) -> SiteVisit:
    begins, ends = bounds(visit, kind)
    row = SiteVisit(
        site=site,
        visit=visit.isoformat(),
        starts_local=begins.isoformat(),
        ends_local=ends.isoformat(),
        recorded_h=of.recorded_ms / _MS_PER_H,
        valid_h=of.valid_ms / _MS_PER_H,
    )
    if not of.valid_ms or of.valid_ms < min_valid_h * _MS_PER_H:
        return row
    row = replace(row, calls=of.calls, detected=int(of.calls > 0))
    if not has_labels:
        return row
    confirmed = 1 if of.verified_calls else (None if of.calls else 0)
    return replace(row, verified_calls=of.verified_calls, verified=confirmed)


def left_out(survey: Survey) -> list[str]:
    """Reasons why recordings belong to no visit, a line each."""
    lines = list(survey.remarks)
    n = len(survey.recordings)
    if siteless := sum(1 for row in survey.recordings if not row.site):
        lines.append(
            f"{siteless:,} of {n:,} recordings have no site and are left out: "
            "say where they were made with --deployments"
        )
    if timeless := sum(1 for row in survey.recordings if row.site and not row.recorded_local):
        lines.append(f"{timeless:,} of {n:,} recordings have no time and are left out")
    if unset := sum(1 for row in survey.recordings if "clock_unset" in clock_flags(row)):
        lines.append(
            f"{unset:,} of {n:,} recordings were made by a clock that was never set and are left "
            "out; see capuchinbird recorders"
        )
    return lines


def long_lines(rows: Iterable[SiteVisit]) -> Iterator[str]:
    """The lines of history.csv, with NA for unknown values."""
    yield csv_line([field.name for field in fields(SiteVisit)])
    for row in rows:
        yield csv_line([cell or MISSING for cell in cells(row)])


def wide_lines(rows: Sequence[SiteVisit], value: str) -> Iterator[str]:
    """One value of each visit as a matrix: a row for each site, a column for each visit.

    Args:
        rows: from ``histories``.
        value: name of a field of ``SiteVisit``.
    """
    visits = sorted({row.visit for row in rows})
    yield csv_line(["site", *visits])
    names = [field.name for field in fields(SiteVisit)]
    cell_of = {(row.site, row.visit): cells(row)[names.index(value)] for row in rows}
    for row in rows:
        if row.visit == visits[0]:
            values = [cell_of[row.site, visit] or MISSING for visit in visits]
            yield csv_line([cells(row)[0], *values])


def site_lines(recordings: Iterable[RecordingCount]) -> Iterator[str]:
    """The sites of the histories in their order, each with its position."""
    yield csv_line(["site", "latitude", "longitude"])
    seen: dict[str, RecordingCount] = {}
    for row in recordings:
        if row.site and row.recorded_local and row.site not in seen:
            seen[row.site] = row
    for site, row in sorted(seen.items()):
        yield csv_line([guard_text(site), _degrees(row.latitude), _degrees(row.longitude)])


def _degrees(value: float | None) -> str:
    return MISSING if value is None else f"{value:.6f}"


def tables_of_histories(survey: Survey, rows: Sequence[SiteVisit]) -> Iterator[tuple[str, bytes]]:
    """Every file of a folder of histories: its name and its content."""
    wide = {"detected": "detected", "calls": "calls", "valid_hours": "valid_h"}
    if survey.has_labels:
        wide["verified"] = "verified"
    tables = {
        "history.csv": long_lines(rows),
        "sites.csv": site_lines(survey.recordings),
        **{f"{name}.csv": wide_lines(rows, value) for name, value in wide.items()},
    }
    for name, lines in tables.items():
        yield name, encode("".join(lines))
    yield "history.parquet", parquet_bytes(rows, SiteVisit)
