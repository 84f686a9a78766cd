"""Labels of a review as training data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model.training.clips import cut_examples
from model.training.folders import load_scenes, read_data
from pipeline.__main__ import main
from pipeline.review.training import training_clips, write_training_clips
from pipeline.survey.labels import Label
from tests.fixed_run import write_recording


@pytest.fixture
def labels(tmp_path: Path) -> list[Label]:
    write_recording(tmp_path / "a.wav", 60, {20: 0.9, 40: 0.5})
    name = str(tmp_path / "a.wav")
    call = Label(name, 20.0, 23.9, 0.9, "", "call 0.500000-1.000000", "yes", observer="Ana")
    return [
        call,
        replace(call, start_s=40.0, end_s=43.9, score=0.4, stratum="faint 0.000000-0.500000"),
        replace(call, start_s=5.0, end_s=8.0, stratum="rest", label="no"),
        replace(call, start_s=50.0, end_s=53.0, stratum="rest"),  # a call, but where in it?
        replace(call, start_s=30.0, end_s=33.9, n_birds=2),
        replace(call, start_s=10.0, end_s=11.2, stratum="rest", label="no"),
        replace(call, start_s=12.0, end_s=15.0, stratum="rest", label="unsure"),
        replace(call, start_s=15.0, end_s=18.0, stratum="rest", label="no"),
        replace(call, start_s=15.0, end_s=18.0, stratum="rest", label="yes", observer="Ben"),
    ]


def test_labelled_clips_are_training_data(labels: list[Label], tmp_path: Path) -> None:
    clips, left_out = training_clips(labels)
    assert [clip.call is not None for clip in clips] == [True, True, False]
    assert left_out == [
        "2 labels left out: unsure, or observers disagree",
        "2 labels left out: no bounds of one call",
        "1 labels left out: too short",
    ]
    folder = tmp_path / "labelled"
    assert write_training_clips(clips, folder) == []
    data = read_data([folder])
    assert data.calls == 2
    assert {recording.group for recording in data.recordings} == {"a"}
    scenes, skipped = load_scenes(data)
    assert skipped == []
    for scene in scenes:
        for note in scene.annotations:
            assert note.start_s == pytest.approx(2.2)
            assert note.end_s == pytest.approx(2.2 + 3.9)
    examples = [example for scene in scenes for example in cut_examples(scene)]
    assert sorted(example.kind for example in examples) == ["background", "call", "call"]


def test_a_recording_that_has_gone_is_named(labels: list[Label], tmp_path: Path) -> None:
    (tmp_path / "a.wav").unlink()
    problems = write_training_clips(training_clips(labels)[0], tmp_path / "labelled")
    assert len(problems) == 3
    assert all("a.wav" in problem for problem in problems)


def test_labels_do_not_go_with_a_table_for_all_data(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "data", "--labels", "labels.csv", "--annotations", "corrected.csv"]
    assert main(words) == 2
    assert "do not go together" in capsys.readouterr().err


def test_labels_that_cannot_be_read_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    assert main(["train", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]) == 2
    assert "labels.csv: lacks the column" in capsys.readouterr().err
