"""From scores to calls, and how sure their number is.

A score says how likely a call's moo begins in a step of 0.128 s, or, with networks such as the
tutorial's, how likely a window of 3 s holds a call. One call raises several scores, so those above
a threshold cannot be added up. A call is a peak of the scores, apart from any higher peak; scores
of windows are smoothed first, so that a dip within a call does not split it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.expected import CountEstimate, PeakDensities, expected_count
from model.windows import (
    SAMPLE_RATE_HZ,
    WINDOW_S,
    WINDOW_SAMPLES,
    Grid,
    Samples,
    Starts,
    window_starts,
)

Floats = npt.NDArray[np.float64]

_LOGIT_LIMIT = 8.0
"""Scores are as good as 0 or 1 beyond this; no window outvotes its neighbours by more."""

MOO_S = 2.2
"""How long a call's moo is, from its onset to the end of the call."""

PEAK_S = 0.3
"""Scores this close to a peak's highest say where its middle is."""


@dataclass(frozen=True)
class CountingRule:
    """How scores become calls. Chosen on validation recordings, kept in the model's contract.

    Attributes:
        score_s: what a score is the score of, in seconds: a window, or a step.
        threshold: a peak of the smoothed score is a call when it reaches this, 0 to 1.
        smoothing_s: scores are averaged (as log odds) over neighbours closer than this, with
            weights that fall in a straight line; 0 for none.
        min_separation_s: of two peaks closer than this the lower one is not a call.
        before_s, after_s: the call starts and ends this long before and after the middle of its
            peak.
        evidence: what peaks of calls and of everything else are like, for the estimate of the
            count; None where nothing says it.
    """

    threshold: float
    score_s: float = WINDOW_S
    smoothing_s: float = 2.0
    min_separation_s: float = 4.5
    before_s: float = 1.5
    after_s: float = 1.5
    evidence: PeakDensities | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold {self.threshold}: it must lie between 0 and 1")
        if not self.score_s > 0:
            raise ValueError(f"score_s {self.score_s}: it must be above 0")
        if self.smoothing_s < 0:
            raise ValueError(f"smoothing_s {self.smoothing_s}: it cannot be negative")
        if self.min_separation_s < 0:
            raise ValueError(f"min_separation_s {self.min_separation_s}: it cannot be negative")
        if self.before_s + self.after_s < 0:
            raise ValueError(
                f"before_s {self.before_s} and after_s {self.after_s}: the call would end before "
                "it starts"
            )


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        start_s, end_s: seconds from the start of the recording.
        peak_s: the middle of its peak: where its moo begins, or of the windows that hold it.
        score: smoothed score of its peak, 0 to 1.
    """

    start_s: float
    end_s: float
    peak_s: float
    score: float


def find_calls(
    starts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    rule: CountingRule,
    n_samples: int,
) -> tuple[Call, ...]:
    """Calls in a recording, in order of time.

    Args:
        starts: first sample of what each score is of, at 16 kHz, int64 ``[n]``, any order.
        scores: 0 to 1, float32 ``[n]``.
        rule: how scores become calls.
        n_samples: length of the recording at 16 kHz; calls do not reach past it.

    >>> starts = np.arange(8) * SAMPLE_RATE_HZ  # a window every second
    >>> scores = np.array([0, 0, 0.9, 1, 0.9, 0, 0, 0], np.float32)
    >>> find_calls(starts, scores, CountingRule(threshold=0.5), 10 * SAMPLE_RATE_HZ)
    (Call(start_s=3.0, end_s=6.0, peak_s=4.5, score=0.9...),)
    """
    threshold = float(log_odds(rule.threshold, 1e-12))
    starts, scores, smooth = _smoothed(starts, scores, rule, max(_LOGIT_LIMIT, abs(threshold)))
    duration_s = n_samples / SAMPLE_RATE_HZ
    reach = round(max(rule.score_s / 2, PEAK_S) * SAMPLE_RATE_HZ)
    calls = []
    for peak in _peaks(starts, smooth, rule, threshold):
        # High scores lie evenly around the call: their mean place is its place.
        near = slice(*np.searchsorted(starts, starts[peak] + [-reach, reach + 1]))
        weights = scores[near].astype(np.float64) + 1e-9
        middle = float(np.sum(weights * (starts[near] - starts[peak])) / np.sum(weights))
        peak_s = (int(starts[peak]) + middle) / SAMPLE_RATE_HZ + rule.score_s / 2
        start_s = min(max(peak_s - rule.before_s, 0.0), duration_s)
        end_s = min(max(peak_s + rule.after_s, start_s), duration_s)
        calls.append(Call(start_s, end_s, peak_s, float(probabilities(smooth[peak]))))
    return tuple(calls)


def estimate_count(
    starts: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], rule: CountingRule
) -> CountEstimate | None:
    """How many calls a recording is likely to hold, with an interval that holds it in 90 %.

    From all peaks, those below the threshold too; see ``model.expected``. None where the rule does
    not say what peaks are like.

    Args:
        starts, scores, rule: as for ``find_calls``.
    """
    if rule.evidence is None:
        return None
    if not len(starts):
        return CountEstimate(0.0, 0, 0)
    middles_s, peaks = peak_evidence(starts, scores, rule)
    heard_s = int(starts.max() - starts.min()) / SAMPLE_RATE_HZ + rule.score_s
    return expected_count(rule.evidence, middles_s, peaks, heard_s, rule.min_separation_s)


def peak_evidence(
    starts: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], rule: CountingRule
) -> tuple[Floats, Floats]:
    """Every peak, however low: its middle in seconds and its smoothed log odds."""
    starts, scores, smooth = _smoothed(starts, scores, rule)
    peaks = _peaks(starts, smooth, rule, 0.1 - _LOGIT_LIMIT)
    return starts[peaks] / SAMPLE_RATE_HZ + rule.score_s / 2, smooth[peaks]


def count_positive_windows(scores: npt.NDArray[np.float32], threshold: float) -> int:
    """Windows at or above ``threshold``: what the tutorial counts.

    >>> count_positive_windows(np.array([0.1, 0.5, 0.9], np.float32), 0.5)
    2
    """
    return int(np.count_nonzero(scores >= np.float32(threshold)))


def window_scores(
    starts: Starts, scores: Samples, grid: Grid, n_samples: int, hop_samples: int
) -> tuple[Starts, Samples]:
    """Scores of windows: of each, the highest score of a call half of whose moo lies in it.

    So windows side by side hold each call once. A window of which no step was scored is left out.
    Scores of windows are returned as they are.

    Args:
        starts, scores: of a recording, in order of time.
        grid: where they lie.
        n_samples: length of the recording.
        hop_samples: from one window to the next.

    Returns:
        First samples of windows, and their scores.
    """
    if grid.scores_windows:
        return starts, scores
    windows = window_starts(n_samples, hop_samples)
    half_moo = round(MOO_S / 2 * SAMPLE_RATE_HZ)
    middles = starts + grid.step_samples // 2
    first = np.searchsorted(middles, windows - half_moo)
    end = np.searchsorted(middles, windows - half_moo + WINDOW_SAMPLES)
    kept = first < end
    edges = np.stack([first[kept], end[kept]], 1).ravel()
    highest = (
        np.maximum.reduceat(np.append(scores, np.float32(0)), edges)[::2]
        if len(edges)
        else scores[:0]
    )
    return windows[kept], highest


def log_odds(probability: npt.ArrayLike, least: float = 1e-7) -> Floats:
    """Probabilities 0 to 1 as log odds, kept finite: none counts as less than ``least``.

    >>> log_odds([0.5, 0.9]).round(3).tolist()
    [0.0, 2.197]
    """
    p = np.clip(np.asarray(probability, dtype=np.float64), least, 1 - least)
    return np.asarray(np.log(p / (1 - p)))


def probabilities(log_odds: npt.ArrayLike) -> Floats:
    """Log odds as probabilities 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds))))


