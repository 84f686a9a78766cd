import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.windows import (
    ONSETS,
    WINDOW_SAMPLES,
    Padding,
    window_starts,
    windows_every,
)

lengths = st.integers(0, 40 * WINDOW_SAMPLES)
hops = st.integers(1000, WINDOW_SAMPLES)


@pytest.mark.parametrize(
    ("n_samples", "hop", "expected"),
    [
        (0, 48_000, 0),
        (1, 48_000, 1),
        (48_000, 48_000, 1),
        (48_001, 48_000, 2),
        (96_000, 48_000, 2),  # exactly two windows: no third one made of padding
        (96_000, 16_000, 4),
        (96_001, 16_000, 5),
        (2_880_000, 48_000, 60),  # a recording of the tutorial
    ],
)
def test_the_number_of_windows_at_the_edges(n_samples: int, hop: int, expected: int) -> None:
    assert len(window_starts(n_samples, hop)) == expected


@given(lengths, hops)
def test_every_sample_lies_in_a_window_and_no_window_is_idle(n_samples: int, hop: int) -> None:
    starts = window_starts(n_samples, hop)
    assert np.array_equal(starts, np.arange(len(starts)) * hop)
    if n_samples == 0:
        assert len(starts) == 0
        return
    assert starts[-1] < n_samples <= starts[-1] + WINDOW_SAMPLES
    if len(starts) > 1:  # without the last window something would not be heard
        assert starts[-2] + WINDOW_SAMPLES < n_samples


@given(st.integers(1, 4 * WINDOW_SAMPLES), hops, st.sampled_from(["end", "front"]))
def test_windows_hold_the_audio_at_their_place(n_samples: int, hop: int, padding: Padding) -> None:
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    starts = window_starts(n_samples, hop)
    windows = windows_every(hop).cut(samples, starts, padding)
    assert windows.shape == (len(starts), WINDOW_SAMPLES)
    assert windows.dtype == np.float32
    for window, start in zip(windows, starts, strict=True):
        audio = samples[start : start + WINDOW_SAMPLES]
        heard = window[: len(audio)] if padding == "end" else window[WINDOW_SAMPLES - len(audio) :]
        assert np.array_equal(heard, audio)
        assert np.count_nonzero(window) == len(audio)


@pytest.mark.parametrize("hop", [0, -1, WINDOW_SAMPLES + 1])
def test_a_hop_that_would_leave_audio_unheard_is_refused(hop: int) -> None:
    with pytest.raises(ValueError, match="hop"):
        window_starts(1, hop)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 samples"):
        window_starts(-1, 1)


@given(n_samples=st.integers(1, 3 * ONSETS.hop_samples), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_inputs_with_context_hold_what_lies_around_them(n_samples: int, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(size=n_samples).astype(np.float32)
    inputs = np.arange(ONSETS.count_inputs(n_samples)) * ONSETS.hop_samples
    starts = ONSETS.score_starts(inputs, n_samples)
    assert np.array_equal(starts, np.arange(0, n_samples, ONSETS.step_samples))
    cut = ONSETS.cut(samples, inputs, "end")
    around = np.pad(samples, (ONSETS.context_samples, ONSETS.input_samples))
    for row, start in zip(cut, inputs, strict=True):
        assert np.array_equal(row, around[start : start + ONSETS.input_samples])
    for row, start in zip(cut, inputs, strict=True):
        assert np.array_equal(ONSETS.cut(samples, np.array([start]), "end"), row[None])


@given(n_samples=st.integers(1, 2 * ONSETS.hop_samples))
def test_the_shortest_input_that_holds_the_rest_is_taken(n_samples: int) -> None:
    scored = [n - 2 * ONSETS.context_samples for n in (*ONSETS.short_samples, ONSETS.input_samples)]
    taken = ONSETS.for_rest(n_samples)
    assert taken.scored_samples == min([n for n in scored if n >= n_samples], default=scored[-1])
    assert taken.hop_samples == taken.scored_samples


def test_an_input_amid_the_audio_is_not_copied() -> None:
    samples = np.ones(2 * ONSETS.input_samples, np.float32)
    inputs = np.array([ONSETS.context_samples])
    assert np.shares_memory(ONSETS.cut(samples, inputs, "end"), samples)
