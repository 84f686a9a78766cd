"""Learns what peaks of calls and of everything else are like, from trials of left-out networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

from model.calls import CountingRule, Floats
from model.expected import (
    EDGES,
    PeakDensities,
    bins_of,
    loudness_grid,
    noise_grid,
    shares_of_calls,
)
from model.training.trials import Trial

Counts = npt.NDArray[np.int64]

TOO_FAINT = 0.01
"""Share of the calls below the lowest bin that is used."""

LEAST_SPREAD = 1.0
"""Between recordings, in log odds: a few birds cannot show how much birds differ."""

USUAL = np.array([1.0, 1.5, 0.4])
"""``spread``, ``sd`` and ``sd_spread``, unless the trials say otherwise: a factor of e is one
standard deviation of the prior."""

BEND = 4.0
"""Weight of the squared second differences of the logarithms of rates, which makes them smooth
(P-splines, Eilers and Marx 1996, Statistical Science 11)."""

UNSEEN = 0.5
"""Peaks of sounds that are in no trial, in as many hours as were tried (Jeffreys' prior), in all
bins together: without them a peak higher than any other sound's would be beyond doubt."""

NOISE_SPREADS = (0.5, 1.0, 1.5, 2.0)

_MEANS: Floats = np.arange(-12, 16.1, 0.5)
_LOG_RATES = -30.0, 15.0


def fit_evidence(trials: Sequence[Trial], rule: CountingRule) -> PeakDensities:
    """The likeliest densities of peaks, given which of them are calls.

    Args:
        trials: with calibrated scores; at least one holds a call.
        rule: says what a peak is.
    """
    peaks = [t.labelled_peaks(rule) for t in trials]
    calls = np.array([_histogram(x[y == 1]) for x, y in peaks])
    missed = np.array([len(t.calls) for t in trials]) - calls.sum(axis=1)
    below = missed.sum() + np.cumsum(calls.sum(axis=0))
    first = int(np.searchsorted(below / below[-1], TOO_FAINT))
    complete = np.array([t.complete for t in trials])
    others = _Others(
        peaks=np.array([_histogram(x[y == 0])[first:] for x, y in peaks])[complete],
        hours=np.array([t.duration_s / 3600 for t in trials])[complete],
        calls=np.array([len(t.calls) + len(t.overlooked) for t in trials])[complete],
    )
    plain = np.array([t.as_recorded for t in trials])[complete]
    per_hour, companions = others.rates()
    per_hour += UNSEEN / max(float(others.hours[plain].sum()), 0.1) / len(per_hour)
    mean, spread, sd, sd_spread = _fit_calls(np.column_stack([calls, missed]))
    return PeakDensities(
        mean=round(mean, 3),
        spread=round(max(spread, LEAST_SPREAD), 3),
        sd=round(sd, 3),
        sd_spread=round(sd_spread, 3),
        least=float(EDGES[first]),
        others_per_hour=_rounded(per_hour),
        companions=_rounded(companions),
        noise_spread=max(NOISE_SPREADS, key=lambda s: others.likelihood(s, per_hour, companions)),
    )


def _rounded(rates: Floats) -> tuple[float, ...]:
    return tuple(float(f"{rate:.3g}") for rate in rates)


def _histogram(log_odds: Floats) -> Counts:
    return np.bincount(bins_of(log_odds), minlength=len(EDGES))


def _fit_calls(calls: Counts) -> tuple[float, float, float, float]:
    """``mean``, ``spread``, ``sd`` and ``sd_spread`` of ``PeakDensities``.

    Args:
        calls: of each trial, in each bin and then those without a peak, int ``[n, b + 1]``.
    """
    calls = calls[calls.sum(axis=1) > 0]

    def loss(fitted: Floats) -> float:
        means, sds, weights = loudness_grid(_MEANS, fitted[0], *np.exp(fitted[1:]))
        shares = shares_of_calls(means, sds)
        shares = np.column_stack([shares, 1 - shares.sum(axis=1)])
        likelihoods = calls @ np.log(np.maximum(shares, 1e-9)).T + np.log(weights)
        usual = np.sum((fitted[1:] - np.log(USUAL)) ** 2) / 2
        return float(usual - logsumexp(likelihoods, axis=1).sum())

    start = np.array([4.0, *np.log(USUAL)])
    fitted = minimize(loss, start, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 0.05}).x
    spread, sd, sd_spread = np.exp(fitted[1:]).tolist()
    return float(fitted[0]), spread, sd, sd_spread


class _Others:
    """Peaks that are no calls, in ``n`` trials."""

    def __init__(self, peaks: Counts, hours: Floats, calls: Counts) -> None:
        """``peaks`` int ``[n, b]``; ``hours`` and ``calls`` of each trial, ``[n]``."""
        self.peaks, self.hours, self.calls = peaks, hours, calls

    def rates(self) -> tuple[Floats, Floats]:
        """Peaks an hour and peaks a call in each bin: Poisson regression with smooth logarithms."""
        bins = self.peaks.shape[1]

        def loss(logs: Floats) -> tuple[float, Floats]:
            per_hour, a_call = np.exp(logs[:bins]), np.exp(logs[bins:])
            means = self.hours[:, None] * per_hour + self.calls[:, None] * a_call
            excess = 1 - self.peaks / means
            # Half a peak in all bins together, so that a rate that nothing shows is finite.
            value = np.sum(means - self.peaks * np.log(means)) - logs.sum() / 2 / bins
            slope = np.append(self.hours @ excess * per_hour, self.calls @ excess * a_call)
            slope -= 1 / 2 / bins
            for part in (slice(None, bins), slice(bins, None)):
                bends = np.diff(logs[part], 2)
                value += BEND / 2 * np.sum(bends**2)
                slope[part] += BEND * np.convolve(bends, [1.0, -2.0, 1.0])
            return float(value), slope

        start = np.repeat([0.0, -4.0], bins)
        bounds = [_LOG_RATES] * (2 * bins)
        fit = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 2000}
        )
        return np.exp(fit.x[:bins]), np.exp(fit.x[bins:])

    def likelihood(self, noise_spread: float, per_hour: Floats, a_call: Floats) -> float:
        """Logarithm of it, with noise that differs between trials by ``noise_spread``."""
        noises, weights = noise_grid(noise_spread)
        usual = self.hours[:, None] * per_hour + self.calls[:, None] * a_call
        means = noises[:, None] * usual[:, None]
        logs = np.sum(self.peaks[:, None] * np.log(means) - means, axis=2) + np.log(weights)
        return float(logsumexp(logs, axis=1).sum())
