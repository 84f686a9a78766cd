"""From the scores of windows to calls, and how sure their number is.

One call touches several windows, more of them the smaller the hop, so windows cannot be added up.
A call is a peak of the scores, smoothed over neighbouring windows and apart from any higher peak:
a score that dips within a call does not split it, and calls in close succession stay apart however
long the scores stay up in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES

Floats = npt.NDArray[np.float64]

_LOGIT_LIMIT = 8.0
"""Scores are as good as 0 or 1 beyond this; no window outvotes its neighbours by more."""

CANDIDATE_PROBABILITY = 0.01
"""Peaks less likely than this to be a call are left out of the estimate of the count."""


@dataclass(frozen=True)
class CountingRule:
    """How scores become calls. Chosen on validation recordings, kept in the model's contract.

    Attributes:
        threshold: a peak of the smoothed score is a call when it reaches this, 0 to 1.
        smoothing_s: scores are averaged (as log odds) over neighbours closer than this, with
            weights that fall in a straight line; 0 for none.
        min_separation_s: of two peaks closer than this the lower one is not a call.
        before_s, after_s: the call starts and ends this long before and after the middle of the
            windows that hear it.
        evidence_slope, evidence_offset: a peak of log odds ``x`` is a call with log odds
            ``slope x + offset``; for the estimate of the count.
    """

    threshold: float
    smoothing_s: float = 2.0
    min_separation_s: float = 4.5
    before_s: float = 1.5
    after_s: float = 1.5
    evidence_slope: float = 1.0
    evidence_offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold {self.threshold}: it must lie between 0 and 1")
        if self.smoothing_s < 0:
            raise ValueError(f"smoothing_s {self.smoothing_s}: it cannot be negative")
        if self.min_separation_s < 0:
            raise ValueError(f"min_separation_s {self.min_separation_s}: it cannot be negative")
        if self.before_s + self.after_s < 0:
            raise ValueError(
                f"before_s {self.before_s} and after_s {self.after_s}: the call would end before "
                "it starts"
            )
        if not self.evidence_slope > 0:
            raise ValueError(f"evidence_slope {self.evidence_slope}: it must be above 0")


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        start_s, end_s: seconds from the start of the recording.
        score: smoothed score of its peak, 0 to 1.
        n_windows: windows around the peak that reach the threshold themselves.
    """

    start_s: float
    end_s: float
    score: float
    n_windows: int


@dataclass(frozen=True)
class CountEstimate:
    """How many calls there are likely to be: the mean, and bounds that hold it 9 times in 10."""

    mean: float
    low: int
    high: int


def find_calls(
    starts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    rule: CountingRule,
    n_samples: int,
) -> tuple[Call, ...]:
    """Calls in a recording, in order of time.

    Args:
        starts: first sample of each window in the recording at 16 kHz, int64 ``[n]``, any order.
        scores: score of each window, 0 to 1, float32 ``[n]``.
        rule: how scores become calls.
        n_samples: length of the recording at 16 kHz; calls do not reach past it.

    >>> starts = np.arange(8) * SAMPLE_RATE_HZ  # a window every second
    >>> scores = np.array([0, 0, 0.9, 1, 0.9, 0, 0, 0], np.float32)
    >>> find_calls(starts, scores, CountingRule(threshold=0.5), 10 * SAMPLE_RATE_HZ)
    (Call(start_s=3.0, end_s=6.0, score=0.9..., n_windows=3),)
    """
    starts, scores, smooth = _smoothed(starts, scores, rule)
    duration_s = n_samples / SAMPLE_RATE_HZ
    calls = []
    for peak in _peaks(starts, smooth, rule, float(_log_odds(rule.threshold))):
        # Windows that hold the call lie evenly around it: their mean place is its place.
        near = slice(*np.searchsorted(starts, starts[peak] + [-_HALF_WINDOW, _HALF_WINDOW + 1]))
        weights = scores[near].astype(np.float64) + 1e-9
        middle = float(np.sum(weights * (starts[near] - starts[peak])) / np.sum(weights))
        middle_s = (int(starts[peak]) + WINDOW_SAMPLES / 2 + middle) / SAMPLE_RATE_HZ
        start_s = min(max(middle_s - rule.before_s, 0.0), duration_s)
        end_s = min(max(middle_s + rule.after_s, start_s), duration_s)
        reaching = max(1, count_positive_windows(scores[near], rule.threshold))
        calls.append(Call(start_s, end_s, float(probabilities(smooth[peak])), reaching))
    return tuple(calls)


