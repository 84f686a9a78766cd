"""The model that ships: what it is, and what it counts."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.audio.decoders import AudioError
from model.audio.recording import Recording, read_all
from model.calls import find_calls
from model.export import GOLDEN_FILE, LoadedModel, golden_scores, load_exported
from model.training.synth import synthesise_recording
from model.training.trials import Subject
from pipeline.__main__ import main
from pipeline.commands.demo import DemoRecording
from pipeline.inference.decode import decode_segment, plan_segments, read_header
from pipeline.inference.score import score_segment
from pipeline.records import Listed

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


@pytest.mark.slow
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
def test_scores_are_the_same_however_a_recording_is_cut(
    released: LoadedModel, tmp_path: Path
) -> None:
    """Bit for bit, over segment lengths and against one pass over the whole recording.

    That other formats give the same samples is tested where they are decoded.
    """
    contract = released.contract
    grid = contract.grid(20_000)
    audio = synthesise_recording(200, (4.0, 59.0, 61.0, 62.5, 121.0, 196.0), 48_000, 2, seed=8)
    path = tmp_path / "a.mp3"
    soundfile.write(path, audio, 48_000)
    whole = Subject(released.score, grid, contract.padding).scores(read_all(path))
    assert len(find_calls(*whole, contract.rule, 200 * 16_000)) >= 5
    for segment_samples in (1, 2 * grid.hop_samples, 10**9):
        header = read_header(Listed(str(path)), grid, segment_samples)
        plans = list(plan_segments(Listed(str(path)), header, grid, segment_samples))
        assert len(plans) == header.n_segments == {1: 4, 10**9: 1}.get(segment_samples, 2)
        parts = []
        for plan in reversed(plans):
            with Recording(path) as recording:
                part = decode_segment(recording, plan, grid)
            parts.append(score_segment(part, released, grid, contract.padding))
        starts = np.concatenate([part.starts for part in reversed(parts)])
        scores = np.concatenate([part.scores for part in reversed(parts)])
        assert np.array_equal(starts, whole[0])
        assert np.array_equal(scores, whole[1])
        assert sum(part.decoded_samples for part in parts) == header.n_samples


@pytest.mark.slow
def test_the_job_finds_what_a_plain_loop_finds_and_what_was_made(
    released: LoadedModel, demo: tuple[Path, Sequence[DemoRecording]], tmp_path: Path
) -> None:
    """Guards the released model, too, where no real recordings are at hand."""
    folder, made = demo
    main(["--input", str(folder), "--output", str(tmp_path), "--segment_s", "60", "--no_report"])
    with (tmp_path / "calls.csv").open(newline="") as table:
        found = [
            (Path(row["recording"]).name, row["start_s"], row["end_s"], row["score"])
            for row in csv.DictReader(table)
        ]
    contract = released.contract
    subject = Subject(released.score, contract.grid(20_000), contract.padding)
    expected = []
    for recording in sorted(made, key=lambda one: one.name):
        if recording.name != "damaged.flac":
            audio = read_all(folder / recording.name)
            calls = find_calls(*subject.scores(audio), contract.rule, len(audio))
            assert len(calls) == recording.call_count
            expected += [
                (recording.name, f"{c.start_s:.3f}", f"{c.end_s:.3f}", f"{c.score:.5f}")
                for c in calls
            ]
    assert [row for row in found if row[0] != "damaged.flac"] == expected
    assert len(expected) > 5
