import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from model.audio.decoders import AudioError
from model.audio.recording import probe, read_all
from model.windows import SAMPLE_RATE_HZ
from pipeline.__main__ import main
from pipeline.commands.demo import TRUTH_FILE, DemoRecording, comparison, make_demo
from pipeline.records import SCHEMA_VERSION, RecordingCount
from tests.nights import ROOT


@pytest.mark.slow
def test_the_truth_names_every_recording(demo: tuple[Path, Sequence[DemoRecording]]) -> None:
    directory, recordings = demo
    with open(directory / TRUTH_FILE, newline="", encoding="utf-8") as file:
        truth = {row["recording"]: row["call_count"] for row in csv.DictReader(file)}
    assert truth.keys() | {TRUTH_FILE} == {path.name for path in directory.iterdir()}
    assert truth == {
        r.name: "" if r.call_count is None else str(len(r.call_starts_s)) for r in recordings
    }


@pytest.mark.slow
def test_every_recording_but_the_damaged_one_decodes(
    demo: tuple[Path, Sequence[DemoRecording]],
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


@pytest.mark.slow
def test_formats_are_those_met_in_the_field(demo: tuple[Path, Sequence[DemoRecording]]) -> None:
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


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(
    demo: tuple[Path, Sequence[DemoRecording]], tmp_path: Path
) -> None:
    directory, recordings = demo
    make_demo(tmp_path)
    for name in [r.name for r in recordings] + [TRUTH_FILE]:
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes(), name


def row(recording: DemoRecording) -> RecordingCount:
    counted = recording.call_count is not None
    return RecordingCount(
        recording=recording.name,
        outcome="ok" if counted else "failed",
        call_count=recording.call_count,
        counting="calls",
        threshold=0.5,
        hop_s=1.0,
        model_version="peak-1",
        run_id="run",
        schema_version=SCHEMA_VERSION,
    )


@pytest.mark.parametrize(("name", "count"), [("lek.mp3", 1), ("damaged.flac", 0)])
def test_one_wrong_count_is_told(name: str, count: int) -> None:
    recordings = [
        DemoRecording("lek.mp3", "two calls", (3.0, 9.5)),
        DemoRecording("silent.wav", "silence"),
        DemoRecording("damaged.flac", "damaged", is_damaged=True),
    ]
    counts = {recording.name: row(recording) for recording in recordings}
    table, agree = comparison(recordings, counts)
    assert agree
    assert [line.split()[0] for line in table.splitlines()[1:]] == [r.name for r in recordings]
    counts[name] = replace(counts[name], call_count=count)
    assert not comparison(recordings, counts)[1]


@pytest.mark.slow
def test_the_demo_counts_its_own_recordings_as_they_were_made(
    tmp_path: Path,
) -> None:
    """As it runs right after an installation: the released model, and no package of an extra."""
    command = [sys.executable, "-m", "tests.bare", "demo"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    printed = done.stdout
    assert not re.sub(r"\d{4}-\d\d-\d\d .* files, .*\n", "", done.stderr)  # but its progress
    assert "Every count equals the truth: yes" in printed
    assert re.search(r"not counted: .*damaged\.flac", printed)
    results = tmp_path / "demo/results"
    with open(results / "counts.csv", newline="", encoding="utf-8") as file:
        counted = {Path(r["recording"]).name: r["call_count"] for r in csv.DictReader(file)}
    with open(tmp_path / "demo/recordings" / TRUTH_FILE, newline="", encoding="utf-8") as file:
        assert counted == {r["recording"]: r["call_count"] for r in csv.DictReader(file)}
    totals = json.loads((results / "run.json").read_text())["totals"]
    assert totals["calls"] == sum(int(n) for n in counted.values() if n)
    assert (results / "report.html").exists()


@pytest.mark.parametrize("code", [1, 3])
def test_the_demo_passes_on_that_the_job_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.commands.demo.make_demo", lambda directory: [])
    monkeypatch.setattr("pipeline.launch.launch", lambda config: code)
    assert main(["demo"]) == code
