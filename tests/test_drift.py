"""Notes on drift, canaries, and the quality of recordings."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from model.audio import quality
from model.audio.recording import Recording
from pipeline import launch
from pipeline.__main__ import main
from pipeline.commands import canaries
from pipeline.ledger import drift
from pipeline.store.ledger import Ledger
from tests import fakes, nights
from tests.conftest import noise_with_bursts

pytestmark = pytest.mark.usefixtures("plain_loop")

Run = Callable[..., int]


def test_equal_shares_are_no_distance_whatever_the_size() -> None:
    assert drift.distance([900, 50, 50], [9000, 500, 500]) < 0.01
    assert drift.distance([500, 250, 250], [900, 50, 50]) > drift.MAX_DISTANCE
    assert drift.distance([0, 0, 10], [10, 0, 0]) > 1


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model = fakes.write_model(tmp_path / "model")

    def run(folder: Path, output: Path, *arguments: str) -> int:
        return nights.launch_here(
            "--input", folder, "--model", model, "--output", output, *arguments
        )

    return run


@pytest.mark.slow
def test_a_run_warns_when_scores_leave_the_reference(
    tmp_path: Path, job: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drift, "FEWEST_WINDOWS", 20)
    for k in range(3):
        nights.write_recording(tmp_path / f"usual/{k}.wav", bursts=0, seed=k)
        nights.write_recording(tmp_path / f"odd/{k}.wav", bursts=2, seed=k)
    assert job(tmp_path / "usual", tmp_path / "out") == 0
    model = str(tmp_path / "model")
    assert main(["drift", "--output", str(tmp_path / "out"), "--model", model]) == 0
    assert job(tmp_path / "usual", tmp_path / "again") == 0
    assert "drift:" not in caplog.text
    assert job(tmp_path / "odd", tmp_path / "out") == 0
    assert "scores are spread otherwise" in caplog.text
    [note] = json.loads((tmp_path / "out" / "run.json").read_text())["drift"]
    assert note["recordings"] == 3
    assert note["distance"] > drift.MAX_DISTANCE


@pytest.mark.slow
def test_a_site_of_clipped_recordings_is_warned_of(
    tmp_path: Path, job: Run, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "loud"
    folder.mkdir()
    for k in range(10):
        audio = np.clip(3 * noise_with_bursts(6, 16_000, 1, [2], k), -1, 1)
        soundfile.write(folder / f"{k}.wav", audio, 16_000)
    job(folder, tmp_path / "out")
    assert "10 of 10 recordings clipped" in caplog.text
    rows = nights.read(tmp_path / "out" / "counts.csv")
    assert {row["quality_flags"] for row in rows} == {"clipped"}


@pytest.mark.slow
def test_canaries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    nights.write_recording(tmp_path / "a.wav", bursts=2)
    nights.write_recording(tmp_path / "b.wav", bursts=0)
    manifest = tmp_path / "canaries.csv"
    manifest.write_text("recording,call_count\na.wav,2\nb.wav,0\n")
    arguments = ["--manifest", str(manifest), "--model", str(fakes.write_model(tmp_path / "m"))]
    assert main(["canaries", *arguments]) == 0
    assert capsys.readouterr().out == "2 of 2 canaries came out as they should\n"
    manifest.write_text("recording,call_count\na.wav,3\nb.wav,0\n")
    assert main(["canaries", *arguments]) == canaries.EXIT_DIFFERENT
    assert "2 calls, should be 3" in capsys.readouterr().err
    manifest.write_text("recording\na.wav\n")
    assert main(["canaries", *arguments]) == 2
    capsys.readouterr()
    manifest.write_text("recording,call_count\na.wav,2\ngone.wav,1\n")
    assert main(["canaries", *arguments]) == 2
    assert f"no such file: {tmp_path / 'gone.wav'}" in capsys.readouterr().err


def flags_of(tmp_path: Path, audio: npt.NDArray[np.float64], rate: int = 16_000) -> tuple[str, ...]:
    soundfile.write(tmp_path / "x.wav", audio, rate, subtype="FLOAT")
    with Recording(tmp_path / "x.wav") as recording:
        n = recording.info.n_samples
        return quality.flags(recording.read(0, n, measured=range(n)).quality, rate, lost_s=0)


def forest(seconds: float = 35, rate: int = 16_000) -> npt.NDArray[np.float64]:
    return noise_with_bursts(seconds, rate, 2, [5, 20])


def test_a_sound_recording_has_no_flag(tmp_path: Path) -> None:
    assert flags_of(tmp_path, forest()) == ()


def test_clipping_in_one_channel_is_seen(tmp_path: Path) -> None:
    audio = forest()
    audio[:, 1] = np.clip(40 * audio[:, 1], -1, 1)
    assert flags_of(tmp_path, audio) == ("clipped",)


def test_silence_dropouts_offset_and_low_rate(tmp_path: Path) -> None:
    assert flags_of(tmp_path, forest() * 1e-4) == ("silent",)
    assert flags_of(tmp_path, np.zeros((160_000, 1))) == ("silent",)
    gaps = forest()
    gaps[100_000:104_000] = 0
    assert flags_of(tmp_path, gaps) == ("dropouts",)
    assert flags_of(tmp_path, forest() + 0.05) == ("dc_offset",)
    assert flags_of(tmp_path, forest(rate=8000), 8000) == ("low_sample_rate",)


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["wav", "mp3"])
def test_quality_does_not_depend_on_segments(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"x.{extension}"
    audio = np.clip(3 * noise_with_bursts(83, 44_100, 2, [3, 40]), -1, 1)
    audio[441_000 - 3000 : 441_000 + 3000] = 0  # over the edge of two blocks
    soundfile.write(path, audio, 44_100)
    found = set()
    for cut in (83 * 16_000, 112_000, 48_000):
        with Recording(path) as recording:
            n = recording.info.n_samples
            parts = [
                recording.read(
                    start, min(cut + 48_000, n - start), range(min(cut, n - start))
                ).quality
                for start in range(0, n, cut)
            ]
        found.add(quality.total(parts))
    [whole] = found
    assert whole.frames == recording.info.frames
    assert whole.clipped_samples > 0


@pytest.mark.slow
def test_a_cut_off_file_is_flagged(tmp_path: Path, job: Run) -> None:
    nights.write_recording(tmp_path / "a/x.wav", bursts=1)
    content = (tmp_path / "a/x.wav").read_bytes()
    (tmp_path / "a/x.wav").write_bytes(content[: len(content) // 2])
    job(tmp_path / "a", tmp_path / "out")
    [row] = nights.read(tmp_path / "out" / "counts.csv")
    assert row["quality_flags"] == "shorter_than_header"
    [entry] = Ledger(str(tmp_path / "out")).state().values()
    assert sum(entry.histogram) == entry.row.windows
