import csv
from pathlib import Path

import pytest

from model.audio import probe, read_all
from model.decoders import AudioError
from model.windows import SAMPLE_RATE_HZ
from pipeline.commands.demo import TRUTH_FILE, DemoRecording, make_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DemoRecording]]:
    directory = tmp_path_factory.mktemp("demo") / "recordings"
    return directory, make_demo(directory)


def test_the_truth_names_every_recording(demo: tuple[Path, list[DemoRecording]]) -> None:
    directory, recordings = demo
    with open(directory / TRUTH_FILE, newline="", encoding="utf-8") as file:
        truth = {row["recording"]: row["call_count"] for row in csv.DictReader(file)}
    assert truth.keys() | {TRUTH_FILE} == {path.name for path in directory.iterdir()}
    assert truth == {
        r.name: "" if r.call_count is None else str(len(r.call_starts_s)) for r in recordings
    }


def test_every_recording_but_the_damaged_one_decodes(
    demo: tuple[Path, list[DemoRecording]],
) -> None:
    directory, recordings = demo
    damaged = [r.name for r in recordings if r.call_count is None]
    assert damaged == ["damaged.flac"]
    for recording in recordings:
        path = directory / recording.name
        if recording.name in damaged:
            with pytest.raises(AudioError, match=r"damaged\.flac"):
                read_all(path)
            continue
        samples = read_all(path)
        assert 30 <= len(samples) / SAMPLE_RATE_HZ <= 90
        assert (samples.std() == 0) == (recording.name == "silent.wav")
        # A call is at hand in full where the truth says so.
        for start_s in recording.call_starts_s:
            assert start_s + 4 <= len(samples) / SAMPLE_RATE_HZ


def test_formats_are_those_met_in_the_field(demo: tuple[Path, list[DemoRecording]]) -> None:
    directory, recordings = demo
    infos = [probe(directory / r.name) for r in recordings if r.call_count is not None]
    found = {(i.encoding.split()[0], i.sample_rate_hz, i.channels) for i in infos}
    assert {
        ("MP3", 48_000, 2),
        ("MP3", 44_100, 2),
        ("FLAC", 44_100, 1),
        ("WAV", 48_000, 2),
        ("WAV", 22_050, 1),
    } <= found


def test_two_runs_write_the_same_bytes(
    demo: tuple[Path, list[DemoRecording]], tmp_path: Path
) -> None:
    directory, recordings = demo
    make_demo(tmp_path)
    for name in [r.name for r in recordings] + [TRUTH_FILE]:
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes(), name
