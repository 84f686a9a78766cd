"""Training audio: repeatable, in range, labelled truly."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.network import MOO_SPAN_BEFORE_STEPS, MOO_SPAN_STEPS
from model.training.augment import MixedStretches, Mixture, PlainWindows, _odds
from model.training.clips import Example
from model.training.sounds import (
    band_power,
    coloured_noise,
    faded,
    from_afar,
    hoarse,
    made_up_call,
    onset_times,
    other_sound,
    play_at_speed,
)
from model.training.targets import (
    FULL_SHARE,
    PART_SHARE,
    STRETCH_SAMPLES,
    SUREST,
    stretch_targets,
)
from model.windows import SAMPLE_RATE_HZ

SMALL = Mixture(stores=(6, 4, 6, 2))


def examples(seed: int = 0) -> list[Example]:
    rng = np.random.default_rng(seed)
    call = made_up_call(rng)
    noise = rng.normal(0, 0.01, 20 * SAMPLE_RATE_HZ).astype(np.float32)
    return [
        Example(
            call.audio, "call", "a.wav", 0, "g", "A", call.call_start, call.cue_start, call.call_end
        ),
        Example(noise, "background", "b.wav", 0, "h"),
        Example(noise[:9000], "background", "short.wav", 0, "i"),
        Example(np.zeros(60_000, np.float32), "background", "silent.wav", 0, "j"),
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_stretches() -> None:
    first, second = (MixedStretches(examples(), 5, SMALL).draw(6) for _ in range(2))
    for ours, theirs in zip(first, second, strict=True):
        assert np.array_equal(ours, theirs)
    assert not np.array_equal(first[0], MixedStretches(examples(), 6, SMALL).draw(6)[0])


@pytest.mark.slow
def test_stretches_are_audio_targets_and_weights() -> None:
    source = MixedStretches(examples(), 0, SMALL)
    source.renew()
    audio, targets, weights = source.draw(40)
    assert audio.shape == (40, STRETCH_SAMPLES)
    assert targets.shape == weights.shape == (40, 160, 2)
    assert all(part.dtype == np.float32 for part in (audio, targets, weights))
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1
    assert targets.min() >= 0
    assert targets.max() <= 1
    for head in range(2):
        assert 5 < (targets[..., head].max(axis=1) > 0.5).sum() < 40  # some are silent
    assert 0.8 < weights.mean() < 1


@pytest.mark.slow
def test_clips_stand_alone_with_hard_edges_whether_they_hold_a_call_or_not() -> None:
    source = MixedStretches(examples(), 1, Mixture(stores=(6, 4, 6, 2), alone_share=1.0))
    audio, targets, _ = source.draw(12)
    silent = (audio == 0).mean(axis=1)
    assert (silent > 0.1).all()
    calls = targets[..., 0].max(axis=1) > 0.5
    assert 0 < calls.sum() < 12


def test_birds_with_many_copies_do_not_drown_the_others() -> None:
    call = examples()[0]
    many = [call] * 16 + [Example(call.audio, "call", "c.wav", 0, "k", "B", 0, 0, len(call.audio))]
    odds = _odds(many, [e.take for e in many], [1.0] * len(many), 0.5)
    assert odds.sum() == pytest.approx(1)
    assert odds[-1] == pytest.approx(1 / 5)


def test_without_background_noise_takes_its_place() -> None:
    audio, _, _ = MixedStretches(examples()[:1], 0, SMALL).draw(5)
    assert np.abs(audio).max() <= 1
    quiet = np.abs(audio).reshape(5, -1, 4096).max(axis=2)
    assert (quiet > 0).mean() > 0.4  # a drop-out or an edge may empty a part of one


@given(st.lists(st.integers(-20_000, STRETCH_SAMPLES + 20_000), max_size=8))
def test_targets_peak_where_calls_begin(onsets: list[int]) -> None:
    target, weight = stretch_targets([(place, place + 35_200) for place in onsets], [])
    assert weight[:, 0].all()
    middles = (np.arange(160) + 0.5) * 2048
    for place in onsets:
        if 0 <= place < STRETCH_SAMPLES:
            nearest = np.argmin(np.abs(middles - place))
            least = SUREST * np.exp(-((0.064 / 0.15) ** 2) / 2)
            assert target[nearest, 0] >= least - 1e-6
            assert target[nearest, 1] == np.float32(SUREST)
    far = [all(abs(m - place) > 0.6 * SAMPLE_RATE_HZ for place in onsets) for m in middles]
    assert not target[far, 0].any() or target[far, 0].max() < 0.01


@given(place=st.integers(20_000, 200_000), n=st.integers(15_000, 45_000))
def test_a_span_is_full_only_with_most_of_a_moo(place: int, n: int) -> None:
    target, weight = stretch_targets([(place, place + n)], [])
    span = MOO_SPAN_STEPS * 2048
    for step in range(160):
        first = (step - MOO_SPAN_BEFORE_STEPS) * 2048
        share = max(0, min(place + n, first + span) - max(place, first)) / n
        if share >= FULL_SHARE:
            assert target[step, 1] == np.float32(SUREST)
        else:
            assert target[step, 1] == 0
            assert weight[step, 1] == (share <= PART_SHARE)


def test_a_growl_is_no_moo() -> None:
    """1.6 s before the onset of a moo of the usual length, nothing is asked of the moo's head."""
    onset = 160_000
    target, _ = stretch_targets([(onset, onset + 35_200)], [])
    growl = round((onset - 1.6 * SAMPLE_RATE_HZ) / 2048)
    assert target[growl].max() < 1e-9


