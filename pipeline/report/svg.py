"""Small pictures drawn as SVG, so that they follow the page's colours and stay sharp."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from pipeline.report.activity import Activity
from pipeline.tables.read import CallResult, WindowScores

_STRIP_POINTS = 160
_STRIP_WIDTH, _STRIP_HEIGHT, _CALL_HEIGHT = 320, 30, 5


def clock(seconds: float) -> str:
    """A time within a recording: ``m:ss``, or ``h:mm:ss`` from an hour on."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def strip(
    duration_s: float,
    scores: WindowScores | None,
    calls: Sequence[CallResult],
    threshold: float | None,
) -> str:
    """Scores of a recording's windows over time, its calls marked above them.

    Each of at most ``_STRIP_POINTS`` columns shows the highest score of its windows, placed at
    their middle; so no window that reaches the threshold is lost.
    """
    top, height = _CALL_HEIGHT + 2, _STRIP_HEIGHT - _CALL_HEIGHT - 2
    scale = _STRIP_WIDTH / max(duration_s, 1e-9)
    parts = []
    if scores is not None and len(scores.scores):
        parts += [
            f'<path class="score" d="{path}"/>' for path in _score_paths(scores, scale, top, height)
        ]
    if threshold is not None:
        y = top + height * (1 - threshold)
        parts.append(f'<path class="threshold" d="M0 {y:.1f}H{_STRIP_WIDTH}"/>')
    for call in calls:
        width = max(2.0, (call.end_s - call.start_s) * scale)
        parts.append(
            f'<rect class="call" x="{call.start_s * scale:.1f}" y="0" width="{width:.1f}" '
            f'height="{_CALL_HEIGHT}"><title>{clock(call.start_s)}, score {call.score:.2f}</title>'
            "</rect>"
        )
    parts.append(f'<path class="base" d="M0 {_STRIP_HEIGHT}H{_STRIP_WIDTH}"/>')
    return (
        f'<svg viewBox="0 0 {_STRIP_WIDTH} {_STRIP_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="scores over time, {len(calls)} calls">{"".join(parts)}</svg>'
        f'<div class="axis"><span>0:00</span><span>{clock(duration_s)}</span></div>'
    )


def _score_paths(scores: WindowScores, scale: float, top: float, height: float) -> Iterator[str]:
    starts_s, values = scores.starts_s, scores.scores
    hop_s = float(np.diff(starts_s).min()) if len(starts_s) > 1 else 3.0
    # A window that could not be decoded leaves a gap, not a line drawn over it.
    stretches = np.split(
        np.arange(len(values)), np.flatnonzero(np.diff(starts_s) > 1.5 * hop_s) + 1
    )
    for stretch in stretches:
        columns = max(1, math.ceil(_STRIP_POINTS * len(stretch) / len(values)))
        points = []
        for group in np.array_split(stretch, min(columns, len(stretch))):
            middle_s = float(starts_s[group].mean()) + 1.5
            x = min(_STRIP_WIDTH, middle_s * scale)
            points.append((x, top + height * (1 - float(values[group].max()))))
        line = "".join(f"L{x:.1f} {y:.1f}" for x, y in points)
        bottom = top + height
        left = max(0.0, points[0][0] - 1.5 * scale)
        right = min(_STRIP_WIDTH, points[-1][0] + 1.5 * scale)
        yield (
            f"M{left:.1f} {bottom:.0f}L{left:.1f} {points[0][1]:.1f}{line}"
            f"L{right:.1f} {points[-1][1]:.1f}L{right:.1f} {bottom:.0f}Z"
        )


def bars(activities: Sequence[Activity], unit: str) -> str:
    """Calls per hour recorded as bars, with what was not recorded marked as such.

    Args:
        activities: one for each bar.
        unit: what the labels below the bars are, for the axis.
    """
    width, height, left, top, bottom = 1100, 190, 46, 10, 42
    inner = height - top - bottom
    highest = max((a.calls_per_hour or 0 for a in activities), default=0)
    step = _round_step(highest)
    limit = max(step, step * math.ceil(highest / step))
    slot = (width - left) / max(1, len(activities))
    parts = []
    for n in range(round(limit / step) + 1):
        y = top + inner * (1 - n * step / limit)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{width}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{n * step:g}</text>')
    every = max(1, math.ceil(len(activities) * 62 / (width - left)) if len(activities) > 24 else 1)
    for n, activity in enumerate(activities):
        bar = min(slot * 0.8, 44)
        x = left + n * slot + (slot - bar) / 2
        rate = activity.calls_per_hour
        tall = inner * (rate or 0) / limit if rate is not None else inner
        heard = f"{activity.calls} calls in {activity.valid_s / 3600:.2f} h recorded"
        parts.append(
            f'<rect class="{"bar" if rate is not None else "absent"}" x="{x:.1f}" '
            f'y="{top + inner - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}">'
            f"<title>{escape(activity.label)}: {heard if rate is not None else 'not recorded'}"
            "</title></rect>"
        )
        if n % every == 0:
            parts.append(
                f'<text x="{x + bar / 2:.1f}" y="{height - bottom + 16}" text-anchor="middle">'
                f"{escape(activity.label)}</text>"
            )
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">{escape(unit)}'
        "</text>"
        f'<text transform="translate(12 {top + inner / 2}) rotate(-90)" text-anchor="middle">'
        "calls per hour</text>"
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" width="100%" style="min-width:640px" '
        f'aria-label="calls per hour recorded, by {escape(unit)}">{"".join(parts)}</svg>'
    )


def _round_step(highest: float) -> float:
    """A distance between grid lines: 1, 2 or 5 times a power of ten, four lines or fewer."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / 4))
    return next(step for m in (1, 2, 5, 10) if highest / (step := m * power) <= 4)
