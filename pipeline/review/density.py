"""Estimates the number of calls from the labels of a stratified sample.

After the call density of Navine et al. (2024), "All thresholds barred: direct estimation of call
density in bioacoustic data", Frontiers in Bird Science 3: a sample of units (see ``units``) in bins
of scores gives the share of units with a call in each bin a beta-binomial posterior; the sum over
bins, weighted by their units, is the number of calls, without any threshold. All intervals come
from draws of that posterior. A bin's share, their P(+|b), is its *rate* here.

This module adds three things, since most bins hold thousands of units and a few dozen labels:

- *The prior of a rate* follows a curve over scores, a logistic regression on the labels around the
  model's own calibration. Without it, 25 labels without a call leave up to a tenth of the weakest
  bin's thousands of units in doubt. A part of the prior is vague, so that a bin which disagrees
  with the curve goes by its labels (robust mixture prior, Schmidli et al. 2014, Biometrics 70).
  Rates of counted calls go by labels nearly alone.
- *A site's rates* draw on other sites as far as the sites are alike: their labels count up to as
  much as its own (power prior, Ibrahim and Chen 2000, Statistical Science 15), after all odds are
  multiplied by one number, the site's shift: as follows (Bayes) where calls are more or less
  frequent but score alike.
- *Labelled units are certain.* The draws concern all other units.

``shifted_shares`` is Navine et al.'s estimate for a site with scores but without labels. It is a
check beside the figures: it assumes that calls and all else score alike everywhere, which labels of
the site do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.calls import Floats, log_odds, probabilities
from pipeline.review.units import Integers

Flags = npt.NDArray[np.bool_]

DRAWS = 4000

PRIOR_YES = 0.15
"""Weight of a rate's prior, in units with a call: little, as each of many bins adds its own."""

VAGUE, VAGUE_COUNTED = 0.1, 0.9
"""Share of the vague part, a Beta(1/2, 1/2), in the prior of a rate; more for counted calls, whose
false alarms are hard to foresee."""

OFFSET_SD, SLOPE_SD = 3.0, 0.4
"""Standard deviations of the curve from the model's own calibration, in log odds."""

ALIKE = np.array([0.0, 0.03, 0.1, 0.3, 1.0])
"""Candidate weights of other sites' labels."""

SHIFTS = np.linspace(-4, 4, 33)
SHIFT_SDS = np.array([0.1, 0.3, 0.6, 1.0, 1.5])
"""Candidate shifts between sites in log odds, and their standard deviations."""

_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


@dataclass(frozen=True)
class Labelled:
    """A labelled sample of ``s`` sites and ``b`` bins of scores.

    Attributes:
        units: their number, int64 ``[s, b]``.
        labelled: of these, labelled yes or no, float ``[s, b]``: two observers who disagree about a
            clip give half a yes.
        yes: of those, with a call, float ``[s, b]``.
        extra: calls in these beyond one each, where several birds called, float ``[s, b]``.
        evidence: mean log odds of a bin's units by the model's calibration, ``[b]``.
        counted: whether the bin's units are counted calls, ``[b]``.
    """

    units: Integers
    labelled: Floats
    yes: Floats
    extra: Floats
    evidence: Floats
    counted: Flags


@dataclass(frozen=True)
class Curve:
    """From log odds ``x`` of a score to the probability of a call: ``1 / (1 + exp(-(o + s x)))``.

    Attributes:
        offset, slope: ``o`` and ``s``.
    """

    offset: float
    slope: float

    def __call__(self, log_odds: npt.ArrayLike) -> Floats:
        return probabilities(_within(self.offset + self.slope * np.asarray(log_odds, np.float64)))


@dataclass(frozen=True)
class Draws:
    """Draws from the posterior.

    Attributes:
        yes: units with a call, float ``[draws, b]``.
        calls: calls in them, float ``[draws, b]``.
        rates: share of unlabelled units with a call, 0 to 1, ``[draws, b]``.
    """

    yes: Floats
    calls: Floats
    rates: Floats


def _within(log_odds: Floats) -> Floats:
    return np.clip(log_odds, -20, 20)


