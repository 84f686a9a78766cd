"""Surveys of which the truth is known, reviewed as people would: do the intervals hold the truth?

``python -m tests.surveys --surveys 1000`` prints how often they do. The method was settled on other
seeds than these.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from model.calls import Floats
from pipeline.review.density import Flags, Labelled, estimate, estimate_sites
from pipeline.review.frame import Frame
from pipeline.review.sample import Stratum, share_by_root, share_equally, strata_of
from pipeline.review.units import (
    CALL,
    FAINT,
    KINDS,
    N_LEVELS,
    REST,
    Integers,
    level_of_log_odds,
    log_odds_of_level,
)


@dataclass(frozen=True)
class Survey:
    """Units of some sites, and whether each has a call.

    Attributes:
        site, kind, level: of each unit, ``[n]``.
        calls: in it, ``[n]``.
        precision: of the counted ones.
    """

    site: Integers
    kind: Integers
    level: Integers
    calls: Integers
    precision: float


def make_survey(rng: np.random.Generator) -> Survey:
    """A survey of 1 to 6 sites, 5 to 200 h, that a model of some quality has counted.

    Log odds of units with and without a call are normal with different spreads; at each site calls
    are more or less frequent. Some calls are too far away to be told from what is not one, and in
    every other survey something else scores as calls do, up to half as often as they, at some sites
    more than at others. The threshold is where precision is between 0.3 and 0.99.
    """
    while not 0.3 <= (survey := _any_survey(rng)).precision <= 0.99:
        pass
    return survey


def _any_survey(rng: np.random.Generator) -> Survey:
    n_sites = int(rng.integers(1, 7))
    n = int(rng.uniform(5, 200) * 930)
    site = rng.integers(0, n_sites, n)
    share = 10 ** rng.uniform(-2.7, -1.2) * np.exp(rng.normal(0, 0.8, n_sites))
    has_call = rng.random(n) < np.minimum(share, 0.3)[site]
    lowest, distance = rng.uniform(-8, -4), rng.uniform(3, 9)
    look_alike = share * rng.uniform(0, 0.5) * rng.integers(0, 2) * np.exp(rng.normal(0, 0.5))
    like_none = np.where(
        has_call, rng.random(n) < rng.uniform(0, 0.05), rng.random(n) >= look_alike[site]
    )
    spreads = rng.uniform(1.2, 2.5), rng.uniform(1.2, 2.8)
    value = np.where(
        like_none, rng.normal(lowest, spreads[0], n), rng.normal(lowest + distance, spreads[1], n)
    )
    level = level_of_log_odds(value)
    order = np.argsort(-level.astype(np.int16), kind="stable")
    precision = np.cumsum(has_call[order]) / np.arange(1, n + 1)
    wanted = np.flatnonzero(precision >= rng.uniform(0.3, 0.99))
    threshold = level[order[max(20, wanted[-1] if len(wanted) else 0)]]
    kind = np.where(level >= threshold, CALL, np.where(level > 0, FAINT, REST))
    calls = has_call * (1 + (rng.random(n) < rng.uniform(0, 0.15)))
    return Survey(site, kind, level, calls, float(np.mean(has_call[kind == CALL])))


def review_survey(survey: Survey, n_labels: int, rng: np.random.Generator) -> Labelled:
    """Draws a sample as ``capuchinbird review`` does, and labels it by the truth."""
    n_sites = int(survey.site.max()) + 1
    units = {str(s): np.zeros((len(KINDS), N_LEVELS), np.int64) for s in range(n_sites)}
    for s in range(n_sites):
        at = survey.site == s
        np.add.at(units[str(s)], (survey.kind[at], survey.level[at]), 1)
    strata = strata_of(Frame(units, {}, 1, 0))
    sizes = np.array([[bin_.count(units[str(s)]) for bin_ in strata] for s in range(n_sites)])
    labelled, yes, extra = (np.zeros(sizes.shape) for _ in range(3))
    in_bins = [np.flatnonzero(_is_in(survey, bin_)) for bin_ in strata]
    for b, n in enumerate(share_equally(n_labels, list(sizes.sum(0)))):
        sites = survey.site[in_bins[b]]
        for s, some in enumerate(share_by_root(n, list(sizes[:, b]))):
            drawn = rng.choice(in_bins[b][sites == s], some, replace=False)
            labelled[s, b], yes[s, b] = some, np.count_nonzero(survey.calls[drawn])
            extra[s, b] = survey.calls[drawn].sum() - yes[s, b]
    means = [log_odds_of_level(survey.level[in_bin]).mean() for in_bin in in_bins]
    wrong_by = rng.normal(1, 1.5), np.exp(rng.normal(0, 0.25))
    evidence = (np.array(means) + 3) * wrong_by[1] + wrong_by[0]
    counted = np.array([bin_.kind == CALL for bin_ in strata])
    return Labelled(sizes, labelled, yes, extra, evidence, counted)


def _is_in(survey: Survey, bin_: Stratum) -> Flags:
    level = survey.level
    return np.asarray((survey.kind == bin_.kind) & (bin_.first <= level) & (level < bin_.end))


@dataclass(frozen=True)
class Trial:
    """Truth and interval, of all sites together and of each; of precision, too.

    Attributes:
        all_heard: whether every counted call was labelled: then its precision is known.
    """

    n_labels: int
    precision: float
    truth: int
    total: tuple[float, float]
    precision_found: tuple[float, float]
    sites: tuple[tuple[int, float, float], ...]
    width: float
    all_heard: bool


def bounds(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.05, 0.95])
    return float(low), float(high)


def try_survey(seed: int, draws: int = 1000) -> Trial:
    rng = np.random.default_rng(seed)
    survey = make_survey(rng)
    n_labels = int(rng.integers(100, 401))
    found = review_survey(survey, n_labels, rng)
    both = estimate(found, rng, draws)
    truth = int(survey.calls.sum())
    total = bounds(both.calls.sum(1))
    counted = both.yes[:, found.counted].sum(1) / found.units[:, found.counted].sum()
    by_site = estimate_sites(found, rng, draws)
    sites = tuple(
        (int(survey.calls[survey.site == s].sum()), *bounds(of_site.calls.sum(1)))
        for s, of_site in enumerate(by_site)
    )
    return Trial(
        n_labels, survey.precision, truth, total, bounds(counted), sites,
        (total[1] - total[0]) / max(truth, 1),
        bool(np.all(found.labelled[:, found.counted] >= found.units[:, found.counted])),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surveys", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=100_000, help="of the first survey")
    flags = parser.parse_args()
    trials = [try_survey(flags.seed + n) for n in range(flags.surveys)]
    held = np.array([t.total[0] <= t.truth <= t.total[1] for t in trials])
    print(f"calls, all sites: {held.mean():.3f} of {len(trials)} intervals hold the truth")
    below = np.mean([t.truth < t.total[0] for t in trials])
    print(
        f"  truth below {below:.3f}, above {1 - held.mean() - below:.3f}; "
        f"median width {np.median([t.width for t in trials]):.2f} of the truth"
    )
    for name, values, edges in (
        ("precision", [t.precision for t in trials], (0.3, 0.5, 0.7, 0.9, 1.01)),
        ("labels", [t.n_labels for t in trials], (100, 200, 300, 401)),
        ("sites", [len(t.sites) for t in trials], (1, 2, 4, 7)),
    ):
        for low, high in pairwise(edges):
            inside = (np.array(values) >= low) & (np.array(values) < high)
            print(f"  {name} {low:g} to {high:g}: {held[inside].mean():.3f} of {inside.sum()}")
    for name, some in (
        ("", trials),
        (", not every counted call labelled", [t for t in trials if not t.all_heard]),
    ):
        right = [_holds(t.precision_found, t.precision) for t in some]
        print(f"precision, all sites{name}: {np.mean(right):.3f} of {len(some)}")
    several = [t for t in trials if len(t.sites) > 1]
    sites = [_holds((low, high), truth) for t in several for truth, low, high in t.sites]
    print(f"calls, each of several sites: {np.mean(sites):.3f} of {len(sites)}")


def _holds(bounds: tuple[float, float], truth: float) -> bool:
    return bounds[0] - 1e-9 <= truth <= bounds[1] + 1e-9


if __name__ == "__main__":
    main()
