"""From a run to a folder that a person corrects and a training reads; nothing is scored again."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from model.isolated import IsolatedRecording
from model.training.clips import read_data, read_raven
from pipeline.__main__ import main
from pipeline.report.review import Stretch, choose_clips, peaks_below, write_review
from pipeline.tables.read import read_results
from tests.fixed_run import run_in, write_recording

RATE = 16_000


@pytest.fixture
def tables(tmp_path: Path) -> str:
    """Tables of an older run, which kept neither scores nor run.json."""
    path = tmp_path / "SITE_1.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.05, 120 * RATE), RATE)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "counts.csv").write_text(
        "recording,outcome,heard_s,max_score,threshold\n"
        f"{path},ok,120.0,0.99,0.5\nbroken.wav,failed,,,0.5\n"
    )
    (folder / "calls.csv").write_text(
        "recording,start_s,end_s,score,windows\n"
        f"{path},10,13.8,0.99,3\n{path},40,43.7,0.55,2\n{path},70,73.7,0.9,2\n"
    )
    return str(folder)


def test_each_kind_is_chosen_and_no_stretch_twice(tables: str) -> None:
    results = read_results(tables)
    clips = choose_clips(results, [], 1, np.random.default_rng(0))
    assert [c.reason for c in clips] == ["doubtful", "strongest", "control"]
    assert clips[0].stretch.start_s == pytest.approx(37)
    assert clips[1].stretch.score == pytest.approx(0.99)
    many = [c.stretch for c in choose_clips(results, [], 9, np.random.default_rng(0))]
    many.sort(key=lambda stretch: stretch.start_s)
    assert all(a.end_s <= b.start_s for a, b in pairwise(many))
    assert peaks_below(tables, results, 9) == []


def test_peaks_below_the_threshold_are_doubtful(tables: str) -> None:
    recording = read_results(tables).recordings[0].recording
    below = [Stretch(recording, 100.0, 103.7, 0.495)]
    clips = choose_clips(read_results(tables), below, 2, np.random.default_rng(0))
    assert (clips[0].reason, clips[0].stretch.start_s) == ("doubtful", 97.0)
    assert clips[0].calls == ()


def test_the_review_is_training_data(tables: str, tmp_path: Path) -> None:
    clips = choose_clips(read_results(tables), [], 2, np.random.default_rng(0))
    folder = tmp_path / "review"
    page, problems = write_review(clips, str(folder))
    assert problems == []
    data = read_data([folder])
    assert len(data.recordings) == len(clips)
    assert data.calls == 3
    assert {r.group for r in data.recordings} == {"SITE_1"}
    annotated = {r.path.name: r.annotations for r in data.recordings}
    for clip, (name, notes) in zip(clips, sorted(annotated.items()), strict=True):
        raven = read_raven(folder / "annotations" / f"{name}.Table.1.selections.txt")
        for found in (notes, raven):
            assert [(n.start_s, n.end_s) for n in found] == [
                pytest.approx((c.start_s - clip.stretch.start_s, c.end_s - clip.stretch.start_s))
                for c in clip.calls
            ]
    html = Path(page).read_text("utf-8")
    assert html.count("audio controls") == len(clips)
    linked = re.findall(r'src="([^"]*)"', html)
    assert len(linked) == 2 * len(clips)
    assert all((folder / unquote(name)).is_file() for name in linked)


@pytest.fixture
def decoded_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Lengths of all that is decoded, in seconds."""
    lengths: list[float] = []
    read = IsolatedRecording.read

    def noted(
        self: IsolatedRecording, start: int, n_samples: int, measured: range = range(0)
    ) -> object:
        lengths.append(n_samples / RATE)
        return read(self, start, n_samples, measured)

    monkeypatch.setattr(IsolatedRecording, "read", noted)
    return lengths


@pytest.mark.slow
def test_the_command_scores_nothing_and_decodes_only_its_clips(
    tmp_path: Path,
    decoded_s: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_recording(tmp_path / "night/loud.wav", 60, {20: 0.9})
    write_recording(tmp_path / "night/faint.wav", 60, {40: 0.42})
    write_recording(tmp_path / "night/quiet.wav", 60, {})
    write_recording(tmp_path / "night/gone.wav", 60, {30: 0.95})
    run_in(tmp_path, ["--input", "night"])
    (tmp_path / "night/gone.wav").unlink()
    decoded_s.clear()
    monkeypatch.chdir(tmp_path)
    for name in ("tensorflow", "keras", "apache_beam", "model.network", "model.export"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it is now an error
    assert main(["review", "out", "--output", "review", "--clips", "2"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("look at review/review.html, correct annotations.csv there\n")
    assert "skipped: " in said.err
    assert "gone.wav" in said.err
    clips = sorted(path.name for path in (tmp_path / "review/recordings").iterdir())
    assert clips[0].endswith("-doubtful-faint.wav")  # 0.42: below the threshold, above all others
    lengths = [soundfile.info(tmp_path / "review/recordings" / name).duration for name in clips]
    assert sorted(decoded_s) == pytest.approx(sorted(lengths))
    assert max(lengths) < 12


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "counts.csv").write_text("recording\n")
    assert main(["review", str(tmp_path), "--output", str(tmp_path / "review")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("capuchinbird review: ")
    assert "calls.csv" in line
    assert not (tmp_path / "review").exists()