def interval(draws: Floats) -> tuple[float, float, float]:
    """Median, 5 % and 95 % point."""
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return float(middle), float(low), float(high)


def fit_curve(evidence: Floats, labelled: Floats, yes: Floats) -> tuple[Floats, Floats]:
    """Logistic regression of yes on evidence, by Newton's method.

    The offset has a normal prior around 0 and the slope one around 1, those of a calibrated model.

    Args:
        evidence: log odds, ``[b]``.
        labelled, yes: labels at each, ``[..., b]``.

    Returns:
        Offsets and slopes, ``[...]``.
    """
    offset, slope = np.zeros(yes.shape[:-1]), np.ones(yes.shape[:-1])
    for _ in range(12):
        p = probabilities(_within(offset[..., None] + slope[..., None] * evidence))
        weight, miss = labelled * p * (1 - p), yes - labelled * p
        by_offset = miss.sum(-1) - offset / OFFSET_SD**2
        by_slope = (miss * evidence).sum(-1) - (slope - 1) / SLOPE_SD**2
        oo = weight.sum(-1) + 1 / OFFSET_SD**2
        os = (weight * evidence).sum(-1)
        ss = (weight * evidence**2).sum(-1) + 1 / SLOPE_SD**2
        both = oo * ss - os**2
        step_offset = (ss * by_offset - os * by_slope) / both
        step_slope = (oo * by_slope - os * by_offset) / both
        damping = np.minimum(1, 2 / np.maximum(np.abs(step_offset), 1e-9))
        offset, slope = offset + damping * step_offset, slope + damping * step_slope
    return offset, slope


def _pooled(sample: Labelled) -> tuple[Floats, Floats]:
    """Effective number of labels of all sites together, and of these yes, ``[b]`` each.

    Each label represents the units of its site and bin. Labels of unequal weight are worth fewer
    equal ones (Kish 1965, Survey Sampling).
    """
    weight = np.divide(
        sample.units, sample.labelled, out=np.zeros(sample.units.shape), where=sample.labelled > 0
    )
    weighed = (weight * sample.labelled).sum(0)
    squares = (weight**2 * sample.labelled).sum(0)
    some = weighed > 0
    worth = np.divide(weighed**2, squares, out=np.zeros(len(weighed)), where=some)
    rate = np.divide((weight * sample.yes).sum(0), weighed, out=np.zeros(len(weighed)), where=some)
    return worth, rate * worth


def curve_of(sample: Labelled) -> Curve:
    """Fits the curve over evidence to the labels, see ``fit_curve``."""
    offset, slope = fit_curve(sample.evidence, *_pooled(sample))
    return Curve(float(offset), float(slope))


def _curves(sample: Labelled, rng: np.random.Generator, draws: int) -> Floats:
    """Rates by the curve, in bootstraps of the labels, ``[draws, b]``."""
    worth, _ = _pooled(sample)
    fitted = curve_of(sample)(sample.evidence)
    n = np.rint(worth).astype(np.int64)
    again = rng.binomial(n, np.broadcast_to(fitted, (draws, len(n))))
    offset, slope = fit_curve(sample.evidence, n.astype(np.float64), again.astype(np.float64))
    return probabilities(_within(offset[:, None] + slope[:, None] * sample.evidence))


def _prior(expected: Floats) -> tuple[Floats, Floats]:
    """Parameters of the beta distribution around an expected rate: PRIOR_YES yes, or as many no."""
    odds = expected / (1 - expected)
    return PRIOR_YES * np.maximum(1, odds), PRIOR_YES * np.maximum(1, 1 / odds)


def _log_beta(a: Floats, b: Floats) -> Floats:
    """Logarithm of the beta function."""
    return np.asarray(_log_gamma(a) + _log_gamma(b) - _log_gamma(a + b))


def _log_marginal(labelled: Floats, yes: Floats, a: Floats, b: Floats) -> Floats:
    """Beta-binomial probability of labels, up to what does not depend on ``a`` and ``b``."""
    return _log_beta(a + yes, b + labelled - yes) - _log_beta(a, b)


