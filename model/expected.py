"""How many calls a recording is likely to hold, from the peaks of its scores.

A peak may be a call, or something else that sounds like one. Which of the two is likelier depends
on how many calls there are: where nothing else says that a bird is there, a doubtful peak is no
call. So the prevalence is estimated from the recording itself, as Saerens, Latinne and Decaestecker
(2002, Neural Computation 14) do for a classifier used where classes have other shares than in its
training; here with a prior, so that few peaks are not taken for a proof.

Peaks are a marked Poisson process with three kinds of peaks. Per hour of a recording there are

- ``rate × calls(x)`` peaks of calls of log odds ``x``,
- ``noise × rate × companions(x)`` peaks that come along with calls, such as a growl or an echo,
- ``noise × others(x)`` peaks of everything else.

Four numbers of a recording are unknown: the rate of calls, how loud they are (the mean of their
log odds), how much they differ, and how much noise there is. Each has a prior, and all are
integrated out on a grid. Given them, a peak is a call independently of the others. So the number of
calls among peaks is Poisson binomial (Hong 2013, Computational Statistics & Data Analysis 59), and
that of calls too faint for a peak is Poisson. The result depends on nothing but the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

BIN = 0.5
LOWEST, HIGHEST = -8.25, 7.75
EDGES: _Floats = np.arange(LOWEST, HIGHEST + BIN / 2, BIN)
"""Log odds at which bins begin. The last one has no end: it holds the highest scores there are."""

SILENT = 0.5
"""Prior probability that a recording is without any call."""

RATES_PER_HOUR: _Floats = np.append(0.0, 2.0 ** np.arange(13))
"""Calls an hour. All but 0 are equally likely, so that each doubling is."""

MEANS: _Floats = np.arange(-8, 12.1, 0.5)
"""Of the log odds of a recording's calls."""

SDS: _Floats = np.array([-1.5, 0.0, 1.5])
"""By how many ``sd_spread`` the calls of a recording differ more than usual."""

NOISES: _Floats = np.linspace(-2, 2, 5)
"""By how many ``noise_spread`` a recording has more peaks of other things than usual."""

HIDDEN = 0.25
"""Calls hidden behind a nearer one, for each pair of neighbouring calls: between birds that take
turns (0) and birds that call independently of each other (1)."""

KEPT = 0.999
"""Probability of the grid's points that are looked at; the others make no difference."""


@dataclass(frozen=True)
class CountEstimate:
    """How many calls there are likely to be: the mean, and bounds that hold it 9 times in 10."""

    mean: float
    low: int
    high: int


@dataclass(frozen=True)
class PeakDensities:
    """Which log odds peaks of calls have, and peaks of everything else. Learnt on left-out trials.

    Attributes:
        mean, spread: of the mean log odds of a recording's calls, which differ between recordings
            like Student's t with 4 degrees of freedom.
        sd, sd_spread: of the calls of one recording, likewise; and of the logarithm of ``sd``.
        least: log odds at which the first bin of the following begins; what is lower is not used.
        others_per_hour: peaks that have nothing to do with calls, in each bin from ``least`` on.
        companions: peaks for each call besides its own, in each of these bins.
        noise_spread: standard deviation of the logarithm of a recording's share of both.
    """

    mean: float
    spread: float
    sd: float
    sd_spread: float
    least: float
    others_per_hour: tuple[float, ...]
    companions: tuple[float, ...]
    noise_spread: float

    def __post_init__(self) -> None:
        for name in ("spread", "sd", "sd_spread", "noise_spread"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name)}: it must be above 0")
        if not np.any(np.isclose(EDGES, self.least)):
            raise ValueError(f"least {self.least}: it must be one of {EDGES.tolist()}")
        for name in ("others_per_hour", "companions"):
            rates = getattr(self, name)
            if len(rates) != len(EDGES) - self.first or not all(rate > 0 for rate in rates):
                raise ValueError(
                    f"{name}: it must be {len(EDGES) - self.first} numbers above 0, one for each "
                    f"{BIN:g} log odds from least on"
                )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PeakDensities:
        """From what JSON made of it. TypeError, ValueError: values of other kinds."""
        lists = {k: tuple(map(float, v)) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})

    @property
    def first(self) -> int:
        """The first bin."""
        return int(np.argmin(np.abs(EDGES - self.least)))


