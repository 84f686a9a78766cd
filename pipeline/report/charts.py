"""Small charts as SVG, so that they follow the page's colours and stay sharp."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from markupsafe import Markup

from model.windows import WINDOW_S
from pipeline.records import DetectedCall
from pipeline.report.activity import Activity
from pipeline.report.html import fill_in
from pipeline.tables.read import WindowScores

_STRIP_POINTS = 160
_STRIP_WIDTH, _STRIP_HEIGHT, _CALL_HEIGHT = 320, 30, 5
_BARS_WIDTH, _BARS_HEIGHT, _LEFT, _TOP, _BOTTOM = 1100, 190, 46, 10, 42
_LABEL_WIDTH = 62


def strip(
    duration_s: float,
    scores: WindowScores | None,
    calls: Sequence[DetectedCall],
    threshold: float | None,
) -> Markup:
    """Scores of a recording's windows over time, its calls marked above them.

    Each of at most ``_STRIP_POINTS`` columns shows the highest score of its windows, placed at
    their middle; so no window that reaches the threshold is lost.
    """
    top, height = _CALL_HEIGHT + 2, _STRIP_HEIGHT - _CALL_HEIGHT - 2
    scale = _STRIP_WIDTH / max(duration_s, 1e-9)
    is_scored = scores is not None and len(scores.scores)
    return fill_in(
        "strip.svg",
        width=_STRIP_WIDTH,
        height=_STRIP_HEIGHT,
        call_height=_CALL_HEIGHT,
        paths=list(_score_paths(scores, scale, top, height)) if scores and is_scored else [],
        threshold_y=None if threshold is None else top + height * (1 - threshold),
        calls=calls,
        scale=scale,
        duration_s=duration_s,
    )


def _score_paths(scores: WindowScores, scale: float, top: float, height: float) -> Iterator[str]:
    starts_s, values = scores.starts_s, scores.scores
    hop_s = float(np.diff(starts_s).min()) if len(starts_s) > 1 else WINDOW_S
    # A window that could not be decoded leaves a gap, not a line drawn over it.
    stretches = np.split(
        np.arange(len(values)), np.flatnonzero(np.diff(starts_s) > 1.5 * hop_s) + 1
    )
    half_s, bottom = WINDOW_S / 2, top + height
    for stretch in stretches:
        columns = max(1, math.ceil(_STRIP_POINTS * len(stretch) / len(values)))
        points = []
        for group in np.array_split(stretch, min(columns, len(stretch))):
            x = min(_STRIP_WIDTH, (float(starts_s[group].mean()) + half_s) * scale)
            points.append((x, top + height * (1 - float(values[group].max()))))
        line = "".join(f"L{x:.1f} {y:.1f}" for x, y in points)
        left = max(0.0, points[0][0] - half_s * scale)
        right = min(_STRIP_WIDTH, points[-1][0] + half_s * scale)
        yield (
            f"M{left:.1f} {bottom:.0f}L{left:.1f} {points[0][1]:.1f}{line}"
            f"L{right:.1f} {points[-1][1]:.1f}L{right:.1f} {bottom:.0f}Z"
        )


def bars(activities: Sequence[Activity], unit: str) -> Markup:
    """Calls per hour recorded as bars, with what was not recorded marked as such.

    Args:
        activities: one for each bar.
        unit: what the labels below the bars are, for the axis.
    """
    inner = _BARS_HEIGHT - _TOP - _BOTTOM
    highest = max((a.calls_per_hour or 0 for a in activities), default=0)
    step = _round_step(highest)
    limit = max(step, step * math.ceil(highest / step))
    room = _BARS_WIDTH - _LEFT
    return fill_in(
        "bars.svg",
        width=_BARS_WIDTH,
        height=_BARS_HEIGHT,
        left=_LEFT,
        top=_TOP,
        bottom=_BOTTOM,
        inner=inner,
        limit=limit,
        lines=[n * step for n in range(round(limit / step) + 1)],
        slot=room / max(1, len(activities)),
        activities=activities,
        every=math.ceil(len(activities) * _LABEL_WIDTH / room) if len(activities) > 24 else 1,
        unit=unit,
    )


def _round_step(highest: float) -> float:
    """A distance between grid lines: 1, 2 or 5 times a power of ten, four lines or fewer."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / 4))
    return next(step for m in (1, 2, 5, 10) if highest / (step := m * power) <= 4)