def _mixture(
    labelled: Floats, yes: Floats, expected: Floats, counted: Flags
) -> tuple[Floats, Floats]:
    """Log probability of labels, and of that the share of the prior around the curve, 0 to 1."""
    share = np.where(counted, VAGUE_COUNTED, VAGUE)
    near = np.log(1 - share) + _log_marginal(labelled, yes, *_prior(expected))
    half = np.full(np.broadcast(labelled, yes).shape, 0.5)
    vague = np.log(share) + _log_marginal(labelled, yes, half, half)
    return np.logaddexp(near, vague), np.exp(near - np.logaddexp(near, vague))


def _draw_rates(
    labelled: Floats, yes: Floats, expected: Floats, counted: Flags, rng: np.random.Generator
) -> Floats:
    """Posterior draws of rates, as many as ``expected`` has rows, ``[draws, b]``."""
    _, share = _mixture(labelled, yes, expected.mean(0), counted)
    a, b = _prior(expected)
    near = rng.random(expected.shape) < share
    return rng.beta(
        np.where(near, a, 0.5) + yes, np.where(near, b, 0.5) + np.maximum(labelled - yes, 0)
    )


def _predict(
    sample: Labelled, sites: slice, rates: Floats, birds: Floats, rng: np.random.Generator
) -> Draws:
    """Draws the unlabelled units of some sites at ``rates`` and adds the labelled ones.

    Args:
        sample: units and labels.
        sites: which of its sites.
        rates: ``[draws, b]``.
        birds: calls in a unit that has any, ``[draws, b]``.
    """
    units, labelled, yes, extra = (
        part[sites].sum(0) for part in (sample.units, sample.labelled, sample.yes, sample.extra)
    )
    unheard = np.maximum(0, np.rint(units - labelled)).astype(np.int64)
    more = rng.binomial(unheard, rates)
    return Draws(yes + more, yes + extra + more * birds, rates)


def _birds(sample: Labelled, rng: np.random.Generator, draws: int) -> Floats:
    """Calls in a unit that has any, among the counted and the others, in draws, ``[draws, b]``.

    Extra calls are few and as a rule one a unit: their share has a beta posterior.
    """
    means = np.ones((draws, len(sample.counted)))
    for some in (sample.counted, ~sample.counted):
        yes, extra = sample.yes[:, some].sum(), sample.extra[:, some].sum()
        share = rng.beta(extra + 0.01, max(yes - extra, 0) + 0.5, draws)
        means[:, some] += (share * max(1.0, extra / max(yes, 1e-9)))[:, None]
    return means


def estimate(sample: Labelled, rng: np.random.Generator, draws: int = DRAWS) -> Draws:
    """Units with a call, and calls, at all sites together."""
    worth, yes = _pooled(sample)
    rates = _draw_rates(worth, yes, _curves(sample, rng, draws), sample.counted, rng)
    return _predict(sample, slice(None), rates, _birds(sample, rng, draws), rng)


def estimate_sites(sample: Labelled, rng: np.random.Generator, draws: int = DRAWS) -> list[Draws]:
    """The same for each site.

    The shifts of sites and the weight of other sites' labels are draws by how well both predict
    each site's labels.
    """
    expected = _curves(sample, rng, draws)
    others_n = sample.labelled.sum(0) - sample.labelled
    others_yes = sample.yes.sum(0) - sample.yes
    a, b = _prior(expected.mean(0))
    elsewhere = log_odds((others_yes + a) / (others_n + a + b))
    shifts = _draw_shifts(sample, elsewhere, rng, draws)
    unknown = np.full(others_n.shape, 0.5)
    rates = log_odds(np.divide(others_yes, others_n, out=unknown, where=others_n > 0))

    here = probabilities(rates + shifts.mean(1)[:, None])
    near = expected.mean(0)
    fit = np.zeros(len(ALIKE))
    for index, weight in enumerate(ALIKE):
        n, yes = weight * others_n, weight * others_n * here
        with_own, _ = _mixture(sample.labelled + n, sample.yes + yes, near, sample.counted)
        fit[index] = np.sum(with_own - _mixture(n, yes, near, sample.counted)[0])
    alike = ALIKE[rng.choice(len(ALIKE), draws, p=_shares(fit))][:, None]

    birds = _birds(sample, rng, draws)
    sites = []
    for s, shift in enumerate(shifts[:, :, None]):
        n = alike * others_n[s]
        yes = n * probabilities(rates[s] + shift)
        around = probabilities(log_odds(expected) + shift)
        labels = sample.labelled[s] + n, sample.yes[s] + yes
        drawn = _draw_rates(*labels, around, sample.counted, rng)
        sites.append(_predict(sample, slice(s, s + 1), drawn, birds, rng))
    return sites


