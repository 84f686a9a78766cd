"""Figures that say how good a model is. Plain arithmetic on scores, calls and annotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.calls import Call
from model.training.clips import Annotation

TOLERANCE_S = 1.5
"""A call is found when the middle of a detection lies this close to the middle of an annotation."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Match:
    """What was found in one recording.

    Attributes:
        pairs: (detection, annotation) indices, one to one.
        false: detections that are no call; missed: annotations that nothing found.
    """

    pairs: tuple[tuple[int, int], ...]
    false: tuple[int, ...]
    missed: tuple[int, ...]


def match_calls(
    calls: Sequence[Call],
    annotations: Sequence[Annotation],
    overlooked: Sequence[Annotation] = (),
) -> Match:
    """Pairs detections with annotations, nearest first.

    Args:
        calls: what was found.
        annotations: what is there.
        overlooked: annotations that need not be found; finding them is not false either.
    """
    pairs, free, missed = _nearest(calls, range(len(calls)), annotations)
    _, false, _ = _nearest(calls, free, overlooked)
    return Match(tuple(sorted(pairs)), tuple(false), tuple(missed))


def _nearest(
    calls: Sequence[Call], candidates: Iterable[int], annotations: Sequence[Annotation]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    candidates = list(candidates)
    distances = sorted(
        (abs(calls[i].start_s + calls[i].end_s - note.start_s - note.end_s) / 2, i, j)
        for i in candidates
        for j, note in enumerate(annotations)
    )
    pairs: list[tuple[int, int]] = []
    used: set[int] = set()
    found: set[int] = set()
    for distance_s, i, j in distances:
        if distance_s <= TOLERANCE_S and i not in used and j not in found:
            pairs.append((i, j))
            used.add(i)
            found.add(j)
    free = [i for i in candidates if i not in used]
    return pairs, free, [j for j in range(len(annotations)) if j not in found]


@dataclass(frozen=True)
class CallFigures:
    """Calls found over many recordings, and counts recording by recording."""

    recordings: int
    found: int
    false: int
    missed: int
    exact_share: float
    mean_absolute_error: float
    bias: float
    worst: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of calls."""
        total = 2 * self.found + self.false + self.missed
        return 2 * self.found / total if total else 1.0


def call_figures(matches: Sequence[Match]) -> CallFigures:
    """Sums over recordings. A count's error is detections minus annotations."""
    errors = np.array([len(m.false) - len(m.missed) for m in matches])
    return CallFigures(
        recordings=len(matches),
        found=sum(len(m.pairs) for m in matches),
        false=sum(len(m.false) for m in matches),
        missed=sum(len(m.missed) for m in matches),
        exact_share=float(np.mean(errors == 0)),
        mean_absolute_error=float(np.mean(np.abs(errors))),
        bias=float(np.mean(errors)),
        worst=int(np.max(np.abs(errors), initial=0)),
    )


@dataclass(frozen=True)
class WindowFigures:
    """Windows told apart at a threshold, and at every threshold."""

    windows: int
    positive: int
    precision: float
    recall: float
    roc_area: float


def window_figures(scores: Floats, labels: Floats, threshold: float) -> WindowFigures:
    """Precision and recall at ``threshold`` and the area under the ROC curve.

    Args:
        scores, labels: float ``[n]``; labels are 0 or 1.
        threshold: a window at or above it is taken as positive.
    """
    positive, said = labels == 1, scores >= threshold
    hits = int(np.sum(positive & said))
    return WindowFigures(
        windows=len(scores),
        positive=int(np.sum(positive)),
        precision=hits / max(1, int(np.sum(said))),
        recall=hits / max(1, int(np.sum(positive))),
        roc_area=roc_area(scores, labels),
    )


def roc_area(scores: Floats, labels: Floats) -> float:
    """Chance that a positive scores above a negative; ties count half. NaN without both."""
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse] if len(values) else np.zeros(0)
    n_positive = int(np.sum(labels == 1))
    n_negative = len(labels) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    above = float(np.sum(ranks[labels == 1])) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def roc_curve(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates as the threshold falls, both from 0 to 1."""
    order = np.argsort(-scores, kind="stable")
    positive = labels[order] == 1
    true = np.concatenate([[0], np.cumsum(positive) / max(1, positive.sum())])
    false = np.concatenate([[0], np.cumsum(~positive) / max(1, (~positive).sum())])
    return false, true


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: mean score and share of positives in each bin that holds any."""

    score: tuple[float, ...]
    share: tuple[float, ...]
    count: tuple[int, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by the windows."""
        total = sum(self.count)
        gaps = zip(self.score, self.share, self.count, strict=True)
        return sum(n * abs(p - s) for p, s, n in gaps) / max(1, total)


def reliability(scores: Floats, labels: Floats, bins: int = 10) -> Reliability:
    """Scores 0 to 1 against labels 0 or 1, float ``[n]``, in bins of equal width."""
    index = np.minimum((scores * bins).astype(int), bins - 1)
    filled = [b for b in range(bins) if np.any(index == b)]
    return Reliability(
        tuple(float(np.mean(scores[index == b])) for b in filled),
        tuple(float(np.mean(labels[index == b])) for b in filled),
        tuple(int(np.sum(index == b)) for b in filled),
    )


def fit_log_odds(evidence: Floats, labels: Floats) -> tuple[float, float]:
    """Logistic regression of labels on one number: (slope, offset), by Newton's method.

    As Platt (1999) does, labels are moved a little off 0 and 1, so that data that can be told apart
    without error still give finite odds.

    Args:
        evidence: log odds as the network or the rule gives them, float ``[n]``.
        labels: 0 or 1, both present.
    """
    n_positive = float(np.sum(labels == 1))
    n_negative = float(len(labels) - n_positive)
    target = np.where(labels == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    slope, offset = 1.0, 0.0
    for _ in range(100):
        probability = 1 / (1 + np.exp(-np.clip(slope * evidence + offset, -30, 30)))
        weight = probability * (1 - probability) + 1e-9
        excess = probability - target
        gradient = np.array([np.sum(excess * evidence), np.sum(excess)])
        hessian = np.array(
            [
                [np.sum(weight * evidence**2) + 1e-6, np.sum(weight * evidence)],
                [np.sum(weight * evidence), np.sum(weight) + 1e-6],
            ]
        )
        step = np.clip(np.linalg.solve(hessian, gradient), -1, 1)
        slope, offset = slope - step[0], offset - step[1]
        if np.max(np.abs(step)) < 1e-8:
            break
    return float(max(slope, 0.01)), float(offset)
