"""From a run's tables to a folder that a person corrects and a training reads."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile

from model.calls import Call
from model.training.clips import DataError, read_data, read_raven
from pipeline.commands.review import Counted, choose_clips, read_run, write_review

RATE = 16_000


@pytest.fixture
def run(tmp_path):
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
    return folder


def test_each_kind_is_chosen_and_no_stretch_twice(run):
    counted = read_run(run)
    assert [len(c.calls) for c in counted] == [3]
    clips = choose_clips(counted, {}, 1, np.random.default_rng(0))
    assert [c.reason for c in clips] == ["doubtful", "strongest", "control"]
    assert clips[0].start_s == pytest.approx(37)
    assert clips[1].score == pytest.approx(0.99)
    many = sorted(choose_clips(counted, {}, 9, np.random.default_rng(0)), key=lambda c: c.start_s)
    assert all(a.end_s <= b.start_s for a, b in pairwise(many))


def test_peaks_below_the_threshold_are_doubtful():
    counted = [Counted("quiet.wav", 60.0, 0.45, 0.5, ())]
    below = {"quiet.wav": [Call(20.0, 23.7, 0.45, 1)]}
    clips = choose_clips(counted, below, 2, np.random.default_rng(0))
    assert clips[0].reason == "doubtful"
    assert clips[0].calls == ()


def test_the_review_is_training_data(run, tmp_path):
    clips = choose_clips(read_run(run), {}, 2, np.random.default_rng(0))
    folder = tmp_path / "review"
    assert write_review(clips, folder) == len(clips)
    data = read_data([folder])
    assert data.calls == 3
    assert {r.group for r in data.recordings} == {"SITE_1"}
    tables = list((folder / "annotations").glob("*.txt"))
    assert sum(len(read_raven(t)) for t in tables) == 3
    assert "audio controls" in (folder / "review.html").read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"lacks calls\.csv"):
        read_run(tmp_path)
