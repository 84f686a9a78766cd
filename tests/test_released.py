"""The model that ships: what it is, and what it counts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from model.audio import read_all
from model.calls import find_calls
from model.decoders import AudioError
from model.export import GOLDEN_FILE, LoadedModel, golden_scores, load_exported
from model.training.trials import Subject
from pipeline.commands.demo import make_demo

RELEASED = Path(__file__).resolve().parents[1] / "model" / "released"


@pytest.fixture(scope="module")
def released() -> LoadedModel:
    return load_exported(RELEASED)


def count(model: LoadedModel, path: Path) -> int:
    audio = read_all(path)
    contract = model.contract
    subject = Subject(model.score, contract.grid(20_000), contract.padding)
    return len(find_calls(*subject.scores(audio), contract.rule, len(audio)))


def test_golden_scores_are_replayed(released: LoadedModel) -> None:
    golden = json.loads((RELEASED / GOLDEN_FILE).read_text())
    scores = golden_scores(released)
    assert scores.keys() == golden.keys()
    np.testing.assert_allclose(list(scores.values()), list(golden.values()), atol=0.02)  # a step


@pytest.mark.slow
def test_counts_of_recordings_that_are_easy_to_get_wrong(
    released: LoadedModel, forest: Path
) -> None:
    """Calls every 6 s, loud lead-ins, and the look-alikes of the training set."""
    with (forest / "recordings.csv").open(newline="") as table:
        truth = {row["recording"]: int(row["call_count"]) for row in csv.DictReader(table)}
    names = [f"recording_{n}.mp3" for n in ("00", "08", "19", "25", "71", "87", "92", "96")]
    counts = {name: count(released, forest / "recordings" / name) for name in names}
    assert counts == {name: truth[name] for name in names}


def test_no_call_in_recordings_from_elsewhere(released: LoadedModel, field: Path) -> None:
    heard = 0
    for path in sorted(field.iterdir()):
        try:
            assert count(released, path) == 0, path.name
            heard += 1
        except AudioError:
            continue  # an empty file
    assert heard >= 10


@pytest.mark.slow
def test_counts_of_recordings_made_on_the_spot(released: LoadedModel, tmp_path: Path) -> None:
    """Guards the released model where no real recordings are at hand."""
    made = {recording.name: recording.call_count for recording in make_demo(tmp_path)}
    del made["damaged.flac"]
    assert {name: count(released, tmp_path / name) for name in made} == made