def test_calls_that_nobody_can_be_sure_of_weigh_nothing() -> None:
    target, weight = stretch_targets([], [(100_000, 135_200)])
    assert not target.any()
    assert weight[:, 0].sum() == pytest.approx(160 - 2 * 0.6 / 0.128, abs=1)
    assert not weight[round(100_000 / 2048), 1]


@given(seed=st.integers(0, 10**6), a_minute=st.floats(1, 60), gap_s=st.floats(0.3, 2))
def test_onsets_keep_apart(seed: int, a_minute: float, gap_s: float) -> None:
    times = onset_times(np.random.default_rng(seed), -3.0, 60.0, a_minute, gap_s)
    assert all(-3 <= t < 60 for t in times)
    assert all(later - earlier >= gap_s for earlier, later in itertools.pairwise(times))


def test_onsets_are_as_many_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    found = sum(len(onset_times(rng, 0.0, 60.0, 12, 1.0)) for _ in range(200))
    assert found / 200 == pytest.approx(12, rel=0.05)


@given(factor=st.floats(0.5, 2), n=st.integers(10, 5000))
def test_speed_changes_length(factor: float, n: int) -> None:
    assert len(play_at_speed(np.ones(n, np.float32), factor)) == int(n / factor)


def test_speed_changes_pitch() -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 500 * time_s).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(play_at_speed(tone, 1.25)))
    peak_hz = np.argmax(spectrum) * SAMPLE_RATE_HZ / int(SAMPLE_RATE_HZ / 1.25)
    assert peak_hz == pytest.approx(625, abs=2)


def test_band_power_hears_the_band_only() -> None:
    time_s = np.arange(48_000) / SAMPLE_RATE_HZ
    inside, outside = (np.sin(2 * np.pi * f * time_s) for f in (1000, 100))
    assert band_power(inside) == pytest.approx(0.5, rel=1e-3)
    assert band_power(outside) < 1e-5  # the ends


@pytest.mark.slow
@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_made_up_sounds_are_finite_and_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    call, other = made_up_call(rng), other_sound(rng)
    assert np.isfinite(call.audio).all()
    assert 0 <= call.call_start <= call.cue_start < call.call_end <= len(call.audio)
    assert np.isfinite(other).all()
    assert 0 < np.abs(other).max() <= 1.001


def test_a_hoarse_moo_is_as_loud_and_has_no_lines() -> None:
    rng = np.random.default_rng(0)
    time_s = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    moo = np.sum([np.cos(2 * np.pi * 140 * k * time_s) for k in range(3, 12)], axis=0)
    rough = hoarse(rng, moo)

    def line_share(audio: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
        on_lines = [power[280 * k - 10 : 280 * k + 11].sum() for k in range(3, 12)]
        return float(sum(on_lines) / power.sum())

    assert len(rough) == len(moo)
    assert abs(10 * np.log10(band_power(rough) / band_power(moo))) < 3
    assert line_share(moo) > 0.99
    assert line_share(rough) < 0.5


def test_noise_has_the_colour_asked_for() -> None:
    rng = np.random.default_rng(0)
    pink = np.abs(np.fft.rfft(coloured_noise(rng, 1 << 16, 1.0))) ** 2
    octave_low, octave_high = pink[2000:4000].sum(), pink[8000:16_000].sum()
    assert octave_low / octave_high == pytest.approx(1, rel=0.15)


def test_fading_changes_the_ends_alone() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 7777).astype(np.float32)
    soft = faded(noise, 0.1)
    assert soft[0] == soft[-1] == 0
    assert np.array_equal(soft[1600:-1600], noise[1600:-1600])


def test_distance_takes_treble_and_adds_an_echo() -> None:
    click = np.zeros(SAMPLE_RATE_HZ, np.float32)
    click[100] = 1
    rng = np.random.default_rng(0)
    unchanged = from_afar(rng, click, reverb_s=0, lowpass_hz=np.inf, tilt_db=0)
    np.testing.assert_allclose(unchanged, click, atol=1e-6)
    dull = np.abs(np.fft.rfft(from_afar(rng, click, 0, 1500.0, 0)))  # a bin a hertz
    assert 20 * np.log10(dull[[100, 1500, 6000]]) == pytest.approx([0, -3, -24], abs=0.2)
    echo = from_afar(rng, click, 0.8, np.inf, 0)
    first, later = (np.mean(echo[n : n + 1600] ** 2) for n in (1000, 9000))  # half a second apart
    assert 10 * np.log10(first / later) == pytest.approx(60 * 0.5 / 0.8, abs=2)


def test_plain_windows_are_the_examples_own_and_split_at_random() -> None:
    train, held_out = (PlainWindows(examples(), 3, held_out=side) for side in (False, True))
    assert (len(train), len(held_out)) == (8, 3)
    windows, labels = train.draw(len(train))
    again = PlainWindows(examples(), 3, held_out=False).draw(len(train))
    assert np.array_equal(windows, again[0])
    assert labels.sum() + held_out.draw(3)[1].sum() == PlainWindows.CALL_WINDOWS
    call = examples()[0].audio
    for window in windows[labels[:, 0] == 1]:
        assert any(np.array_equal(call[i : i + 50], window[-50:]) for i in range(len(call)))
