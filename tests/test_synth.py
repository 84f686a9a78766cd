import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from model.training.synth import (
    CallVoice,
    draw_voice,
    synthesise_call,
    synthesise_recording,
)
from model.windows import SAMPLE_RATE_HZ, Samples


def level_db(sound: Samples, low_hz: float, high_hz: float) -> float:
    """Power of a band against the power of the whole."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency_hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    band = power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum()
    return float(10 * np.log10(band / power.sum()))


def part(call: Samples, start_s: float, end_s: float) -> Samples:
    return call[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)]


def added_calls(starts_s: Sequence[float], sample_rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """What a recording holds more than the same recording without calls, float32 [n]."""
    quiet = synthesise_recording(20.0, (), sample_rate_hz, 1, seed=5)
    return synthesise_recording(20.0, starts_s, sample_rate_hz, 1, seed=5)[:, 0] - quiet[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_a_call_has_the_measured_shape(seed: int) -> None:
    voice = draw_voice(np.random.default_rng(seed))
    call = synthesise_call(voice)
    moo_s = voice.lead_in_s + voice.growl_s
    lead_in = part(call, 0, voice.lead_in_s)
    growl = part(call, voice.lead_in_s + 0.2, moo_s)
    moo = part(call, moo_s + 0.15, moo_s + voice.moo_s - 0.3)

    assert call.dtype == np.float32
    assert len(call) == round((voice.lead_in_s + voice.call_s) * SAMPLE_RATE_HZ)
    assert np.abs(call).max() == 1
    assert level_db(growl, 400, 900) > -0.5
    assert level_db(moo, 350, 1800) > -0.1
    assert lead_in.std() < 0.1 * growl.std()
    assert 0.5 * moo.std() < growl.std() < moo.std()
    # A moo is harmonics: its own copy one period later. A growl is noise.
    period = round(SAMPLE_RATE_HZ / voice.fundamental_hz)
    around = range(period - 3, period + 4)
    assert max(np.corrcoef(moo[:-p], moo[p:])[0, 1] for p in around) > 0.9
    assert max(np.corrcoef(growl[:-p], growl[p:])[0, 1] for p in around) < 0.5


def test_calls_begin_when_asked_and_nowhere_else() -> None:
    calls = added_calls((4.0, 12.0))
    loud = np.flatnonzero(np.abs(calls) > 0.05) / SAMPLE_RATE_HZ
    first, second = loud[loud < 10], loud[loud > 10]
    assert first.min() == pytest.approx(4.15, abs=0.15)
    assert second.min() == pytest.approx(12.15, abs=0.15)
    assert first.max() < 4 + 4.1
    assert np.abs(calls).max() == pytest.approx(0.35, rel=0.02)


def test_calls_at_the_edges_are_cut() -> None:
    calls = added_calls((0.0, 18.0))
    assert np.abs(calls[:SAMPLE_RATE_HZ]).max() > 0.1
    assert np.abs(calls[-SAMPLE_RATE_HZ // 2 :]).max() > 0.1


@pytest.mark.parametrize("sample_rate_hz", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_rate_and_channels(sample_rate_hz: int, channels: int) -> None:
    recording = synthesise_recording(7.3, (2.0,), sample_rate_hz, channels, seed=1)
    assert recording.shape == (round(7.3 * sample_rate_hz), channels)
    assert recording.dtype == np.float32
    assert np.abs(recording).max() < 1
    for channel in range(1, channels):
        assert not np.array_equal(recording[:, 0], recording[:, channel])


def test_the_same_seed_gives_the_same_samples() -> None:
    once, twice = (synthesise_recording(10.0, (3.0,), 16_000, 2, seed=9) for _ in range(2))
    other = synthesise_recording(10.0, (3.0,), 16_000, 2, seed=10)
    assert np.array_equal(once, twice)
    assert not np.array_equal(once, other)
    assert np.array_equal(synthesise_call(CallVoice()), synthesise_call(CallVoice()))


def test_the_bed_repeats_without_a_seam() -> None:
    forest = synthesise_recording(20.0, (), SAMPLE_RATE_HZ, 1, seed=0, sounds_per_minute=0.0)[:, 0]
    assert np.abs(np.diff(forest, 2)).max() < 8 * np.diff(forest, 2).std()
    assert forest.std() == pytest.approx(0.02, rel=0.01)


def test_it_is_light() -> None:
    script = (
        "import sys, model.training.synth, pipeline.commands.demo; "
        "assert not {'tensorflow', 'keras', 'apache_beam'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
