"""Channels that cancel, that hold nothing but noise or nothing at all; and which are heard."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from model.audio.channels import BEST, MIX, Hearing, hearing_of
from model.audio.decoders import AudioError
from model.audio.isolated import IsolatedRecording
from model.audio.quality import Quality, flags
from model.audio.recording import Recording, read_all
from model.windows import Samples
from pipeline import options
from pipeline.options import UsageError
from tests import fakes, nights, plainly
from tests.conftest import noise_with_bursts

RATE = 16_000
SOUND: Samples = noise_with_bursts(30, RATE, 1, [2, 9, 14, 22]).astype(np.float32)[:, 0]
NOISE: Samples = np.random.default_rng(5).normal(0, 0.15, len(SOUND)).astype(np.float32)
HISS: Samples = np.random.default_rng(6).normal(0, 0.01, len(SOUND)).astype(np.float32)


def wav(*channels: npt.NDArray[np.float32]) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, np.stack(channels, axis=1), RATE, format="WAV", subtype="FLOAT")
    file.seek(0)
    return file


def heard(source: io.BytesIO, channel: str = MIX) -> tuple[Samples, Quality]:
    with Recording(source, channel=channel) as recording:
        n = recording.info.n_samples
        segment = recording.read(0, n, range(n))
    return segment.samples, segment.quality


def said(quality: Quality) -> tuple[str, ...]:
    return flags(quality, RATE, 0)


ODD: dict[str, tuple[tuple[Samples, ...], str]] = {
    "opposite": ((SOUND, -SOUND), "cancelled_channels"),
    "opposite, one weaker": ((SOUND, -0.6 * SOUND), "cancelled_channels"),
    "opposite, and hiss": ((SOUND + HISS, HISS[::-1] - SOUND), "cancelled_channels"),
    "two pairs": ((SOUND, -SOUND, SOUND, -SOUND), "cancelled_channels"),
    "noise behind": ((SOUND, NOISE), "noisy_channel"),
    "noise before": ((NOISE, SOUND), "noisy_channel"),
}


@pytest.mark.parametrize("kind", ODD)
def test_sound_that_the_mean_would_lose_is_heard(kind: str) -> None:
    channels, flag = ODD[kind]
    samples, quality = heard(wav(*channels))
    alone = read_all(wav(SOUND))
    assert np.corrcoef(samples, alone)[0, 1] > 0.95
    assert said(quality) == (flag,)
    assert quality.silent_share == 0


PLAIN: dict[str, tuple[Samples, ...]] = {
    "equal": (SOUND, SOUND),
    "one is weaker": (SOUND, 0.2 * SOUND),
    "two microphones": (SOUND + HISS, SOUND + HISS[::-1]),
    "a little later": (SOUND, np.roll(SOUND, 26)),
    "noise alone": (NOISE, HISS),
    "one offset": (SOUND + np.float32(0.01), SOUND - np.float32(0.01)),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_other_channels_are_mixed(kind: str) -> None:
    samples, quality = heard(wav(*PLAIN[kind]))
    mean = np.mean(PLAIN[kind], axis=0, dtype=np.float32)
    np.testing.assert_allclose(samples, mean, atol=1e-6)
    assert said(quality) == ()


def test_a_channel_is_heard_by_its_number() -> None:
    source = wav(SOUND, NOISE, HISS)
    for number, channel in (("1", SOUND), ("2", NOISE), ("3", HISS)):
        assert np.array_equal(heard(source, number)[0], channel)
    assert np.array_equal(heard(source, BEST)[0], SOUND)
    with pytest.raises(AudioError, match="has no channel 4, only 3"):
        Recording(source, "a.wav", channel="4")
    with IsolatedRecording(source, "a.wav", channel="2") as apart:
        assert np.array_equal(apart.read(0, len(NOISE)).samples, NOISE)


def test_silence_is_that_of_all_channels_and_clipping_that_of_the_worst() -> None:
    dead = np.zeros_like(SOUND)
    assert said(heard(wav(SOUND, dead))[1]) == ("silent_channel",)
    assert said(heard(wav(dead, dead))[1]) == ("silent",)
    assert said(heard(wav(SOUND, dead), "2")[1]) == ("silent",)
    clipped = SOUND.copy()
    clipped[::640] = 1  # 0.16 %, and 0.08 % of both
    quality = heard(wav(clipped, SOUND))[1]
    assert quality.clipped_share == pytest.approx(1 / 640, rel=0.01)
    assert "clipped" in said(quality)
    assert said(heard(wav(SOUND, SOUND[::-1] * 0.5))[1]) == ()


def test_zeros_of_one_channel_are_no_dropout() -> None:
    gap = SOUND.copy()
    gap[5000:9000] = 0
    assert heard(wav(SOUND, gap))[1].dropout_frames == 0
    assert heard(wav(gap, gap))[1].dropout_frames >= 3800


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(0, 20_000), st.integers(0, 1000))
def test_unrelated_channels_are_mixed(channels: int, n: int, seed: int) -> None:
    frames = np.random.default_rng(seed).normal(0, 0.1, (n, channels)).astype(np.float32)
    assert hearing_of(frames, RATE, MIX) == Hearing()


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 40))
def test_segments_are_those_of_the_whole(first_s: int, length_s: int) -> None:
    """A block chooses by itself."""
    part = np.where(np.arange(len(SOUND)) < 13 * RATE, SOUND, -SOUND)
    source = wav(SOUND, part)
    whole, _ = heard(source)
    start, n = first_s * 11_000, length_s * 5_000
    n = max(0, min(n, len(whole) - start))
    with Recording(source) as recording:
        assert np.array_equal(recording.read(start, n).samples, whole[start : start + n])


def test_scores_of_other_channels_are_not_used_again(tmp_path: Path) -> None:
    card = tmp_path / "card"
    card.mkdir()
    soundfile.write(card / "a.wav", np.stack([SOUND, 2 * HISS], axis=1), RATE)
    model = fakes.write_model(tmp_path / "model")
    always = ["--input", str(card), "--model", str(model), "--no_report"]
    out = tmp_path / "out"

    def calls(*more: str) -> str:
        plainly.count(options.parse([*always, "--output", str(out), *more]))
        [row] = nights.read(out / "counts.csv")
        return row["call_count"] or row["error"]

    assert calls("--channel", "1") == "4"
    assert calls("--channel", "2") == "0"
    assert not plainly.count(options.parse([*always, "--output", str(out), "--channel", "2"]))
    plainly.count_again(options.parse([*always, "--output", str(out)]), 0.01)  # by its own scores
    [row] = nights.read(out / "counts.csv")
    assert row["threshold"] == "0.01000"
    assert calls("--channel", "3").startswith("open: ")
    assert calls("--channel", BEST, "--threshold", "0.5") == "4"


@pytest.mark.parametrize("word", ["0", "left", "-1", "1.5", "65", ""])
def test_a_choice_that_is_none_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((UsageError, SystemExit)):
        options.parse(["a.wav", "--output", "x", f"--channel={word}"])
    capsys.readouterr()
