"""The number of calls to expect: against known truth in simulation, and against a plain sum."""

from dataclasses import asdict, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls import CountingRule, estimate_count, probabilities
from model.expected import PeakDensities, count_bounds, expected_count
from model.training.clips import Annotation
from model.training.expectation import fit_evidence
from model.training.trials import Trial, interval_figures
from model.windows import ONSETS, SAMPLE_RATE_HZ
from tests.fakes import EVIDENCE

RULE = CountingRule(0.9, 0.128, 0.0, 0.9, before_s=1.3, after_s=2.2)
LEAST, BINS = EVIDENCE.least, len(EVIDENCE.companions)
STEP_S = ONSETS.step_samples / SAMPLE_RATE_HZ


def simulated(
    rng: np.random.Generator, a_minute: float, mean: float, duration_s: float = 180.0
) -> Trial:
    """A recording's scores: calls that take turns, a few peaks beside them, and noise."""
    n = int(duration_s / STEP_S)
    values = np.full(n, -9.0)
    calls, place = [], 12
    while a_minute and (place := place + 8 + int(rng.exponential(60 / a_minute / STEP_S))) < n - 12:
        values[place] = mean + rng.standard_t(4)
        calls.append(Annotation(place * STEP_S - 1.3, place * STEP_S + 2.2))
        if rng.random() < 0.1:
            values[place + 8] = max(values[place + 8], mean - 4 - rng.exponential(1.5))
    for _ in range(rng.poisson(70 * duration_s / 3600 * np.exp(rng.normal(0, 0.5)))):
        at = int(rng.integers(n))
        values[at] = max(values[at], LEAST + rng.exponential(1.1))
    return Trial(
        source="simulated",
        group="",
        level_db=None,
        a_minute=None,
        starts=np.arange(n, dtype=np.int64) * ONSETS.step_samples,
        scores=probabilities(values).astype(np.float32),
        grid=ONSETS,
        n_samples=round(duration_s * SAMPLE_RATE_HZ),
        calls=tuple(calls),
    )


@cache
def learnt() -> CountingRule:
    rng = np.random.default_rng(0)
    rates = [0, 0, 0, 0, 2, 4, 8, 12, 20] * 12
    trials = [simulated(rng, rate, rng.normal(5, 1)) for rate in rates]
    return replace(RULE, evidence=fit_evidence(trials, RULE))


@pytest.mark.slow
@pytest.mark.parametrize("a_minute", [1, 4, 12, 20])
def test_intervals_cover_known_truth_and_are_short(a_minute: int) -> None:
    rng = np.random.default_rng(a_minute)
    trials = [simulated(rng, a_minute, rng.normal(5, 1)) for _ in range(120)]
    figures = interval_figures(trials, learnt())
    assert figures
    assert figures.coverage >= 0.88
    assert figures.width < 2 + 0.25 * figures.true
    assert figures.expected == pytest.approx(figures.true, rel=0.04)


@pytest.mark.slow
def test_next_to_nothing_is_expected_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    trials = [simulated(rng, 0, 5) for _ in range(100)]
    figures = interval_figures(trials, learnt())
    assert figures
    assert figures.expected_an_hour < 1
    assert figures.coverage >= 0.99


def estimate_of(
    peaks: list[float], evidence: PeakDensities = EVIDENCE, apart_s: float = 5.0
) -> Any:
    middles_s = np.arange(1, len(peaks) + 1, dtype=np.float64) * apart_s
    return expected_count(evidence, middles_s, np.array(peaks), 180.0, 0.9)


def test_a_doubtful_peak_is_a_call_only_among_others() -> None:
    alone, among = estimate_of([1.5]), estimate_of([1.5, *[4.0, 3.0, 2.0] * 4])
    assert alone.mean < 0.3
    assert alone.low == 0
    assert among.mean > 12
    assert among.low >= 11


@pytest.mark.slow
@given(peaks=st.lists(st.floats(-8, 8), max_size=25), more=st.floats(-8, 8))
def test_bounds_are_in_order_and_within_what_there_is(peaks: list[float], more: float) -> None:
    estimate = estimate_of(peaks, apart_s=0.9)
    assert 0 <= estimate.low <= estimate.high
    assert estimate.low <= len(peaks)
    assert estimate.mean >= 0
    assert estimate.low - 1 < estimate.mean < estimate.high + 1
    assert estimate_of([*peaks, LEAST - 1]) == estimate_of(peaks)  # too low to matter
    assert estimate_of([*peaks, more], apart_s=0.9).high >= 0


@given(
    chances=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=3),
    counts=st.lists(st.integers(0, 2), min_size=3, max_size=3),
)
def test_bounds_equal_those_of_all_outcomes_added_up(
    chances: list[list[float]], counts: list[int]
) -> None:
    shares = np.zeros(sum(counts) + 1)
    for case in chances:
        each = [p for p, n in zip(case, counts, strict=True) for _ in range(n)]
        for outcome in product((0, 1), repeat=len(each)):
            odds = [p if yes else 1 - p for p, yes in zip(each, outcome, strict=True)]
            shares[sum(outcome)] += np.prod(odds) / len(chances)
    reached = np.cumsum(shares)
    if np.abs(reached - 0.05).min() < 1e-9 or np.abs(reached - 0.95).min() < 1e-9:
        return  # rounding decides
    cases = len(chances)
    low, high = count_bounds(
        np.array(chances), np.array(counts), np.zeros(cases), np.full(cases, 1 / cases)
    )
    assert [low, high] == np.searchsorted(reached, [0.05, 0.95]).tolist()


def test_near_neighbours_raise_the_upper_bound_alone() -> None:
    far, near = estimate_of([5.0] * 40, apart_s=4.0), estimate_of([5.0] * 40, apart_s=1.0)
    assert (near.mean, near.low) == (far.mean, far.low)
    assert far.high <= 41
    assert far.high + 8 < near.high < 60


def test_a_rule_without_evidence_expects_nothing() -> None:
    starts, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
    assert estimate_count(starts, scores, RULE) is None
    estimate = estimate_count(starts, scores, replace(RULE, evidence=EVIDENCE))
    assert estimate
    assert (estimate.mean, estimate.high) == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"sd": 0.0},
        {"noise_spread": -1.0},
        {"least": 0.1},
        {"companions": (0.1,)},
        {"others_per_hour": (0.0,) * BINS},
    ],
)
def test_evidence_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(EVIDENCE, **changes)


def test_evidence_survives_json() -> None:
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(EVIDENCE).items()}
    assert PeakDensities.of(values) == EVIDENCE
