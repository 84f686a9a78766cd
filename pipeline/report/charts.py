"""Data for the page's charts: cells, dots and short codes for its style sheet and script.

Charts consist of the page's own elements: labels keep their size on a telephone, colours follow the
page, and screen readers can read every mark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from pipeline.inference.count import shifted_score
from pipeline.records import DetectedCall, RecordingCount
from pipeline.report.activity import Activity
from pipeline.tables.read import WindowScores
from pipeline.tables.score_scale import (
    HIGHEST,
    LOWEST,
    score_at,
    score_place,
    score_text,
)

STRIP_COLUMNS = 80
_LEVELS = "0123456789abcdefghijklmnopqrstuvwxyz"
_KM_PER_DEGREE = 111.2

LETTER_PERCENT, LINE_PERCENT = 2.0, 4.2
"""Size of a name's letters and lines against the map's width, where it is narrowest: 340 px."""


def strip_code(duration_s: float, scores: WindowScores) -> str:
    """Scores over time, a character for each of at most ``STRIP_COLUMNS`` equal stretches.

    ``0`` to ``z`` is the place of its windows' highest score on the axis of scores; so no window
    that reaches the threshold is lost. A blank is a stretch without decoded audio.

    >>> strip_code(4.0, WindowScores(np.array([0.0, 1.0]), np.array([0.0, 1.0], np.float32)))
    '00zz'
    """
    starts_s, values = scores.starts_s, scores.scores
    if not len(values):
        return ""
    hop_s = float(np.diff(starts_s).min()) if len(starts_s) > 1 else scores.score_s
    n = max(1, min(STRIP_COLUMNS, math.floor(duration_s / hop_s)))
    levels = np.full(n, -1, np.int64)
    steps = np.rint(score_place(values) * (len(_LEVELS) - 1)).astype(np.int64)
    middles_s = starts_s + scores.score_s / 2
    gaps = np.diff(starts_s) > 1.5 * hop_s
    # A window stands for half a hop on either side, where no other one follows for all of it.
    before_s = np.where(np.insert(gaps, 0, True), scores.score_s / 2, hop_s / 2)
    after_s = np.where(np.append(gaps, True), scores.score_s / 2, hop_s / 2)
    per_s = n / max(duration_s, 1e-9)
    firsts = np.clip((middles_s - before_s) * per_s, 0, n - 1).astype(np.int64)
    ends = np.clip(np.ceil((middles_s + after_s) * per_s - 1e-6), 1, n).astype(np.int64)
    for offset in range(int((ends - firsts).max())):
        inside = firsts + offset < ends
        np.maximum.at(levels, firsts[inside] + offset, steps[inside])
    return "".join(" " if level < 0 else _LEVELS[level] for level in levels)


@dataclass(frozen=True)
class Bar:
    """Calls whose scores lie between two."""

    low: float
    high: float
    calls: int


def score_bars(calls: Sequence[DetectedCall]) -> list[Bar]:
    """Calls by score, in bins of half a unit of log odds; the outer ones hold all beyond, too."""
    n = round(2 * (HIGHEST - LOWEST))
    bins = np.minimum(score_place([call.score for call in calls]) * n, n - 1).astype(np.int64)
    counts = np.bincount(bins, minlength=n)
    return [Bar(score_at(k / n), score_at((k + 1) / n), int(of)) for k, of in enumerate(counts)]


def stricter_counts(calls: Sequence[DetectedCall], threshold: float) -> list[tuple[str, int]]:
    """Higher thresholds, a unit of log odds apart, and the calls that each would keep."""
    scores = np.array([call.score for call in calls])
    higher = sorted({shifted_score(threshold, by) for by in (1, 2, 3)})
    return [(score_text(least), int(np.sum(scores >= least))) for least in higher]


@dataclass(frozen=True)
class Dot:
    """A site on the map.

    Attributes:
        x, y: percent from the left and from the bottom.
        name_side: side of its name, ``left`` or ``right``; empty without room.
        name_y: the name's height, in percent like ``y``.
    """

    x: float
    y: float
    activity: Activity
    name_side: str = ""
    name_y: float = 0.0


@dataclass(frozen=True)
class SiteMap:
    """Sites by their positions, north at the top, without a map below them.

    Attributes:
        bar_km, bar_percent: a bar of scale, and its share of the width.
    """

    dots: tuple[Dot, ...]
    bar_km: float
    bar_percent: float


def site_map(recordings: Sequence[RecordingCount], sites: Sequence[Activity]) -> SiteMap | None:
    """The map; None with fewer than two places."""
    middles = _middles(recordings)
    if len({tuple(place) for place in middles.values()}) < 2:
        return None
    centre = np.mean(list(middles.values()), axis=0)
    # One degree of longitude is shorter than one of latitude.
    scale = np.array([1.0, math.cos(math.radians(float(centre[0])))]) * _KM_PER_DEGREE
    km = {site: (place - centre) * scale for site, place in middles.items()}
    reach = 1.15 * max(float(np.abs(place).max()) for place in km.values()) or 1.0
    dots = [
        Dot(
            50 + 50 * float(km[site.label][1]) / reach,
            50 + 50 * float(km[site.label][0]) / reach,
            site,
        )
        for site in sites
        if site.label in km
    ]
    bar_km = round_step(2 * reach)
    return SiteMap(_named(dots), bar_km, 50 * bar_km / reach)


def _middles(recordings: Sequence[RecordingCount]) -> dict[str, npt.NDArray[np.float64]]:
    """Latitude and longitude of each site, in the middle of its recordings."""
    positions: dict[str, list[tuple[float, float]]] = {}
    for row in recordings:
        if row.site and row.latitude is not None and row.longitude is not None:
            positions.setdefault(row.site, []).append((row.latitude, row.longitude))
    return {site: np.mean(places, axis=0) for site, places in positions.items()}


def geojson(recordings: Sequence[RecordingCount], sites: Sequence[Activity]) -> str:
    """The sites with positions for a geographic information system (RFC 7946)."""
    middles = _middles(recordings)
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Point",
                "coordinates": [round(float(degrees), 6) for degrees in middles[site.label][::-1]],
            },
            "properties": {
                "site": site.label,
                "calls": site.calls,
                "valid_h": round(site.valid_s / 3600, 4),
                "calls_per_hour": site.calls_per_hour,
            },
        }
        for site in sites
        if site.label in middles
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)


_Box = tuple[float, float, float, float]


def _named(dots: Sequence[Dot]) -> tuple[Dot, ...]:
    """Dots with names beside them, none over another or over a dot; the busiest choose first."""
    taken: list[_Box] = [(dot.x - 2.2, dot.y - 2.2, dot.x + 2.2, dot.y + 2.2) for dot in dots]
    placed = {}
    for dot in sorted(dots, key=lambda dot: -dot.activity.calls):
        width = len(dot.activity.label) * LETTER_PERCENT
        placed[dot.activity.label] = dot
        for up, side in product((0.0, 1.0, -1.0), ("right", "left")):
            y = dot.y + up * LINE_PERCENT
            left = dot.x + 3.4 if side == "right" else dot.x - 3.4 - width
            box = (left, y - LINE_PERCENT / 2, left + width, y + LINE_PERCENT / 2)
            if 0 <= left <= 100 - width and not any(_overlap(box, other) for other in taken):
                placed[dot.activity.label] = replace(dot, name_side=side, name_y=y)
                taken.append(box)
                break
    return tuple(placed[dot.activity.label] for dot in dots)


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def round_step(highest: float) -> float:
    """A round number, 1, 2 or 5 times a power of ten, that fits four times at most.

    >>> [round_step(x) for x in (0.7, 4, 12, 999)]
    [0.2, 1.0, 5.0, 500.0]
    """
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / 4))
    return next(step for m in (1, 2, 5, 10) if highest / (step := m * power) <= 4)


def distinct_names(names: Sequence[str]) -> dict[str, str]:
    """Shortens names by the folders that nobody needs to tell them apart.

    >>> distinct_names(["a/1.wav", "b/1.wav", "b/2.wav"])
    {'a/1.wav': 'a/1.wav', 'b/1.wav': 'b/1.wav', 'b/2.wav': '2.wav'}
    """
    short: dict[str, str] = {}
    todo, depth = sorted(set(names)), 1
    while todo:
        ends = {name: "/".join(name.split("/")[-depth:]) for name in todo}
        ordered = sorted(ends.values())
        shared = {a for a, b in pairwise(ordered) if a == b}
        for name in todo:
            if ends[name] not in shared or ends[name] == name:
                short[name] = ends[name]
        todo, depth = [name for name in todo if name not in short], depth + 1
    return {name: short[name] for name in names}
