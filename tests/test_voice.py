"""What a call is like, on made-up calls of known pitch, level and length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls import Floats
from model.training.sounds import Rng, add_sound, band_power, coloured_noise
from model.training.synth import MOO_PITCH, MOO_PITCH_AT, CallVoice, synthesise_call
from model.voice import LEAST_SCORE, REACH_SAMPLES, Voice, measure_call, onset_step, onset_steps
from model.windows import SAMPLE_RATE_HZ, Samples


@dataclass(frozen=True)
class Truth:
    level_dbfs: float
    above_background_db: float
    spacing_hz: float
    moo_s: float


def sing(rng: Rng, voice: CallVoice, level_db: float, audio: Floats, onset: int) -> Truth:
    """Adds a call whose moo begins at ``onset`` and has a level in the band."""
    call = synthesise_call(voice).astype(np.float64)
    first = round((voice.lead_in_s + voice.growl_s) * SAMPLE_RATE_HZ)
    end = first + round(voice.moo_s * SAMPLE_RATE_HZ)
    call *= 10 ** (level_db / 20) / np.sqrt(band_power(call[first:end]))
    add_sound(audio, call, onset - first)
    at_s = np.linspace(0, voice.moo_s, 999)
    pitch = np.interp(at_s / voice.moo_s, MOO_PITCH_AT, MOO_PITCH)
    plateau = (at_s > 0.15) & (at_s < 1.75)
    return Truth(
        level_db, 0.0, voice.fundamental_hz * float(np.median(pitch[plateau])), voice.moo_s
    )


def draw(rng: Rng) -> CallVoice:
    return CallVoice(
        fundamental_hz=rng.uniform(110, 170),
        growl_s=rng.uniform(1.0, 1.6),
        moo_s=rng.uniform(1.7, 2.5),
        seed=int(rng.integers(2**31)),
    )


def chorus(rng: Rng, snr_db: float) -> tuple[Samples, Truth]:
    """A call in noise, and what is true of it."""
    level_db = rng.uniform(-50, -25)
    noise = coloured_noise(rng, 2 * REACH_SAMPLES, rng.uniform(0, 2)).astype(np.float64)
    noise *= 10 ** ((level_db - snr_db) / 20) / np.sqrt(band_power(noise))
    truth = sing(rng, draw(rng), level_db, noise, REACH_SAMPLES)
    return noise.astype(np.float32), Truth(truth.level_dbfs, snr_db, truth.spacing_hz, truth.moo_s)


def shifted(rng: Rng) -> int:
    return REACH_SAMPLES + int(rng.uniform(-0.13, 0.13) * SAMPLE_RATE_HZ)


@pytest.mark.slow
def test_columns_are_near_the_truth_above_0_db() -> None:
    rng = np.random.default_rng(7)
    near = []
    for _ in range(120):
        audio, truth = chorus(rng, rng.uniform(0, 20))
        voice = measure_call(audio, shifted(rng))
        assert voice is not None
        near.append(
            (
                abs(voice.level_dbfs - truth.level_dbfs) <= 1.5,
                abs(voice.above_background_db - truth.above_background_db) <= 1.5,
                voice.spacing_hz is not None and abs(voice.spacing_hz - truth.spacing_hz) <= 2,
                voice.moo_s is not None and abs(voice.moo_s - truth.moo_s) <= 0.15,
            )
        )
    shares = np.mean(near, axis=0)
    assert (shares >= 0.95).all(), shares


@pytest.mark.slow
def test_at_minus_5_db_a_spacing_is_right_or_missing() -> None:
    rng = np.random.default_rng(8)
    voices = []
    for _ in range(30):
        audio, truth = chorus(rng, -5)
        voices.append((measure_call(audio, shifted(rng)), truth))
    said = [(v.spacing_hz, truth.spacing_hz) for v, truth in voices if v and v.spacing_hz]
    assert len(said) >= 10
    assert np.mean([abs(a - b) <= 2 for a, b in said]) >= 0.9


@pytest.mark.slow
def test_of_overlapping_calls_the_one_that_begins_is_measured() -> None:
    rng = np.random.default_rng(9)
    near = []
    for _ in range(30):
        audio, truth = chorus(rng, 15)
        both = audio.astype(np.float64)
        later = REACH_SAMPLES + round(rng.uniform(1.0, 1.8) * SAMPLE_RATE_HZ)
        sing(rng, draw(rng), truth.level_dbfs - 5, both, later)
        voice = measure_call(both.astype(np.float32), REACH_SAMPLES)
        near.append(
            bool(voice and voice.spacing_hz and abs(voice.spacing_hz - truth.spacing_hz) <= 2)
        )
    assert np.mean(near) >= 0.9


@pytest.mark.slow
def test_the_error_is_about_what_spacings_are_wrong_by() -> None:
    rng = np.random.default_rng(10)
    ratios = []
    for _ in range(30):
        audio, truth = chorus(rng, 8)
        voice = measure_call(audio, REACH_SAMPLES)
        assert voice is not None
        assert voice.spacing_hz is not None
        assert voice.spacing_error_hz is not None
        ratios.append((voice.spacing_hz - truth.spacing_hz) / voice.spacing_error_hz)
    assert 0.3 <= np.sqrt(np.mean(np.square(ratios))) <= 2


def test_silence_and_too_little_audio_have_no_voice() -> None:
    assert measure_call(np.zeros(2 * REACH_SAMPLES, np.float32), REACH_SAMPLES) is None
    assert measure_call(np.ones(4000, np.float32), 3000) is None


def test_noise_has_no_spacing() -> None:
    noise = coloured_noise(np.random.default_rng(1), 2 * REACH_SAMPLES, 1) * 0.01
    voice = measure_call(noise.astype(np.float32), REACH_SAMPLES)
    assert isinstance(voice, Voice)
    assert voice.spacing_hz is None


scores = st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.4, 0.4, 0.7, 0.9]), min_size=1, max_size=60)


@given(scores, st.integers(0, 60))
def test_a_part_measures_all_that_the_recording_asks_for(values: list[float], cut: int) -> None:
    whole = np.array(values, np.float32)
    cut = min(cut, len(whole))
    parts = {*onset_steps(whole[:cut]).tolist(), *(onset_steps(whole[cut:]) + cut).tolist()}
    assert set(onset_steps(whole).tolist()) <= parts


@given(scores, st.integers(0, 59))
def test_every_call_leads_to_a_measured_step(values: list[float], index: int) -> None:
    whole = np.array(values, np.float32)
    index = min(index, len(whole) - 1)
    step = onset_step(whole, index)
    assert whole[step] >= whole[index]
    if whole[index] >= LEAST_SCORE:
        assert step in onset_steps(whole)