def expected_count(
    evidence: PeakDensities,
    middles_s: _Floats,
    log_odds: _Floats,
    duration_s: float,
    separation_s: float,
) -> CountEstimate:
    """The number of calls: its mean, and its 5 and 95 % points.

    Two calls closer than ``separation_s`` have one peak. Where birds call independently of each
    other, as many are hidden this way as neighbouring calls are less than twice as far apart; where
    they take turns, none is. The upper bound allows for ``HIDDEN`` of them.

    Args:
        evidence: what peaks of calls and of other things are like.
        middles_s: where the peaks of a recording are, in order of time, float ``[n]``.
        log_odds: of these peaks, float ``[n]``.
        duration_s: of the recording.
        separation_s: no two peaks are closer.
    """
    bins = bins_of(log_odds) - evidence.first
    middles_s, bins = middles_s[bins >= 0], bins[bins >= 0]
    if not len(bins):
        return _expected_without_peaks(evidence, duration_s)
    near = np.diff(middles_s) < 2 * separation_s
    return _expected(evidence, bins, near, duration_s)


@lru_cache(maxsize=64)
def _expected_without_peaks(evidence: PeakDensities, duration_s: float) -> CountEstimate:
    """The same for most short recordings, which a recorder makes of equal length."""
    return _expected(evidence, np.zeros(0, np.int64), np.zeros(0, bool), duration_s)


def _expected(
    evidence: PeakDensities, bins: _Integers, near: npt.NDArray[np.bool_], duration_s: float
) -> CountEstimate:
    """The number of calls, where ``near`` says which neighbouring peaks may hide one."""
    grid = _grid(evidence)
    counts = np.bincount(bins, minlength=len(evidence.others_per_hour))
    hours = duration_s / 3600
    log_weights = grid.log_prior + grid.log_rates @ counts - grid.rates * hours
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    order = np.argsort(-weights, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(weights[order]), KEPT)) + 1]
    weights = weights[kept] / weights[kept].sum()
    chances, unheard = grid.chances[kept], grid.unheard[kept] * hours
    mean = float(weights @ (chances @ counts + unheard))
    of_peaks = (weights @ chances)[bins]
    hidden = HIDDEN * float(np.sum(of_peaks[1:] * of_peaks[:-1] * near))
    low, high = count_bounds(chances, counts, unheard, weights, hidden)
    return CountEstimate(mean, low, high)