def _draw_shifts(
    sample: Labelled, elsewhere: Floats, rng: np.random.Generator, draws: int
) -> Floats:
    """Draws of each site's shift in log odds from all others, ``[s, draws]``.

    They are normal around 0; their standard deviation is the same for all sites.

    Args:
        sample: units and labels.
        elsewhere: log odds of the rates of the other sites, ``[s, b]``.
    """
    shifted = probabilities(elsewhere[:, None, :] + SHIFTS[:, None])  # [s, shifts, b]
    labelled, yes = sample.labelled[:, None, :], sample.yes[:, None, :]
    of_shift = (yes * np.log(shifted) + (labelled - yes) * np.log(1 - shifted)).sum(2)
    prior = -0.5 * (SHIFTS / SHIFT_SDS[:, None]) ** 2
    prior -= np.logaddexp.reduce(prior, axis=1, keepdims=True)
    of_sd = np.logaddexp.reduce(of_shift + prior[:, None, :], axis=2).sum(1)
    sds = rng.choice(len(SHIFT_SDS), draws, p=_shares(of_sd))
    drawn = np.zeros((len(elsewhere), draws))
    for s, index in np.ndindex(len(elsewhere), len(SHIFT_SDS)):
        some = sds == index
        chance = _shares(of_shift[s] + prior[index])
        drawn[s, some] = rng.choice(SHIFTS, int(some.sum()), p=chance)
    return drawn


def _shares(log_weights: Floats) -> Floats:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def shifted_shares(units: Integers, rates: Floats) -> Floats:
    """The share of units with a call at each site, from the numbers of its units in each bin alone.

    Units with a call lie in the bins in the same proportions everywhere, and so do the others; the
    mixture of both nearest to a site's units (by Kullback-Leibler divergence, as in Navine et al.
    2024) comes from expectation maximisation (Saerens et al. 2002, Neural Computation 14).

    Args:
        units: int64 ``[s, b]``.
        rates: of all sites together, 0 to 1, ``[b]``.

    Returns:
        0 to 1, ``[s]``.
    """
    total = units.sum(0)
    with_call, without = total * rates, total * (1 - rates)
    given_call = with_call / max(with_call.sum(), 1e-9)
    given_none = without / max(without.sum(), 1e-9)
    share = np.full(len(units), with_call.sum() / max(total.sum(), 1))
    seen = units / np.maximum(units.sum(1, keepdims=True), 1)
    for _ in range(500):
        called = share[:, None] * given_call
        mixed = called + (1 - share[:, None]) * given_none
        chance = np.divide(called, mixed, out=np.zeros(mixed.shape), where=mixed > 0)
        share = (seen * chance).sum(1)
    return np.asarray(share)


def cohens_kappa(first: list[str], second: list[str]) -> float | None:
    """Agreement of two observers beyond chance (Cohen 1960): 1 for all, 0 for chance.

    None where it is undefined: no clips in common, or one answer by both for all.

    >>> cohens_kappa(["yes", "yes", "no", "no"], ["yes", "no", "no", "no"])
    0.5
    """
    n = len(first)
    if not n:
        return None
    same = sum(a == b for a, b in zip(first, second, strict=True)) / n
    chance = sum(first.count(a) * second.count(a) for a in {*first, *second}) / n**2
    return None if chance == 1 else (same - chance) / (1 - chance)
