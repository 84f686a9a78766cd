"""What the page draws of numbers: cells, dots and short codes that its style sheet and script draw.

Charts are made of the page's own elements, so that labels keep their size on a telephone, colours
follow the page's and every mark can be read out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.records import RecordingCount
from pipeline.report.activity import Activity
from pipeline.tables.read import WindowScores

STRIP_COLUMNS = 80
_LEVELS = "0123456789abcdefghijklmnopqrstuvwxyz"
_KM_PER_DEGREE = 111.2


def strip_code(duration_s: float, scores: WindowScores) -> str:
    """Scores over time, a character for each of at most ``STRIP_COLUMNS`` equal stretches.

    ``0`` to ``z`` is the highest score of its windows, 0 to 1; so no window that reaches the
    threshold is lost. A blank is a stretch that could not be heard.

    >>> strip_code(4.0, WindowScores(np.array([0.0, 1.0]), np.array([0.0, 1.0], np.float32)))
    '00zz'
    """
    starts_s, values = scores.starts_s, scores.scores
    if not len(values):
        return ""
    hop_s = float(np.diff(starts_s).min()) if len(starts_s) > 1 else scores.score_s
    n = max(1, min(STRIP_COLUMNS, math.floor(duration_s / hop_s)))
    levels = np.full(n, -1, np.int64)
    steps = np.rint(values * (len(_LEVELS) - 1)).astype(np.int64)
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
class Dot:
    """A site on the map: percent from the left and from the bottom, and its activity."""

    x: float
    y: float
    activity: Activity


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
    found: dict[str, list[tuple[float, float]]] = {}
    for row in recordings:
        if row.site and row.latitude is not None and row.longitude is not None:
            found.setdefault(row.site, []).append((row.latitude, row.longitude))
    if len({places[0] for places in found.values()}) < 2:
        return None
    middles = {site: np.mean(places, axis=0) for site, places in found.items()}
    centre = np.mean(list(middles.values()), axis=0)
    # One degree of longitude is shorter than one of latitude.
    scale = np.array([1.0, math.cos(math.radians(float(centre[0])))]) * _KM_PER_DEGREE
    km = {site: (place - centre) * scale for site, place in middles.items()}
    reach = 1.15 * max(float(np.abs(place).max()) for place in km.values()) or 1.0
    dots = tuple(
        Dot(
            50 + 50 * float(km[site.label][1]) / reach,
            50 + 50 * float(km[site.label][0]) / reach,
            site,
        )
        for site in sites
        if site.label in km
    )
    bar_km = round_step(2 * reach)
    return SiteMap(dots, bar_km, 50 * bar_km / reach)


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
    """Each name without the folders that it does not need to be told from the others.

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
