"""lek.csv, bouts.csv and lek.html."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from model.calls import Floats
from pipeline.lek.bouts import Gap
from pipeline.lek.season import Bout, Lek, Season, calls_together
from pipeline.lek.stretches import Periods, Stretch
from pipeline.records import column_names
from pipeline.report.html import fill_in
from pipeline.storage import files
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import csv_line
from pipeline.tables.schema import TableRow, cells

PERIOD_WORDS: dict[Periods, str] = {"night": "night", "day": "day", "half": "half of a day"}
LINES_AT_MOST = 400
DOTS_AT_MOST = 800
GAP_BINS = 36
_GAPS_S = (0.5, 20_000.0)


@dataclass(frozen=True)
class Dots:
    """Calls of one period by time and spacing of harmonics.

    Attributes:
        period: the one with the most males, or of these with the most calls.
        spots: of each call hours from the first one and its spacing, both as percent of the axes.
        hours, low_hz, high_hz: where the axes end.
    """

    period: str
    spots: tuple[tuple[float, float], ...]
    hours: float
    low_hz: float
    high_hz: float


@dataclass(frozen=True)
class GapBar:
    """Gaps of about one length; ``height`` in percent of the highest bar."""

    seconds: float
    gaps: int
    height: float


@dataclass(frozen=True)
class SitePart:
    """A site's part of the page.

    Attributes:
        row: of the site. periods: of each of its periods.
        highest: calls an hour where the axis ends.
        bars: gaps between calls by length; ``gap_percent`` is where a bout ends among them.
    """

    row: Lek
    periods: tuple[Lek, ...]
    highest: float
    gap: Gap
    bars: tuple[GapBar, ...]
    gap_percent: float
    dots: Dots | None


def write_lek(
    output: str,
    season: Season,
    stretches: Sequence[Stretch],
    periods: Periods,
    remarks: Sequence[str],
) -> str:
    """Writes the three files into a folder. Returns the page's name.

    Raises:
        OSError: the folder is not writable.
    """
    page = files.join(output, "lek.html")
    for name, content in (
        (files.join(output, "lek.csv"), _table(Lek, season.rows)),
        (files.join(output, "bouts.csv"), _table(Bout, season.bouts)),
        (page, lek_page(season, stretches, periods, remarks)),
    ):
        files.write_atomically(name, [encode(content)])
    return page


def _table(row_type: type[TableRow], rows: Iterable[TableRow]) -> str:
    return "".join([csv_line(column_names(row_type)), *(csv_line(cells(row)) for row in rows)])


def lek_page(
    season: Season, stretches: Sequence[Stretch], periods: Periods, remarks: Sequence[str]
) -> str:
    """The page."""
    parts = [
        _part(row, season, [one for one in stretches if one.site == row.site])
        for row in season.rows
        if row.scope == "site"
    ]
    return fill_in(
        "lek.html",
        parts=parts,
        rows=[part.row for part in parts],
        word=PERIOD_WORDS[periods],
        remarks=remarks,
        lines_at_most=LINES_AT_MOST,
        n_calls=sum(part.row.calls for part in parts),
        recorded_h=sum(part.row.recorded_h for part in parts),
        ticks=[(f"{s:g} {unit}", _gap_percent(s * of)) for s, unit, of in _TICKS],
    )


_TICKS = ((1, "s", 1), (10, "s", 1), (1, "min", 60), (10, "min", 60), (1, "h", 3600))


def _part(row: Lek, season: Season, of: Sequence[Stretch]) -> SitePart:
    periods = tuple(r for r in season.rows if r.site == row.site and r.scope == "period")
    ends = [r.calls_per_h_high or r.calls_per_h or 0.0 for r in periods]
    gap = season.gaps[row.site]
    gaps = np.concatenate([one.gaps_s for one in of])
    return SitePart(
        row,
        periods[:LINES_AT_MOST],
        max(ends, default=0.0) or 1.0,
        gap,
        _bars(gaps),
        _gap_percent(gap.seconds),
        _dots(periods, of),
    )


def _gap_percent(seconds: float) -> float:
    """Where a gap lies on its axis, which is logarithmic."""
    low, high = np.log(_GAPS_S)
    return round(100 * float(np.clip((np.log(seconds) - low) / (high - low), 0, 1)), 2)


def _bars(gaps_s: Floats) -> tuple[GapBar, ...]:
    edges = np.geomspace(*_GAPS_S, GAP_BINS + 1)
    if not len(gaps_s):
        return ()
    numbers = np.histogram(np.clip(gaps_s, *_GAPS_S), edges)[0].tolist()
    return tuple(
        GapBar(float(np.sqrt(a * b)), n, 100 * n / max(numbers))
        for (a, b), n in zip(pairwise(edges), numbers, strict=True)
    )


def _dots(periods: Sequence[Lek], of: Sequence[Stretch]) -> Dots | None:
    best: Any = max(periods, key=lambda row: (row.least_males, row.calls), default=None)
    shown = [one for one in of if best is None or one.period == best.period]
    if best is None or shown[0].began is None:
        calls = calls_together(shown)
        begin_s, spacing = calls.begin_s, calls.spacing_hz
    else:
        first = shown[0].began
        begin_s = np.concatenate(
            [one.begin_s + (one.began - first).total_seconds() for one in shown if one.began]
        )
        spacing = np.concatenate([one.spacing_hz for one in shown])
    kept = ~np.isnan(spacing)
    begin_s, spacing = begin_s[kept][:DOTS_AT_MOST], spacing[kept][:DOTS_AT_MOST]
    if len(spacing) < 2:
        return None
    low, high = np.floor(spacing.min()) - 1, np.ceil(spacing.max()) + 1
    hours = max(float(np.ptp(begin_s)) / 3600, 1 / 60)
    spots = zip(
        100 * (begin_s - begin_s.min()) / 3600 / hours,
        100 * (spacing - low) / (high - low),
        strict=True,
    )
    return Dots(
        best.period if best else "",
        tuple((round(float(x), 2), round(float(y), 2)) for x, y in spots),
        hours,
        float(low),
        float(high),
    )