def count_bounds(
    chances: _Floats, counts: _Integers, unheard: _Floats, weights: _Floats, hidden: float = 0.0
) -> tuple[int, int]:
    """5 and 95 % points of the number of calls, from its characteristic function.

    Args:
        chances: probability that a peak of a bin is a call, float ``[g, b]``, in each of ``g``
            cases.
        counts: peaks in each bin, int ``[b]``.
        unheard: mean of the Poisson number of calls without a peak in each case, ``[g]``.
        weights: probability of each case, ``[g]``.
        hidden: mean of a Poisson number of calls that the upper bound allows for besides.

    >>> count_bounds(np.array([[0.99, 0.5]]), np.array([2, 1]), np.zeros(1), np.ones(1))
    (2, 3)
    """
    chances, counts = chances[:, counts > 0], counts[counts > 0]
    more = float(unheard.max()) + hidden
    most = int(counts.sum() + more + 8 * np.sqrt(more)) + 8
    n = 1 << most.bit_length()
    turn = np.exp(-2j * np.pi * np.arange(n // 2 + 1) / n) - 1
    spectrum = unheard[:, None] * turn
    for chance, count in zip(chances.T, counts, strict=True):
        spectrum += count * np.log1p(chance[:, None] * turn)
    spectrum = weights @ np.exp(spectrum)
    low = _quantile(np.fft.irfft(spectrum, n), 0.05)
    high = _quantile(np.fft.irfft(spectrum * np.exp(hidden * turn), n), 0.95)
    return low, max(low, high)


def _quantile(shares: _Floats, level: float) -> int:
    return int(np.searchsorted(np.cumsum(shares), level))


def bins_of(log_odds: _Floats) -> _Integers:
    """The bin of each of the log odds; what is below the first one is in it."""
    return np.maximum(np.searchsorted(EDGES, log_odds, side="right") - 1, 0)


def shares_of_calls(means: _Floats, sds: _Floats) -> _Floats:
    """Share of calls in each bin, float ``[n, b]``, by mean and sd of their log odds ``[n]``.

    Calls below the first bin are in none.
    """
    reached = np.ones((len(means), len(EDGES) + 1))
    reached[:, :-1] = _student((EDGES - means[:, None]) / sds[:, None])
    return np.diff(reached, axis=1)


def _student(x: _Floats) -> _Floats:
    """Distribution function of Student's t with 4 degrees of freedom."""
    scaled = 1 + x**2 / 4
    return np.asarray(0.5 + 0.375 * x / np.sqrt(scaled) * (1 - x**2 / (12 * scaled)))


def loudness_grid(
    means: _Floats, mean: float, spread: float, sd: float, sd_spread: float
) -> tuple[_Floats, _Floats, _Floats]:
    """Means and sds of the log odds of a recording's calls, and the prior probability of each."""
    at, off = (values.ravel() for values in np.meshgrid(means, SDS, indexing="ij"))
    weights = (1 + ((at - mean) / spread) ** 2 / 4) ** -2.5 * np.exp(-(off**2) / 2)
    return at, sd * np.exp(sd_spread * off), weights / weights.sum()


def noise_grid(noise_spread: float) -> tuple[_Floats, _Floats]:
    """How many times as many other peaks as usual, and the prior probability of each."""
    weights = np.exp(-(NOISES**2) / 2)
    return np.exp(noise_spread * NOISES), weights / weights.sum()


@dataclass(frozen=True)
class _Grid:
    """Recordings of every kind, ``g`` of them.

    Attributes:
        log_prior: of each kind, ``[g]``.
        log_rates: logarithm of the peaks an hour in each bin, ``[g, b]``; rates: in all bins.
        chances: that a peak of a bin is a call, ``[g, b]``.
        unheard: calls an hour that have no peak, ``[g]``.
    """

    log_prior: _Floats
    log_rates: _Floats
    rates: _Floats
    chances: _Floats
    unheard: _Floats


@lru_cache(maxsize=8)
def _grid(evidence: PeakDensities) -> _Grid:
    means, sds, loudness_weights = loudness_grid(
        MEANS, evidence.mean, evidence.spread, evidence.sd, evidence.sd_spread
    )
    shares = shares_of_calls(means, sds)[:, evidence.first :]
    noises, noise_weights = noise_grid(evidence.noise_spread)
    rate_weights = np.full(len(RATES_PER_HOUR), (1 - SILENT) / (len(RATES_PER_HOUR) - 1))
    rate_weights[0] = SILENT
    shape = len(RATES_PER_HOUR), len(means), len(noises)
    by_rate, by_noise = RATES_PER_HOUR[:, None, None, None], noises[:, None]
    calls = np.broadcast_to(by_rate * shares[:, None], (*shape, shares.shape[1]))
    companions, others = np.array(evidence.companions), np.array(evidence.others_per_hour)
    rates = calls + by_noise * (by_rate * companions + others)
    prior = rate_weights[:, None, None] * loudness_weights[:, None] * noise_weights
    unheard = by_rate[..., 0] * (1 - shares.sum(axis=1))[:, None]
    bins = rates.shape[-1]
    return _Grid(
        log_prior=np.log(prior).ravel(),
        log_rates=np.log(rates).reshape(-1, bins),
        rates=rates.sum(axis=-1).ravel(),
        chances=(calls / rates).reshape(-1, bins),
        unheard=np.broadcast_to(unheard, shape).ravel(),
    )
