"""Bouts: calls that follow one another with short gaps.

The gap that ends a bout can be given. Else it is found in the gaps themselves: their logarithms
fall into two kinds, within and between bouts, each normal (Tolkamp and Kyriazakis 1999, Animal
Behaviour 57: 807-817; fitted by maximum likelihood as in Luque and Guinet 2007, Behaviour 144:
1315-1332). A gap ends a bout where it is as likely of one kind as of the other. If one kind fits as
well (Schwarz's criterion) there is no such gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from model.calls import Floats

DEFAULT_GAP_S = 60.0
"""Ends a bout where the gaps say nothing."""
LEAST_GAPS = 40
_ROUNDS = 60
_REPLICATES = 100
_AT_MOST = 4000
_APART = np.log(3)
"""Gaps between bouts are three times those within, or more: a call left out makes them double."""
_Z90 = 1.645


@dataclass(frozen=True)
class Gap:
    """The gap that ends a bout, in seconds.

    Attributes:
        low, high: its 90 % interval over gaps drawn again with replacement; None where it is given.
        source: ``given``, ``found`` or ``default``.
    """

    seconds: float
    low: float | None
    high: float | None
    source: str


def find_gap(gaps_s: Floats, rng: np.random.Generator) -> Gap:
    """The gap that ends a bout, from all gaps between successive calls, ``[n]`` in seconds.

    It is the default where there are too few gaps or one kind of them.
    """
    logs = np.log(gaps_s[gaps_s > 0])
    default = Gap(DEFAULT_GAP_S, None, None, "default")
    if len(logs) < LEAST_GAPS:
        return default
    if len(logs) > _AT_MOST:
        logs = rng.choice(logs, _AT_MOST, replace=False)
    first = _crossing(logs)
    if first is None:
        return default
    drawn = [_crossing(rng.choice(logs, len(logs))) for _ in range(_REPLICATES)]
    crossings = [one for one in drawn if one is not None]
    if len(crossings) < 0.9 * _REPLICATES:
        return default
    low, high = np.exp(np.percentile(crossings, [5, 95]))
    return Gap(float(np.exp(first)), float(low), float(high), "found")


def _crossing(logs: Floats) -> float | None:
    """Where the densities of two kinds cross between their means; None if one kind will do."""
    n = len(logs)
    means = np.percentile(logs, [25, 95])
    spreads = np.full(2, max(float(logs.std()) / 2, 1e-3))
    shares = np.array([0.8, 0.2])
    likelihood = np.zeros(n)
    for _ in range(_ROUNDS):
        density = _densities(logs, means, spreads, shares)
        likelihood = density.sum(axis=0) + 1e-300
        of_kind = density / likelihood
        weights = of_kind.sum(axis=1) + 1e-9
        means = (of_kind * logs).sum(axis=1) / weights
        spreads = np.sqrt((of_kind * (logs - means[:, None]) ** 2).sum(axis=1) / weights)
        spreads, shares = np.maximum(spreads, 0.05), weights / weights.sum()
    order = np.argsort(means)
    means, spreads, shares = means[order], spreads[order], shares[order]
    one = _densities(logs, logs.mean(keepdims=True), logs.std(keepdims=True), np.ones(1))[0]
    better = 2 * (np.log(likelihood).sum() - np.log(one + 1e-300).sum())
    if better < 3 * np.log(n) or means[1] - means[0] < max(2 * spreads.mean(), _APART):
        return None
    between = np.linspace(float(means[0]), float(means[1]), 400)
    short, long = _densities(between, means, spreads, shares)
    return float(between[np.argmax(long > short)])


def _densities(x: Floats, means: Floats, spreads: Floats, shares: Floats) -> Floats:
    """Weighted densities of normal kinds, ``[kinds, n]``."""
    z = (x - means[:, None]) / spreads[:, None]
    return np.asarray(shares[:, None] * np.exp(-0.5 * z**2) / spreads[:, None] / np.sqrt(2 * np.pi))


def split(begin_s: Floats, gap_s: float) -> list[slice]:
    """Calls in order of time, cut into bouts.

    >>> split(np.array([0.0, 5.0, 200.0]), 60.0)
    [slice(0, 2, None), slice(2, 3, None)]
    """
    edges = np.flatnonzero(np.diff(begin_s) > gap_s) + 1
    bounds = [0, *edges.tolist(), len(begin_s)]
    return [slice(a, b) for a, b in pairwise(bounds) if a < b]


def rate_in(begin_s: Floats) -> tuple[float, float, float] | None:
    """Calls a minute within a bout, and its 90 % interval; None of fewer than 4 calls.

    Gaps by their mean: ``60 / mean``; its logarithm has the standard error ``cv / sqrt(n)`` with
    ``cv`` the gaps' coefficient of variation and ``n`` their number.
    """
    gaps = np.diff(begin_s)
    if len(gaps) < 3:
        return None
    rate = 60.0 / float(gaps.mean())
    factor = float(np.exp(_Z90 * gaps.std(ddof=1) / gaps.mean() / np.sqrt(len(gaps))))
    return rate, rate / factor, rate * factor