def estimate_count(
    starts: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], rule: CountingRule
) -> CountEstimate:
    """How many calls a recording is likely to hold, with an interval that holds it in 90 %.

    Every peak, also one below the threshold, is a call with the probability that its score had on
    validation recordings. Taken as independent, their number follows the Poisson binomial
    distribution (Hong 2013, Computational Statistics & Data Analysis 59), whose 5 and 95 % points
    bound the interval. As in Navine et al. 2024 (call density by calibrated scores), nothing
    hangs on a threshold.

    Args:
        starts, scores, rule: as for ``find_calls``.
    """
    starts, scores, smooth = _smoothed(starts, scores, rule)
    least = (float(_log_odds(CANDIDATE_PROBABILITY)) - rule.evidence_offset) / rule.evidence_slope
    peaks = _peaks(starts, smooth, rule, least)
    evidence = rule.evidence_slope * smooth[peaks] + rule.evidence_offset
    return count_distribution(probabilities(evidence))


def count_distribution(chances: Floats) -> CountEstimate:
    """The Poisson binomial distribution's mean and its 5 and 95 % points.

    Args:
        chances: of each candidate to be a call, independent, float ``[n]``.

    >>> count_distribution(np.array([0.99, 0.99, 0.5]))
    CountEstimate(mean=2.48, low=2, high=3)
    """
    share = np.ones(1)
    for chance in chances:
        share = np.convolve(share, [1 - chance, chance])
    low, high = np.searchsorted(np.cumsum(share), [0.05, 0.95])
    return CountEstimate(float(np.sum(chances)), int(low), min(int(high), len(chances)))


def peak_evidence(
    starts: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], rule: CountingRule
) -> tuple[Floats, Floats]:
    """Every peak, however low: the middle of its window in seconds and its smoothed log odds."""
    starts, scores, smooth = _smoothed(starts, scores, rule)
    peaks = _peaks(starts, smooth, rule, -_LOGIT_LIMIT)
    return (starts[peaks] + WINDOW_SAMPLES / 2) / SAMPLE_RATE_HZ, smooth[peaks]


def count_positive_windows(scores: npt.NDArray[np.float32], threshold: float) -> int:
    """Windows at or above ``threshold``: what the tutorial counts.

    >>> count_positive_windows(np.array([0.1, 0.5, 0.9], np.float32), 0.5)
    2
    """
    return int(np.count_nonzero(scores >= np.float32(threshold)))


_HALF_WINDOW = WINDOW_SAMPLES // 2


def log_odds(probability: npt.ArrayLike, least: float = 1e-7) -> Floats:
    """Probabilities 0 to 1 as log odds, kept finite: none counts as less than ``least``.

    >>> log_odds([0.5, 0.9]).round(3).tolist()
    [0.0, 2.197]
    """
    p = np.clip(np.asarray(probability, dtype=np.float64), least, 1 - least)
    return np.asarray(np.log(p / (1 - p)))


def _log_odds(probability: npt.ArrayLike) -> Floats:
    """Within the limits that the counting rule looks at."""
    return np.clip(log_odds(probability, 1e-12), -_LOGIT_LIMIT, _LOGIT_LIMIT)


def probabilities(log_odds: npt.ArrayLike) -> Floats:
    """Log odds as probabilities 0 to 1."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds))))


def _smoothed(
    starts: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], rule: CountingRule
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], Floats]:
    """Windows in order of time, and of each the weighted mean log odds of it and its neighbours.

    Whatever the hop between them.
    """
    order = np.argsort(starts, kind="stable")
    starts, scores = starts[order], scores[order]
    values = _log_odds(scores)
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