def _smoothed(
    starts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    rule: CountingRule,
    limit: float = _LOGIT_LIMIT,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], Floats]:
    """Windows in order of time, and of each the weighted mean log odds of it and its neighbours.

    Whatever the hop between them. No log odds count as further from 0 than ``limit``.
    """
    order = np.argsort(starts, kind="stable")
    starts, scores = starts[order], scores[order]
    values = np.clip(log_odds(scores, 1e-12), -limit, limit)
    reach = rule.smoothing_s * SAMPLE_RATE_HZ
    total, weight = values.copy(), np.ones(len(values))
    for step in range(1, len(values)):
        share = 1 - (starts[step:] - starts[:-step]) / max(reach, 1e-9)
        if not np.any(share > 0):
            break
        share = np.maximum(share, 0)
        total[step:] += share * values[:-step]
        total[:-step] += share * values[step:]
        weight[step:] += share
        weight[:-step] += share
    return starts, scores, np.asarray(total / weight)


def _peaks(
    starts: npt.NDArray[np.int64], smooth: Floats, rule: CountingRule, least: float
) -> npt.NDArray[np.int64]:
    """Indices of peaks of at least ``least``, in order of time; higher ones shadow lower ones."""
    separation = round(rule.min_separation_s * SAMPLE_RATE_HZ)
    open_ = smooth >= least
    peaks = []
    for index in np.argsort(-smooth, kind="stable"):
        if not open_[index]:
            continue
        peaks.append(index)
        first, end = np.searchsorted(
            starts, [starts[index] - separation + 1, starts[index] + separation]
        )
        open_[first:end] = False
        open_[index] = False
    return np.array(sorted(peaks), dtype=np.int64)
