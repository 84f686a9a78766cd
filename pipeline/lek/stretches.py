"""Stretches of time recorded without a break, with the calls in them, by site and period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

import numpy as np

from model.calls import Floats
from pipeline.inputs.local_time import SiteClock
from pipeline.records import RecordingCount
from pipeline.survey.findings import Finding, Survey
from pipeline.survey.histories import bounds, visit_of
from pipeline.tables.rows import sound_share, was_counted

Periods = Literal["night", "day", "half"]
BREAK_S = 2.0
"""A recorder takes as long to close one file and begin the next: that is no break."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time at a site.

    Attributes:
        period: name of the night, day or half of a day; empty where the time is unknown.
        began: by the clock on site, or None.
        recording, offset_s: where it begins.
        length_s: of it; ``valid_s`` without silence of the equipment and dropouts.
        begin_s: when its calls begin, from its own beginning, ascending, ``[n]``.
        spacing_hz, error_hz: of their harmonics; NaN where unknown.
    """

    site: str
    period: str
    began: datetime | None
    recording: str
    offset_s: float
    length_s: float
    valid_s: float
    begin_s: Floats
    spacing_hz: Floats
    error_hz: Floats

    @property
    def gaps_s(self) -> Floats:
        """Between successive calls."""
        return np.diff(self.begin_s)


def stretches_of(survey: Survey, periods: Periods) -> list[Stretch]:
    """All stretches, by site and time. Calls that people refuted take no part.

    Recordings without a time are stretches of their own, of a period without a name.
    """
    findings: dict[str, list[Finding]] = defaultdict(list)
    for finding in survey.findings:
        if not finding.is_refuted:
            findings[finding.recording.recording].append(finding)
    pieces = [
        piece
        for row in survey.recordings
        if was_counted(row)
        for piece in _pieces(row, findings[row.recording], periods)
    ]
    pieces.sort(key=lambda s: (s.site, s.period, s.began or datetime.min, s.recording, s.offset_s))
    joined: list[Stretch] = []
    for piece in pieces:
        if joined and _follows(piece, joined[-1]):
            joined[-1] = _together(joined[-1], piece)
        else:
            joined.append(piece)
    return joined


def overlapping_s(stretches: Sequence[Stretch]) -> float:
    """Seconds that several recorders of one site recorded at once: their calls count twice."""
    total = 0.0
    reached: tuple[str, datetime] | None = None
    for one in stretches:
        if one.began is None:
            continue
        end = one.began + timedelta(seconds=one.length_s)
        if reached and reached[0] == one.site:
            total += max(0.0, (min(reached[1], end) - one.began).total_seconds())
            end = max(end, reached[1])
        reached = one.site, end
    return total


def remarks_on(survey: Survey, stretches: Sequence[Stretch]) -> list[str]:
    """What is doubtful about them, a line each."""
    remarks = list(survey.remarks)
    if (doubled_s := overlapping_s(stretches)) > 60:
        remarks.append(
            f"recordings of one site overlap for {doubled_s / 60:,.0f} min, where a call that both "
            "heard counts twice: give each recorder a site of its own"
        )
    if survey.findings and all(
        f.call is None or f.call.spacing_hz is None for f in survey.findings
    ):
        remarks.append(
            "no call has the spacing of its harmonics (an earlier version counted, or a model that "
            "does not say where calls begin): males are told apart by their timing alone"
        )
    return remarks


def _pieces(
    row: RecordingCount, findings: Sequence[Finding], periods: Periods
) -> Iterator[Stretch]:
    """A recording, cut where periods end."""
    clock = SiteClock.of(row)
    heard = timedelta(seconds=row.heard_s or 0)
    spans = (
        clock.spans(heard, lambda local: _period_end(local, periods))
        if clock
        else iter([(None, timedelta(), heard)])
    )
    for local, begin, end in spans:
        first_s, end_s = begin.total_seconds(), end.total_seconds()
        inside = [f for f in findings if first_s <= f.start_s < end_s]
        calls = [finding.call for finding in inside]
        yield Stretch(
            row.site,
            _period(local, periods) if local else "",
            local,
            row.recording,
            first_s,
            end_s - first_s,
            (end_s - first_s) * sound_share(row),
            np.array([finding.start_s - first_s for finding in inside]),
            np.array([_or_nan(call.spacing_hz if call else None) for call in calls]),
            np.array([_or_nan(call.spacing_error_hz if call else None) for call in calls]),
        )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _period(local: datetime, periods: Periods) -> str:
    if periods == "half":
        return f"{local.date()} {'morning' if local.hour < 12 else 'evening'}"
    return visit_of(local, periods).isoformat()


def _period_end(local: datetime, periods: Periods) -> datetime:
    if periods == "half":
        noon = datetime.combine(local.date(), time(12))
        return noon if local < noon else noon + timedelta(hours=12)
    visit: date = visit_of(local, periods)
    return bounds(visit, periods)[1]


def _follows(piece: Stretch, before: Stretch) -> bool:
    if piece.began is None or before.began is None:
        return False
    if (piece.site, piece.period) != (before.site, before.period):
        return False
    pause = (piece.began - before.began).total_seconds() - before.length_s
    return abs(pause) <= BREAK_S


def _together(a: Stretch, b: Stretch) -> Stretch:
    assert a.began is not None
    assert b.began is not None
    later_s = (b.began - a.began).total_seconds()
    begin_s = np.concatenate([a.begin_s, b.begin_s + later_s])
    order = np.argsort(begin_s, kind="stable")
    return Stretch(
        a.site,
        a.period,
        a.began,
        a.recording,
        a.offset_s,
        later_s + b.length_s,
        a.valid_s + b.valid_s,
        begin_s[order],
        np.concatenate([a.spacing_hz, b.spacing_hz])[order],
        np.concatenate([a.error_hz, b.error_hz])[order],
    )
