"""Units of a recording, each a question for a listener: calls, faint candidates, and the rest.

The units of a recording lie side by side and cover its scored audio, so every call begins in one
of them, counted or not:

- ``call``: a counted call, from its start to its end (a row of calls.csv);
- ``faint``: as long as a call, around a peak of the scores below the threshold, clear of calls and
  stronger faint units;
- ``rest``: the remaining audio, in pieces of at most 3 s.

A unit of kind ``call`` is one call, or several birds at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model.calls import CountingRule, Floats, log_odds, peak_evidence
from model.windows import SAMPLE_RATE_HZ, WINDOW_S
from pipeline.records import DetectedCall, RecordingCount
from pipeline.tables.read import WindowScores

Integers = npt.NDArray[np.int64]

KINDS = ("call", "faint", "rest")
CALL, FAINT, REST = range(3)

LEVELS_PER_UNIT = 16
"""Levels for each unit of log odds; the released network rounds its scores to these."""

_LIMIT = 8
N_LEVELS = 2 * _LIMIT * LEVELS_PER_UNIT + 1

_CELL_S = 0.05
_LEAST_S = 1.0
"""A shorter gap is too short to judge."""


@dataclass(frozen=True)
class Units:
    """The units of a recording.

    Attributes:
        kinds: indices into ``KINDS``, int64 ``[n]``.
        starts_s, ends_s: in seconds from the start of the recording, ``[n]``.
        levels: log odds of their highest score in sixteenths, 0 for -8 to 256 for 8, int64 ``[n]``.
    """

    kinds: Integers
    starts_s: Floats
    ends_s: Floats
    levels: Integers


def level_of(score: npt.ArrayLike) -> Integers:
    """The level of a score 0 to 1, 0 to 256.

    >>> level_of([0.0, 0.5, 0.9997]).tolist()
    [0, 128, 256]
    """
    return level_of_log_odds(log_odds(score))


def level_of_log_odds(value: npt.ArrayLike) -> Integers:
    """The level of log odds."""
    limited = np.clip(np.asarray(value, np.float64), -_LIMIT, _LIMIT)
    return np.rint((limited + _LIMIT) * LEVELS_PER_UNIT).astype(np.int64)


def log_odds_of_level(level: npt.ArrayLike) -> Floats:
    """The log odds of a level; half a level lies between two."""
    return np.asarray(level, np.float64) / LEVELS_PER_UNIT - _LIMIT


def edge_at(score: float) -> int:
    """The first level above a score that lies between two levels."""
    return round((float(log_odds(score)) + _LIMIT) * LEVELS_PER_UNIT + 0.5)


def units_of(
    row: RecordingCount, calls: Sequence[DetectedCall], scores: WindowScores, rule: CountingRule
) -> Units:
    """The units of a recording, in no particular order.

    Args:
        row: its row of counts.csv.
        calls: its rows of calls.csv.
        scores: stored by the run.
        rule: counting rule of the run, with the row's threshold.
    """
    covered_s = float(scores.starts_s[-1] + scores.score_s) if len(scores.starts_s) else 0.0
    end_s = min(covered_s, row.duration_s or covered_s)
    taken = np.ones(int(np.ceil(end_s / _CELL_S)), bool)
    for start_s, stop_s in _covered(scores):
        taken[round(start_s / _CELL_S) : round(stop_s / _CELL_S)] = False
    for call in calls:
        _take(taken, call.start_s, call.end_s)

    peaks_s, peaks = _peaks_below(row, scores, rule)
    starts_s, ends_s = peaks_s - rule.before_s, peaks_s + rule.after_s
    faint: list[int] = []
    left: list[int] = []
    for index in np.argsort(-peaks, kind="stable"):
        inside = starts_s[index] >= 0 and ends_s[index] <= end_s
        if inside and not taken[_cells(starts_s[index], ends_s[index])].any():
            _take(taken, starts_s[index], ends_s[index])
            faint.append(int(index))
        else:
            left.append(int(index))
    rest_s = _pieces(taken)
    rest_levels = np.zeros(len(rest_s), np.int64)
    if len(rest_s) and left:
        peaks_left_s, values = peaks_s[left], level_of_log_odds(peaks[left])
        piece = np.searchsorted(rest_s[:, 0], peaks_left_s, side="right") - 1
        within = (piece >= 0) & (peaks_left_s < rest_s[piece, 1])
        np.maximum.at(rest_levels, piece[within], values[within])
    return Units(
        kinds=np.repeat([CALL, FAINT, REST], [len(calls), len(faint), len(rest_s)]),
        starts_s=np.concatenate([[c.start_s for c in calls], starts_s[faint], rest_s[:, 0]]),
        ends_s=np.concatenate([[c.end_s for c in calls], ends_s[faint], rest_s[:, 1]]),
        levels=np.concatenate(
            [level_of([c.score for c in calls]), level_of_log_odds(peaks[faint]), rest_levels]
        ),
    )


def _covered(scores: WindowScores) -> list[tuple[float, float]]:
    """Stretches with scores, in seconds; damaged audio has none."""
    starts_s = scores.starts_s
    if not len(starts_s):
        return []
    reach_s = max(float(np.diff(starts_s).min(initial=scores.score_s)), scores.score_s)
    breaks = np.flatnonzero(np.diff(starts_s) > 1.5 * reach_s) + 1
    return [(float(run[0]), float(run[-1]) + scores.score_s) for run in np.split(starts_s, breaks)]


def _peaks_below(
    row: RecordingCount, scores: WindowScores, rule: CountingRule
) -> tuple[Floats, Floats]:
    """Peaks below the threshold: their middles in seconds, and their log odds."""
    if row.counting == "windows":  # side by side: each is a candidate by itself
        middles_s, values = scores.starts_s + scores.score_s / 2, log_odds(scores.scores)
    else:
        starts = np.rint(scores.starts_s * SAMPLE_RATE_HZ).astype(np.int64)
        of_scores = replace(rule, score_s=scores.score_s)
        middles_s, values = peak_evidence(starts, scores.scores, of_scores)
    below = (values < log_odds(row.threshold)) & (values > -_LIMIT)
    return middles_s[below], values[below]


def _cells(start_s: float, end_s: float) -> slice:
    return slice(max(0, int(start_s / _CELL_S)), max(0, int(np.ceil(end_s / _CELL_S))))


def _take(taken: npt.NDArray[np.bool_], start_s: float, end_s: float) -> None:
    taken[_cells(start_s, end_s)] = True


def _pieces(taken: npt.NDArray[np.bool_]) -> Floats:
    """Free stretches in equal pieces of at most 3 s, as start and end in seconds, ``[n, 2]``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], taken, [True]]).astype(np.int8)))
    pieces = [
        np.stack([at[:-1], at[1:]], 1)
        for first, end in edges.reshape(-1, 2) * _CELL_S
        if end - first >= _LEAST_S - 1e-9
        for at in [np.linspace(first, end, int(np.ceil((end - first) / WINDOW_S - 1e-9)) + 1)]
    ]
    return np.concatenate([np.zeros((0, 2)), *pieces])
