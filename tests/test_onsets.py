"""Where a moo begins is read from its audio."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.training.clips import Example
from model.training.onsets import LEAST_CALLS, onset_offset_s, with_onsets
from model.training.sounds import band_power, coloured_noise, made_up_call
from model.windows import SAMPLE_RATE_HZ


def made_up(seed: int, late_s: float, noise_db: float = -20.0) -> Example:
    """A made-up call in noise whose cue is marked ``late_s`` after its moo begins."""
    rng = np.random.default_rng(seed)
    call = made_up_call(rng)
    noise = coloured_noise(rng, len(call.audio), 1.0)
    power = band_power(call.audio[call.call_start : call.call_end])
    gain = np.sqrt(power * 10 ** (noise_db / 10) / band_power(noise))
    audio = (call.audio + gain * noise).astype(np.float32)
    cue = call.cue_start + round(late_s * SAMPLE_RATE_HZ)
    return Example(audio, "call", f"{seed}.wav", 0, "g", "A", call.call_start, cue, call.call_end)


@pytest.mark.slow
@given(seed=st.integers(0, 9999), late_s=st.floats(-0.4, 0.4))
@settings(max_examples=20, deadline=None)
def test_a_bird_s_onsets_move_to_where_its_moos_begin(seed: int, late_s: float) -> None:
    calls = [made_up(seed + i, late_s) for i in range(9)]
    for before, after in zip(calls, with_onsets(calls), strict=True):
        beside_s = (after.cue_start - before.cue_start) / SAMPLE_RATE_HZ + late_s
        assert abs(beside_s) < 0.1


def test_marks_that_are_good_and_birds_with_few_calls_stay() -> None:
    good = [made_up(i, 0.0) for i in range(LEAST_CALLS)]
    few = [replace(made_up(i, 0.3), take="B") for i in range(LEAST_CALLS - 1)]
    background = [Example(np.zeros(50_000, np.float32), "background", "b.wav", 0, "h")]
    assert list(with_onsets([*good, *few, *background])) == [*good, *few, *background]


def test_a_call_too_short_to_say_has_no_offset() -> None:
    call = made_up(0, 0.0)
    assert onset_offset_s(replace(call, audio=call.audio[:3000])) is None
    assert onset_offset_s(made_up(0, 0.25)) == pytest.approx(-0.25, abs=0.05)
