"""Whether birds take turns: overlaps of their calls against chance.

Snow (1972, Ibis 114: 139-162) saw that birds calling together "adjust the timing of their calls so
as to follow each other and not overlap". The test is one of permutation, as Masco et al. (2016,
Bioacoustics 25: 29-40) do for two singers: birds stay as
they are, and each one's calls of a bout are moved along it, round its end, by a time at random. So
each keeps its own rhythm, and only the timing between birds is left to chance.

Birds are told apart by the spacing of their harmonics alone: two groups of calls of a bout on
either side of the widest gap between spacings, if that is as wide as ``least_hz``. Where no bout
has such a gap there is no answer. Calls closer than ``unresolved_s`` would be counted as one, so
pairs as close do not count, by chance or otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from model.calls import Floats

SHORTEST_CALL_S = 3.3
"""The shortest call, from the start of its growl."""
UNRESOLVED_S = 1.0
"""Calls that begin closer to each other are counted as one."""
LEAST_HZ = 2.0
LEAST_OF_A_VOICE = 3
PERMUTATIONS = 999


@dataclass(frozen=True)
class Turns:
    """Pairs of calls of two groups that overlap.

    Attributes:
        overlaps: of them.
        expected, low, high: by chance: mean, 5 % and 95 % point.
        p: share of permutations with as few overlaps or fewer, the observed order included.
        bouts: in which two groups could be told apart.
    """

    overlaps: int
    expected: float
    low: float
    high: float
    p: float
    bouts: int


def turns(bouts: Iterable[tuple[Floats, Floats]], rng: np.random.Generator) -> Turns | None:
    """Overlaps against chance; None where no bout holds two groups of calls.

    Args:
        bouts: of each the times of its calls in seconds, ascending, and their spacings in Hz.
        rng: draws the permutations.
    """
    observed, n_bouts = 0, 0
    drawn = np.zeros(PERMUTATIONS, np.int64)
    for begin_s, spacing_hz in bouts:
        groups = _two_groups(begin_s, spacing_hz)
        if groups is None:
            continue
        n_bouts += 1
        first, second = groups
        span = float(begin_s[-1] - begin_s[0]) + SHORTEST_CALL_S
        observed += _overlaps(first, second)
        for k, by in enumerate(rng.uniform(0, span, PERMUTATIONS)):
            drawn[k] += _overlaps(first, np.sort((second - begin_s[0] + by) % span) + begin_s[0])
    if not n_bouts:
        return None
    low, high = np.percentile(drawn, [5, 95])
    p = (1 + int(np.count_nonzero(drawn <= observed))) / (1 + PERMUTATIONS)
    return Turns(observed, float(drawn.mean()), float(low), float(high), p, n_bouts)


def _two_groups(begin_s: Floats, spacing_hz: Floats) -> tuple[Floats, Floats] | None:
    """Times of the calls below and above the widest gap between spacings."""
    measured = np.flatnonzero(~np.isnan(spacing_hz))
    order = measured[np.argsort(spacing_hz[measured])]
    if len(order) < 2 * LEAST_OF_A_VOICE:
        return None
    gaps = np.diff(spacing_hz[order])
    inner = gaps[LEAST_OF_A_VOICE - 1 : len(gaps) - LEAST_OF_A_VOICE + 1]
    cut = int(np.argmax(inner)) + LEAST_OF_A_VOICE
    if gaps[cut - 1] < LEAST_HZ:
        return None
    return np.sort(begin_s[order[:cut]]), np.sort(begin_s[order[cut:]])


def _overlaps(first: Floats, second: Floats) -> int:
    """Pairs, one of each, whose starts lie closer than a call's length, and can be told apart."""
    if not len(first) or not len(second):
        return 0

    def within(seconds: float) -> int:
        below = np.searchsorted(second, first - seconds, "right")
        return int((np.searchsorted(second, first + seconds) - below).sum())

    return within(SHORTEST_CALL_S) - within(UNRESOLVED_S)
