"""Figures that say how good a model is. From scores, calls and annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn import metrics
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from model.calls import Call
from model.training.clips import Annotation

TOLERANCE_S = 1.5
"""A call is found when the middle of a detection lies this close to the middle of an annotation."""

Numbers = npt.NDArray[np.floating]


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
    paired: set[int] = set()
    for distance_s, i, j in distances:
        if distance_s <= TOLERANCE_S and i not in used and j not in paired:
            pairs.append((i, j))
            used.add(i)
            paired.add(j)
    free = [i for i in candidates if i not in used]
    return pairs, free, [j for j in range(len(annotations)) if j not in paired]


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

    @property
    def counted_share(self) -> float:
        """Calls counted, right or wrong, over calls there are."""
        return (self.found + self.false) / max(1, self.found + self.missed)


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
    """How windows divide at a threshold, and at every threshold."""

    windows: int
    positive: int
    precision: float
    recall: float
    roc_area: float


def window_figures(scores: Numbers, labels: Numbers, threshold: float) -> WindowFigures:
    """Precision and recall at ``threshold`` and the area under the ROC curve.

    Args:
        scores, labels: float ``[n]``; labels are 0 or 1.
        threshold: a window at or above it is taken as positive.
    """
    positive, predicted = labels == 1, scores >= threshold
    hits = int(np.sum(positive & predicted))
    return WindowFigures(
        windows=len(scores),
        positive=int(np.sum(positive)),
        precision=hits / max(1, int(np.sum(predicted))),
        recall=hits / max(1, int(np.sum(positive))),
        roc_area=roc_area(scores, labels),
    )


def roc_area(scores: Numbers, labels: Numbers) -> float:
    """Chance that a positive scores above a negative; ties count half. NaN without both."""
    return float(roc_auc_score(labels, scores)) if len(np.unique(labels)) == 2 else float("nan")


def roc_curve(scores: Numbers, labels: Numbers) -> tuple[Numbers, Numbers]:
    """False and true positive rates as the threshold falls, both from 0 to 1."""
    false, true, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
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


def reliability(scores: Numbers, labels: Numbers, bins: int = 10) -> Reliability:
    """Scores 0 to 1 against labels 0 or 1, float ``[n]``, in bins of equal width."""
    share, score = calibration_curve(labels, scores, n_bins=bins)
    edges = np.linspace(0, 1, bins + 1)[1:-1]  # as calibration_curve has them
    count = np.bincount(np.searchsorted(edges, scores), minlength=bins)
    return Reliability(
        tuple(score.tolist()), tuple(share.tolist()), tuple(count[count > 0].tolist())
    )


def fit_log_odds(evidence: Numbers, labels: Numbers) -> tuple[float, float]:
    """Logistic regression of labels on one number: (slope, offset).

    As Platt (1999) does, labels are moved a little off 0 and 1, so that data that a threshold
    divides without error still give finite odds: each row counts as positive with the weight of its
    moved label, and as negative with the rest.

    Args:
        evidence: log odds as the network or the rule gives them, float ``[n]``.
        labels: 0 or 1, both present.
    """
    n_positive = float(np.sum(labels == 1))
    n_negative = float(len(labels) - n_positive)
    target = np.where(labels == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    regression = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)
    regression.fit(
        np.concatenate([evidence, evidence])[:, np.newaxis],
        np.repeat([1, 0], len(labels)),
        np.concatenate([target, 1 - target]),
    )
    return max(float(regression.coef_[0, 0]), 0.01), float(regression.intercept_[0])


def verdict(f1: float | None, f1_at_db: Mapping[int, float]) -> str:
    """What figures of a model mean for counting with it.

    Args:
        f1: of calls that it was not trained on, in recordings as they are; None if none was tried.
        f1_at_db: the same under noise, by the call's level above it.

    >>> verdict(0.95, {10: 0.93, 0: 0.1})
    'finds calls well above the noise, reliably down to 10 dB; misses nearly all at 0 dB and below'
    """
    if f1 is None:
        return "no call was left out to try it on: count some of your own recordings to judge it"
    good = [db for db, value in sorted(f1_at_db.items()) if value >= 0.8]
    deaf = [db for db, value in sorted(f1_at_db.items()) if value < 0.2]
    if f1 >= 0.9:
        words = "finds calls well above the noise"
    elif f1 >= 0.6:
        words = "finds many calls, but misses or invents too many to be counted on unchecked"
    else:
        words = "cannot be counted on: it misses or invents most calls"
    if good and f1 >= 0.6:
        words += f", reliably down to {good[0]} dB"
    return words + (f"; misses nearly all at {deaf[-1]} dB and below" if deaf else "")
