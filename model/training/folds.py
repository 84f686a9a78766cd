"""Folds: birds and backgrounds that a network never hears, so that it can be tried on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.training.clips import Annotation, DataError, Example, Scene
from model.windows import SAMPLE_RATE_HZ

LONG_S = 30.0
"""A recording without calls this long can be a background to lay calls over."""


@dataclass(frozen=True)
class Fold:
    """What one network never hears, and is then tried on.

    Attributes:
        takes: birds, or sources of copies.
        groups: backgrounds: every one that a left-out call was recorded with, and more.
    """

    name: str
    takes: frozenset[str]
    groups: frozenset[str]

    def trains_on(self, example: Example) -> bool:
        """Whether the fold's network hears the example."""
        return example.group not in self.groups and example.take not in self.takes

    def tries(self, call: Annotation | Example) -> bool:
        """Whether the call is one to find: its bird is left out."""
        return call.take in self.takes

    def scenes(self, scenes: Iterable[Scene]) -> list[Scene]:
        """What the network is tried on: recordings whose background is left out."""
        return [s for s in scenes if s.group in self.groups]


def make_folds(count: int, scenes: Sequence[Scene]) -> list[Fold]:
    """Folds over birds and backgrounds at once; each is left out by at least one fold.

    Birds are dealt out first, those with many calls first, so that the folds are much alike.
    A fold also leaves out every background that its birds were recorded with. The other backgrounds
    are dealt out in two kinds, long recordings and clips, so that each fold has some of both; where
    there are fewer long ones than folds, several folds leave out the same.

    Args:
        count: how many; there are no more than birds. Fewer than two: none.
        scenes: recordings; each of their calls has a take.

    Raises:
        DataError: two or more folds are asked for, and all calls are of one bird.
    """
    if count < 2:
        return []
    calls: dict[str, float] = defaultdict(float)
    groups_of: dict[str, set[str]] = defaultdict(set)
    for scene in scenes:
        for call in scene.annotations:
            calls[call.take] += 1
            groups_of[call.take].add(scene.group)
    if len(calls) < 2:
        raise DataError(
            "folds leave out birds in turn, and all calls are of one: name each call's bird in a "
            "column take, or give --folds 0 to train without figures"
        )
    takes = _deal(calls, min(count, len(calls)))
    groups = [{g for take in part for g in groups_of[take]} for part in takes]
    with_calls = set().union(*groups_of.values())
    clips, long = defaultdict[str, float](float), defaultdict[str, float](float)
    for scene in scenes:
        duration_s = len(scene.audio) / SAMPLE_RATE_HZ
        if scene.group not in with_calls:
            (long if duration_s >= LONG_S else clips)[scene.group] += duration_s
    for kind in (long, clips):
        for i, part in enumerate(_deal(kind, len(takes)) if kind else ()):
            groups[i] |= part
    for i, own in enumerate(groups):
        if long and not own & long.keys():
            own.add(sorted(long)[i % len(long)])
    return [
        Fold(f"fold {i + 1}/{len(takes)}", frozenset(takes[i]), frozenset(groups[i]))
        for i in range(len(takes))
    ]


def _deal(sizes: Mapping[str, float], count: int) -> list[set[str]]:
    """Names in ``count`` parts of about the same sum of square roots, the largest dealt first."""
    parts: list[set[str]] = [set() for _ in range(count)]
    totals = np.zeros(count)
    for name in sorted(sizes, key=lambda n: (-sizes[n], n)):
        least = int(np.argmin(totals))
        parts[least].add(name)
        totals[least] += np.sqrt(sizes[name])
    return parts
