"""Scores to calls: what holds for any scores, and what must come out for known ones."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls import (
    CountingRule,
    count_positive_windows,
    find_calls,
    window_scores,
)
from model.windows import (
    ONSETS,
    SAMPLE_RATE_HZ,
    WINDOW_SAMPLES,
    window_starts,
    windows_every,
)

RULE = CountingRule(threshold=0.5, before_s=2.6, after_s=1.1)


def scores_of_calls(
    cues_s: Sequence[float], duration_s: float, hop_s: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], int]:
    """Window starts, and scores as a perfect network gives them: share of a 2.2 s cue inside."""
    n_samples = round(duration_s * SAMPLE_RATE_HZ)
    starts = window_starts(n_samples, round(hop_s * SAMPLE_RATE_HZ))
    first_s = starts / SAMPLE_RATE_HZ
    share = np.zeros(len(starts))
    for cue_s in cues_s:
        inside = np.minimum(first_s + 3, cue_s + 1.1) - np.maximum(first_s, cue_s - 1.1)
        share = np.maximum(share, inside / 2.2)
    scores = 1 / (1 + np.exp(-12 * (np.clip(share, 0, 1) - 0.55)))
    return starts, scores.astype(np.float32), n_samples


@given(
    gaps_s=st.lists(st.floats(6, 20), min_size=1, max_size=12),
    hop_s=st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.25]),
)
def test_each_call_is_one_call_however_close(gaps_s: list[float], hop_s: float) -> None:
    cues_s = list(itertools.accumulate(gaps_s))
    starts, scores, n = scores_of_calls(cues_s, cues_s[-1] + 5, hop_s)
    calls = find_calls(starts, scores, RULE, n)
    assert len(calls) == len(cues_s)
    for call, cue_s in zip(calls, cues_s, strict=True):
        assert call.start_s == pytest.approx(max(0, cue_s - 2.6), abs=0.5)
        assert call.end_s == pytest.approx(cue_s + 1.1, abs=0.5)


@given(
    scores=st.lists(st.floats(0, 1, width=32), max_size=80),
    hop=st.integers(1, WINDOW_SAMPLES),
    seed=st.integers(0, 99),
)
def test_calls_are_ordered_apart_and_inside_whatever_the_scores(
    scores: list[float], hop: int, seed: int
) -> None:
    starts = np.arange(len(scores), dtype=np.int64) * hop
    values = np.array(scores, np.float32)
    n = len(scores) * hop
    calls = find_calls(starts, values, RULE, n)
    duration_s = n / SAMPLE_RATE_HZ
    assert all(0 <= c.start_s <= c.end_s <= duration_s for c in calls)
    assert all(c.score >= RULE.threshold for c in calls)
    assert len(calls) <= 1 + duration_s / RULE.min_separation_s
    order = np.random.default_rng(seed).permutation(len(scores))
    assert find_calls(starts[order], values[order], RULE, n) == calls


@given(scores=st.lists(st.floats(0, 0.4375, width=32), max_size=50))
def test_nothing_below_the_threshold_is_a_call(scores: list[float]) -> None:
    starts = np.arange(len(scores), dtype=np.int64) * SAMPLE_RATE_HZ
    assert find_calls(starts, np.array(scores, np.float32), RULE, 10**7) == ()


def test_a_threshold_near_one_is_kept_to() -> None:
    starts = np.arange(4, dtype=np.int64) * 10 * SAMPLE_RATE_HZ
    scores = np.array([0.9997, 0.9998, 0.99995, 0.999999], np.float32)
    calls = find_calls(starts, scores, replace(RULE, threshold=0.9999), 10**7)
    assert [call.peak_s for call in calls] == [21.5, 31.5]
    assert len(find_calls(starts, scores, replace(RULE, threshold=0.9996), 10**7)) == 4


def test_a_dip_does_not_split_a_call() -> None:
    starts = np.arange(12, dtype=np.int64) * 8000
    scores = np.array([0, 0, 0.1, 0.9, 0.95, 0.3, 0.95, 0.9, 0.1, 0, 0, 0], np.float32)
    assert len(find_calls(starts, scores, RULE, 12 * 8000)) == 1


def test_windows_three_seconds_apart_are_counted_too() -> None:
    starts, scores, n = scores_of_calls([7.5, 19.5], 30, 3.0)
    assert len(find_calls(starts, scores, RULE, n)) == 2


def test_no_windows_no_calls() -> None:
    assert find_calls(np.zeros(0, np.int64), np.zeros(0, np.float32), RULE, 0) == ()


def test_positive_windows_include_the_threshold() -> None:
    assert count_positive_windows(np.array([0.1, 0.5, 0.9], np.float32), 0.5) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.0},
        {"threshold": 1.5},
        {"score_s": 0},
        {"smoothing_s": -1},
        {"min_separation_s": -1},
        {"before_s": -3.0, "after_s": 1.0},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        CountingRule(**{"threshold": 0.5, **changes})


@given(
    onsets_s=st.lists(st.floats(0, 29), max_size=6),
    hop_s=st.sampled_from([0.5, 1.25, 3.0]),
)
def test_a_window_scores_as_its_best_step_half_of_whose_moo_it_holds(
    onsets_s: list[float], hop_s: float
) -> None:
    n, hop = 30 * SAMPLE_RATE_HZ, round(hop_s * SAMPLE_RATE_HZ)
    starts = np.arange(0, n, ONSETS.step_samples)
    scores = np.zeros(len(starts), np.float32)
    for place, onset_s in enumerate(onsets_s):
        scores[int(onset_s * SAMPLE_RATE_HZ / ONSETS.step_samples)] = 0.5 + 0.01 * place
    windows, values = window_scores(starts, scores, ONSETS, n, hop)
    assert np.array_equal(windows, window_starts(n, hop))
    middles_s = (starts + 1024) / SAMPLE_RATE_HZ + 1.1
    for start, value in zip(windows / SAMPLE_RATE_HZ, values, strict=True):
        inside = scores[(middles_s >= start) & (middles_s < start + 3)]
        assert value == inside.max()


def test_windows_side_by_side_hold_each_call_once() -> None:
    n = 60 * SAMPLE_RATE_HZ
    starts = np.arange(0, n, ONSETS.step_samples)
    for place in range(len(starts) - 24):
        scores = np.zeros(len(starts), np.float32)
        scores[place] = 1
        assert window_scores(starts, scores, ONSETS, n, WINDOW_SAMPLES)[1].sum() == 1


def test_scores_of_windows_stay_as_they_are() -> None:
    starts, scores = window_starts(100_000, 16_000), np.ones(5, np.float32)
    found = window_scores(starts, scores, windows_every(16_000), 100_000, 16_000)
    assert found[0] is starts
    assert found[1] is scores
