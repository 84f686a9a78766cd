"""Estimates from labels, tried where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.review.density import (
    Labelled,
    cohens_kappa,
    curve_of,
    estimate,
    estimate_sites,
    shifted_shares,
)
from tests.surveys import try_survey

BINS = 4


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    sites = draw(st.integers(1, 3))
    counts = st.lists(st.integers(0, 500), min_size=BINS, max_size=BINS)
    units = np.array([draw(counts) for _ in range(sites)])
    share = np.array([[draw(st.floats(0, 1)) for _ in range(BINS)] for _ in range(sites)])
    heard = np.minimum(units, np.floor(share * 30))
    yes = np.floor(heard * draw(st.floats(0, 1)))
    extra = np.floor(yes * 0.1)
    evidence = np.array([-8.0, -3.0, 0.0, 4.0])
    return Labelled(units, heard, yes, extra, evidence, np.array([False, False, False, True]))


@pytest.mark.slow
@given(labelled(), st.integers(0, 5))
def test_no_draw_denies_what_was_heard(found: Labelled, seed: int) -> None:
    rng = np.random.default_rng(seed)
    both, sites = estimate(found, rng, 50), estimate_sites(found, rng, 50)
    assert len(sites) == len(found.units)
    for draws, units, yes, no in [
        (both, found.units.sum(0), found.yes.sum(0), (found.labelled - found.yes).sum(0)),
        *zip(sites, found.units, found.yes, found.labelled - found.yes, strict=True),
    ]:
        assert np.all(draws.yes >= yes - 1e-9)
        assert np.all(draws.yes <= units - no + 1e-9)
        assert np.all(draws.calls >= draws.yes - 1e-9)
        assert np.all((draws.rates >= 0) & (draws.rates <= 1))


def test_when_all_was_heard_nothing_is_estimated() -> None:
    units = np.array([[50, 20], [10, 5]])
    yes = np.array([[3.0, 18.0], [0.0, 5.0]])
    extra = np.array([[0.0, 2.0], [0.0, 0.0]])
    found = Labelled(
        units, units.astype(float), yes, extra, np.array([-3.0, 3.0]), np.array([False, True])
    )
    rng = np.random.default_rng(0)
    assert set(estimate(found, rng, 100).calls.sum(1)) == {28.0}
    assert [set(d.calls.sum(1)) for d in estimate_sites(found, rng, 100)] == [{23.0}, {5.0}]


def test_more_labels_make_narrower_intervals() -> None:
    widths = []
    for times in (1, 4, 16):
        found = Labelled(
            np.array([[20_000, 2000, 400]]),
            np.array([[20.0, 20.0, 20.0]]) * times,
            np.array([[0.0, 4.0, 16.0]]) * times,
            np.zeros((1, 3)),
            np.array([-8.0, -1.0, 3.0]),
            np.array([False, False, True]),
        )
        draws = estimate(found, np.random.default_rng(0)).calls.sum(1)
        widths.append(np.subtract(*np.quantile(draws, [0.95, 0.05])))
    assert widths[0] > widths[1] > widths[2]


def test_a_bin_that_disagrees_with_the_curve_goes_by_its_labels() -> None:
    """Calls where the model hears nothing at all: the curve alone would say next to none."""
    found = Labelled(
        np.array([[10_000, 1000, 100]]),
        np.array([[50.0, 50.0, 50.0]]),
        np.array([[10.0, 2.0, 45.0]]),
        np.zeros((1, 3)),
        np.array([-8.0, -2.0, 4.0]),
        np.array([False, False, True]),
    )
    draws = estimate(found, np.random.default_rng(0)).calls[:, 0]
    low, high = np.quantile(draws, [0.05, 0.95])
    assert low < 2000 < high


def test_a_curve_that_was_right_is_found_again() -> None:
    evidence = np.linspace(-4, 4, 9)
    share = 1 / (1 + np.exp(-(0.5 + 1.2 * evidence)))
    n = np.full((1, 9), 4000.0)
    found = Labelled(
        n.astype(np.int64), n, np.rint(n * share), np.zeros((1, 9)), evidence, evidence > 0
    )
    curve = curve_of(found)
    assert curve.offset == pytest.approx(0.5, abs=0.05)
    assert curve.slope == pytest.approx(1.2, abs=0.05)


@pytest.mark.slow
@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_a_site_s_share_is_told_from_its_scores_alone(first: float, second: float) -> None:
    """Where calls and all else score alike at both, however often the birds call."""
    of_call, of_other = np.array([0.1, 0.3, 0.6]), np.array([0.8, 0.19, 0.01])
    n = 1_000_000
    units = np.rint(
        [n * (share * of_call + (1 - share) * of_other) for share in (first, second)]
    ).astype(np.int64)
    total = n * (first + second)
    rates = total * of_call / (total * of_call + (2 * n - total) * of_other)
    assert shifted_shares(units, rates) == pytest.approx([first, second], abs=0.01)


def test_kappa_is_that_of_cohen() -> None:
    # Cohen's table of two judges: agreement 0.70, by chance 0.41.
    first = ["yes"] * 50 + ["no"] * 30 + ["unsure"] * 20
    second = (
        ["yes"] * 44 + ["no"] * 5 + ["unsure"]
        + ["yes"] * 7 + ["no"] * 20 + ["unsure"] * 3
        + ["yes"] * 9 + ["no"] * 5 + ["unsure"] * 6
    )  # fmt: skip
    assert cohens_kappa(first, second) == pytest.approx((0.70 - 0.41) / (1 - 0.41), abs=1e-9)
    assert cohens_kappa([], []) is None
    assert cohens_kappa(["yes"], ["yes"]) is None


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """90 % intervals; surveys with precision 0.3 to 0.99 and 100 to 400 labels.

    The first of the 1,000 that ``python -m tests.surveys`` tries for docs/verifying.md.
    """
    trials = [try_survey(100_000 + n) for n in range(300)]
    assert all(0.3 <= trial.precision <= 0.99 for trial in trials)
    held = np.array([trial.total[0] <= trial.truth <= trial.total[1] for trial in trials])
    assert 0.88 <= held.mean() <= 0.93
    several = [trial for trial in trials if len(trial.sites) > 1]
    sites = [low <= truth <= high for t in several for truth, low, high in t.sites]
    assert 0.86 <= np.mean(sites) <= 0.95
    right = [
        t.precision_found[0] - 1e-9 <= t.precision <= t.precision_found[1] + 1e-9 for t in trials
    ]
    assert 0.88 <= np.mean(right) <= 0.96
