"""Detections against annotated calls: pairs, thresholds, margins. No audio, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LEAST_OVERLAP_S = 0.3
"""A detection and a call that share more than this may be a pair."""


class Span(NamedTuple):
    """A stretch of a recording, in seconds from its start."""

    start_s: float
    end_s: float


class Detection(NamedTuple):
    """What a system takes for a call, however unsure it is."""

    span: Span
    log_odds: float


class Judged(NamedTuple):
    """A detection, and whether it is a call."""

    log_odds: float
    is_call: bool


@dataclass(frozen=True)
class Trial:
    """One recording as one network scored it.

    Attributes:
        recording: its name; networks that left out different calls of it share the name.
        source: what it comes from, for figures by source.
        calls: that should be detected.
        judged: detections in falling order of log odds, without those of calls in training.
        own_threshold: log odds from which the network's own rule counts.
    """

    recording: str
    source: str
    calls: int
    judged: tuple[Judged, ...]
    own_threshold: float


class _Pairs:
    """Pairs of detections and calls, one to one: as many as there can be, at any moment."""

    def __init__(self, calls: Sequence[Span]) -> None:
        self._calls = calls
        self._owner: dict[int, Span] = {}

    def add(self, detection: Span) -> bool:
        """Whether there is one more pair with this detection; others may change their calls.

        One augmenting path (Kuhn 1955): if there is none now, later detections open none.
        """
        return self._place(detection, set())

    def _place(self, detection: Span, tried: set[int]) -> bool:
        for index, call in enumerate(self._calls):
            shared_s = min(detection.end_s, call.end_s) - max(detection.start_s, call.start_s)
            if shared_s > LEAST_OVERLAP_S and index not in tried:
                tried.add(index)
                owner = self._owner.get(index)
                if owner is None or self._place(owner, tried):
                    self._owner[index] = detection
                    return True
        return False


def judge(
    detections: Iterable[Detection], calls: Sequence[Span], overlooked: Sequence[Span] = ()
) -> tuple[Judged, ...]:
    """Which detections are calls, in falling order of log odds.

    A detection is one if it adds a pair to those that higher detections can have. So at every
    threshold the number of pairs is the largest possible.

    Args:
        detections: in any order.
        calls: that should be detected.
        overlooked: calls that need not be; a detection of one of these is left out.

    >>> first, second = Span(0, 3), Span(4, 7)
    >>> some = [Detection(first, 2.0), Detection(first, 1.0), Detection(Span(2, 5), 0.0)]
    >>> judge(some, [first, second])
    (Judged(log_odds=2.0, is_call=True), Judged(log_odds=1.0, is_call=False), ...is_call=True))
    """
    pairs, others = _Pairs(calls), _Pairs(overlooked)
    judged = []
    for detection in sorted(detections, key=lambda d: -d.log_odds):
        is_call = pairs.add(detection.span)
        if is_call or not others.add(detection.span):
            judged.append(Judged(detection.log_odds, is_call))
    return tuple(judged)


@dataclass(frozen=True)
class Tally:
    """What a set of recordings comes to at a threshold.

    Attributes:
        calls, detected, false: calls there are, those detected, detections of nothing.
        exact, recordings: recordings whose number of calls is right, and all.
    """

    calls: int
    detected: int
    false: int
    exact: int
    recordings: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.detected / max(1, self.calls + self.detected + self.false)


def tally(trials: Sequence[Trial], threshold: float | None) -> Tally:
    """Counts with a threshold in log odds, or with each network's own where it is None.

    A recording that several networks scored is exact if each of them is right.
    """
    detected = false = 0
    exact: dict[str, bool] = {}
    for trial in trials:
        least = trial.own_threshold if threshold is None else threshold
        counted = [judged.is_call for judged in trial.judged if judged.log_odds >= least]
        detected += sum(counted)
        false += len(counted) - sum(counted)
        right = len(counted) == trial.calls
        exact[trial.recording] = exact.get(trial.recording, True) and right
    calls = sum(trial.calls for trial in trials)
    return Tally(calls, detected, false, sum(exact.values()), len(exact))


def best_threshold(sets: Iterable[Sequence[Trial]]) -> float:
    """The log odds with the highest F1, the mean of these sets. Of equals, that in the widest gap.

    A threshold lies half-way between two neighbouring detections, so none hangs on a rounding.
    """
    judged = [[j for trial in trials for j in trial.judged] for trials in sets]
    calls = [sum(trial.calls for trial in trials) for trials in sets]
    values = np.unique([j.log_odds for some in judged for j in some])
    if not len(values):
        return 0.0
    edges = np.concatenate([values[:1] - 1, values, values[-1:] + 1])
    places = (edges[1:] + edges[:-1]) / 2
    f1 = np.zeros(len(places))
    for some, n in zip(judged, calls, strict=True):
        detected = _above(places, [j.log_odds for j in some if j.is_call])
        counted = _above(places, [j.log_odds for j in some])
        f1 += 2 * detected / np.maximum(1, n + counted)
    widths = np.diff(edges)
    best = np.flatnonzero(f1 >= f1.max() - 1e-9)
    return float(places[best[np.argmax(widths[best])]])


def _above(places: npt.NDArray[np.float64], values: Sequence[float]) -> npt.NDArray[np.int64]:
    ordered = np.sort(np.asarray(values, np.float64))
    return np.asarray(len(ordered) - np.searchsorted(ordered, places))


def margin(trials: Sequence[Trial], least: float) -> float:
    """Log odds between the lowest call and the highest detection that is none.

    Args:
        trials: some with calls.
        least: log odds of a call that has no detection, and of a set without a false one.
    """
    values = [
        [j.log_odds for trial in trials for j in trial.judged if j.is_call is is_call]
        for is_call in (True, False)
    ]
    lowest = min(values[0], default=least)
    if len(values[0]) < sum(trial.calls for trial in trials):
        lowest = min(lowest, least)
    return lowest - max(values[1], default=least)


def strictest(trials: Sequence[Trial], n_false: int) -> float:
    """The lowest threshold with which at most ``n_false`` detections are of nothing."""
    false = sorted((j.log_odds for t in trials for j in t.judged if not j.is_call), reverse=True)
    return float(np.nextafter(false[n_false], np.inf)) if len(false) > n_false else -np.inf


@dataclass(frozen=True)
class Source:
    """Clips of one source, and what was detected of them."""

    name: str
    clips: int
    detected: int


def by_source(trials: Sequence[Trial], threshold: float) -> list[Source]:
    """Of each source that has calls, how many were detected; by name."""
    clips: dict[str, list[int]] = {}
    for trial in trials:
        if trial.calls:
            detected = tally([trial], threshold).detected
            clips.setdefault(trial.source, []).append(detected)
    return [Source(name, len(hits), sum(hits)) for name, hits in sorted(clips.items())]


@dataclass(frozen=True)
class System:
    """What was scored with, and how it did.

    Attributes:
        name: for the head of a column.
        sets: trials by set of recordings.
        least: lowest log odds that it gives a detection.
        notes: what else to know, for people.
    """

    name: str
    sets: Mapping[str, Sequence[Trial]]
    least: float
    notes: Mapping[str, object] = field(default_factory=dict)
