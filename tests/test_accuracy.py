"""The side-by-side with BirdNET: pairs, thresholds, folds, leks, tables; with stand-in scorers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from benchmarks import accuracy, birdnet
from benchmarks.figures import figures_of, source_table, table
from benchmarks.harness import ROOT
from benchmarks.judge import (
    LEAST_OVERLAP_S,
    Detection,
    Judged,
    Source,
    Span,
    System,
    Trial,
    best_threshold,
    by_source,
    judge,
    margin,
    strictest,
    tally,
)
from benchmarks.material import (
    Fold,
    Task,
    fold_of_all,
    load,
    make_lek,
    plan_leks,
    read_folds,
    tasks_of,
    write_leks,
)
from model.calls import probabilities
from model.contract import ServingContract
from model.training.clips import DataError, LabelledRecording
from model.training.folders import TUTORIAL_CALLS, TUTORIAL_OTHERS, read_data

TENTHS = st.integers(0, 200).map(lambda n: n / 10)
SPANS = st.builds(lambda start, length: Span(start, start + length), TENTHS, TENTHS)
DETECTIONS = st.lists(st.builds(Detection, SPANS, st.integers(-5, 5).map(float)), max_size=8)
JUDGED = st.lists(st.builds(Judged, st.integers(-9, 9).map(float), st.booleans()), max_size=20)


def most_pairs(detections: Sequence[Detection], calls: Sequence[Span]) -> int:
    """By another algorithm (Hopcroft and Karp 1973)."""
    if not detections or not calls:
        return 0
    shared = [
        [
            min(d.span.end_s, c.end_s) - max(d.span.start_s, c.start_s) > LEAST_OVERLAP_S
            for c in calls
        ]
        for d in detections
    ]
    return int(np.sum(maximum_bipartite_matching(csr_array(np.array(shared, int))) >= 0))


@given(DETECTIONS, st.lists(SPANS, max_size=6), st.integers(-5, 5))
def test_at_every_threshold_as_many_pairs_as_there_can_be(
    detections: list[Detection], calls: list[Span], threshold: int
) -> None:
    judged = judge(detections, calls)
    assert len(judged) == len(detections)
    counted = [j.is_call for j in judged if j.log_odds >= threshold]
    assert sum(counted) == most_pairs([d for d in detections if d.log_odds >= threshold], calls)


def test_a_detection_of_a_call_in_training_is_neither_right_nor_wrong() -> None:
    own, trained = Span(0, 4), Span(10, 14)
    detections = [Detection(own, 1.0), Detection(trained, 3.0), Detection(trained, 2.0)]
    assert judge(detections, [own], [trained]) == (Judged(2.0, False), Judged(1.0, True))


def trial(judged: Sequence[Judged], calls: int | None = None, name: str = "a") -> Trial:
    ordered = tuple(sorted(judged, key=lambda j: -j.log_odds))
    there = sum(j.is_call for j in judged) if calls is None else calls
    return Trial(name, name, there, ordered, own_threshold=0.5)


@given(JUDGED, JUDGED, st.integers(0, 4), st.integers(-10, 10))
def test_no_threshold_is_better_than_the_best(
    first: list[Judged], second: list[Judged], missed: int, other: int
) -> None:
    sets = [[trial(first)], [trial(second, sum(j.is_call for j in second) + missed)]]
    best = best_threshold(sets)

    def mean(threshold: float) -> float:
        return sum(tally(trials, threshold).f1 for trials in sets)

    assert mean(best) >= mean(other - 0.5) - 1e-9
    assert best not in {j.log_odds for j in (*first, *second)}


def test_the_best_threshold_lies_in_the_middle_of_the_gap() -> None:
    judged = [Judged(4, True), Judged(3, True), Judged(-1, False), Judged(-1.5, False)]
    assert best_threshold([[trial(judged)]]) == 1.0
    assert margin([trial(judged)], least=-8) == 4.0
    assert margin([trial(judged, calls=3)], least=-8) == -7.0  # the third has no detection
    assert margin([trial(judged[:2])], least=-8) == 11.0
    assert best_threshold([[trial([])]]) == 0.0


@given(JUDGED, st.integers(0, 3))
def test_the_strictest_threshold_lets_few_through_and_a_lower_one_more(
    judged: list[Judged], n_false: int
) -> None:
    threshold = strictest([trial(judged)], n_false)
    assert tally([trial(judged)], threshold).false <= n_false
    lower = np.nextafter(threshold, -np.inf)
    assert threshold == -np.inf or tally([trial(judged)], float(lower)).false > n_false


def test_a_recording_is_exact_if_every_network_that_scored_it_is_right() -> None:
    right, wrong = trial([Judged(1, True)]), trial([Judged(0, True), Judged(1, False)])
    counted = tally([right, wrong, trial([], name="b")], 0.0)
    assert (counted.exact, counted.recordings) == (1, 2)
    assert (counted.calls, counted.detected, counted.false) == (2, 2, 1)
    assert counted.f1 == 4 / 5
    assert tally([right, wrong], None).detected == 1  # each network's own threshold: 0.5


def write_material(folder: Path) -> None:
    """A forest of three recordings and clips of three sources: a tone for a call, else noise."""
    forest, clips = folder / "forest", folder / "clips"
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 0.01, 30 * 16_000)
    moo = np.sin(2 * np.pi * 600 * np.arange(3 * 16_000) / 16_000)
    (forest / "recordings").mkdir(parents=True)
    for name in ("a", "b", "c"):
        soundfile.write(forest / "recordings" / f"{name}.wav", noise, 16_000)
    (forest / "recordings.csv").write_text(
        "recording,call_count,background\na.wav,3,bg1\nb.wav,0,bg1\nc.wav,0,bg2\n"
    )
    (forest / "annotations.csv").write_text(
        "recording,start_s,end_s,take\na.wav,1,4.5,A\na.wav,11,14.5,B\na.wav,21,24.5,A\n"
    )
    lines = ["clip,source,call,duration_s"]
    for clip, source, call in (
        ("X1-0", "X1", 1), ("X1-1", "X1", 1), ("X2-0", "X2", 1), ("owl-1", "owl", 0)
    ):  # fmt: skip
        place = clips / (TUTORIAL_CALLS if call else TUTORIAL_OTHERS) / f"{clip}.flac"
        place.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(place, 0.5 * moo if call else noise[:48_000], 16_000)
        lines.append(f"{clip}.wav,{source},{call},3.0")
    (clips / "clips.csv").write_text("\n".join(lines) + "\n")


FOLDS = [
    {"name": "0", "model": "fold0/model", "takes": ["A", "X1"], "sources": ["bg1", "clip/X1"]},
    {"name": "1", "model": "fold1/model", "takes": ["B", "X2"], "sources": ["bg2", "clip/owl"]},
]


def recordings_of(material: Path) -> tuple[tuple[LabelledRecording, ...], ...]:
    """Of the forest, and clips."""
    return tuple(read_data([material / name]).recordings for name in ("forest", "clips"))


@pytest.fixture
def material(tmp_path: Path) -> Path:
    write_material(tmp_path)
    (tmp_path / "folds.json").write_text(json.dumps(FOLDS))
    return tmp_path


def test_each_call_is_judged_once_and_by_the_network_that_left_it_out(material: Path) -> None:
    (forest, clips), folds = recordings_of(material), read_folds(material)
    assert folds[0].model == material / "fold0" / "model"
    tasks = list(tasks_of("forest", forest, folds))
    assert [(t.name, t.fold, len(t.calls), len(t.overlooked)) for t in tasks] == [
        ("a.wav", 0, 2, 1),
        ("a.wav", 1, 1, 2),
        ("b.wav", 0, 0, 0),
        ("c.wav", 1, 0, 0),
    ]
    assert [t.fold for t in tasks_of("clips", clips, folds)] == [0, 0, 1, 1]
    everything = fold_of_all(material, (*forest, *clips))
    assert [len(t.calls) for t in tasks_of("forest", forest, [everything])] == [3, 0, 0]


def test_what_no_fold_left_out_is_refused_and_so_are_other_folds(material: Path) -> None:
    (forest, clips), folds = recordings_of(material), read_folds(material)
    with pytest.raises(DataError, match="owl is left out by no fold"):
        list(tasks_of("clips", clips, [folds[0], Fold("1", material, frozenset({"X2"}))]))
    with pytest.raises(DataError, match="B is left out by no fold"):
        list(tasks_of("forest", forest, folds[:1]))
    (material / "folds.json").write_text("[{}]")
    with pytest.raises(DataError, match="not what train writes"):
        read_folds(material)
    with pytest.raises(DataError, match="cannot be read"):
        read_folds(material / "clips")


@pytest.mark.slow
def test_leks_hold_birds_and_backgrounds_that_the_fold_left_out(material: Path) -> None:
    (forest, clips), folds = recordings_of(material), read_folds(material)
    leks = list(plan_leks(forest, clips, folds, n=4))
    assert len(leks) == 3 * 4
    for lek in leks:
        assert set(lek.birds) <= folds[lek.fold].left_out
        assert lek.background.group in folds[lek.fold].left_out
        assert lek.left_out
    assert {bird for lek in leks for bird in lek.birds} == {"X1", "X2"}
    lacking = [folds[0], Fold("1", material, frozenset({"X2", "owl"}))]
    assert {lek.left_out for lek in plan_leks(forest, clips, lacking, n=4)} == {True, False}

    folder = material / "leks"
    tasks = list(write_leks(leks, clips, folder))
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert list(write_leks(leks, clips, folder)) == tasks
    assert made == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert sum(len(t.calls) for t in tasks[:4]) < sum(len(t.calls) for t in tasks[8:])
    again = make_lek(leks[8], load(leks[8].background.path, 48_000), {
        bird: [load(c.path, 48_000) for c in clips if c.group == f"clip/{bird}"]
        for bird in leks[8].birds
    }, 48_000)  # fmt: skip
    assert again[1] == tasks[8].calls
    audio = load(tasks[8].path, 16_000)
    assert np.allclose(load(tasks[8].path, 48_000), again[0], atol=1e-4)
    for first, second in zip(tasks[8].calls, tasks[8].calls[1:], strict=False):
        assert second.start_s - first.start_s > 0.999
    quiet = audio[: 16_000 * 2].std()
    for call in tasks[8].calls:
        heard = audio[round((call.start_s + 0.2) * 16_000) : round((call.end_s - 0.2) * 16_000)]
        assert heard.std() > 1.2 * quiet


@pytest.mark.slow
def test_the_whole_way_from_files_to_tables(
    material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both systems are stand-ins that hear power: ours every 0.5 s, BirdNET every window."""

    def loudness(path: Path, hop_s: float, length_s: float) -> tuple[np.ndarray, int]:
        audio = load(path, 16_000)
        starts = np.arange(0, max(1, len(audio) - 16_000), round(hop_s * 16_000))
        power = [audio[s : s + round(length_s * 16_000)].std() for s in starts]
        return np.clip(20 * np.log10(np.array(power) / 0.02), -7, 7), len(audio)

    class StandIn:
        def __init__(self, fold: Fold) -> None:
            self.contract = ServingContract.from_json(
                (ROOT / "model" / "released" / "contract.json").read_text()
            )
            self.name = fold.name

        def scores(self, recording: Path, kept: accuracy.Kept) -> accuracy.Scores:
            values, n = loudness(recording, 0.5, 0.5)
            starts = np.arange(len(values)) * 8000
            scores = probabilities(values).astype(np.float32)
            return accuracy.Scores(starts, scores, n)

    def score_birdnet(
        tasks: Sequence[Task], python: str, threads: int, kept: accuracy.Kept
    ) -> dict[Path, Path]:
        places = {}
        for task in tasks:
            values, n = loudness(task.path, 1.0, 3.0)
            places[task.path] = kept.path("stand-in", task.path)
            np.savez(places[task.path], log_odds=values, duration_s=n / 16_000)
        return places

    monkeypatch.setattr(accuracy, "Network", StandIn)
    monkeypatch.setattr(accuracy, "score_birdnet", score_birdnet)
    written = material / "figures.json"
    arguments = f"--forest={material / 'forest'} --clips={material / 'clips'} --folds={material} "
    arguments += f"--json={written} "
    arguments += f"--cache={material / 'kept'} --leks=2 --birdnet_python=python"
    monkeypatch.setattr("sys.argv", ["accuracy", *arguments.split()])
    accuracy.main()

    ours, theirs = json.loads(written.read_text())
    assert (ours["name"], theirs["name"]) == ("this model", "BirdNET V2.4")
    assert ours["notes"]["folds"] == 2
    assert ours["notes"]["leks whose background was in training"] == 0
    for system in (ours, theirs):
        assert system["sets"]["clips"]["best"]["f1"] == 1.0
        assert system["sets"]["clips"]["best"]["exact"] == 4
        assert system["sets"]["clips"]["margin"] > 3
        assert system["sets"]["forest"]["best"]["calls"] == 3
        assert system["sets"]["forest"]["best"]["recordings"] == 3
        assert system["clips"]["detected"] == 3
        assert [s["clips"] for s in system["clips"]["sources"]] == [2, 1]
        for figures in system["sets"].values():
            assert figures["best"]["f1"] >= max(figures["one"]["f1"], figures["own"]["f1"])
    printed = capsys.readouterr().out
    assert printed.strip() == f"{table([ours, theirs])}\n\n{source_table([ours, theirs])}"


def test_the_tables_name_the_better_system_and_the_worst_source() -> None:
    def clips(*tops: float) -> list[Trial]:
        calls = [Trial(f"c{i}", f"X{i % 2}", 1, (Judged(t, True),), 0) for i, t in enumerate(tops)]
        return [*calls, Trial("o", "owl", 0, (Judged(-1, False),), 0)]

    good = System("good", {"clips": clips(3, 3, 3, 3)}, -8, {"folds": 2})
    bad = System("bad", {"clips": clips(3, -2, 3, 3)}, -8)
    assert by_source(bad.sets["clips"], 0) == [Source("X0", 2, 2), Source("X1", 2, 1)]
    figures = [figures_of(bad, n_false=0), figures_of(good, n_false=0)]
    head, row = table(figures).splitlines()[2:4]
    assert head.startswith("| clips: 4 calls in 5 | bad | 0.889 |")
    assert row.startswith("|  | good | **1.000** | **1.000** | **1.000** | 5 of 5 | 0 | +4.0 |")
    assert "- good: thresholds in log odds: its own +0.00; one for all +1.00. folds: 2." in table(
        figures
    )
    assert source_table(figures).splitlines()[2:] == [
        "| X1 | 2 | 1 | 2 |",
        "| X0 | 2 | 2 | 2 |",
        "| all | 4 | 3 | 4 |",
    ]


def test_windows_for_birdnet_are_cut_as_birdnetlib_cuts_them() -> None:
    audio = np.arange(48_000 * 5, dtype=np.float32) + 1
    windows = birdnet.cut(audio, 48_000)
    assert windows.shape == (4, 144_000)  # the fourth has 2 s of sound, a fifth would have 1 s
    assert windows[3][:96_000].tolist() == audio[144_000:].tolist()
    assert not windows[3][96_000:].any()
    assert len(birdnet.cut(audio[:71_000], 48_000)) == 0


@pytest.mark.slow
def test_birdnet_knows_the_species(tmp_path: Path) -> None:
    python = ROOT / ".birdnet-env" / "bin" / "python"
    if not python.exists():
        pytest.skip("BirdNET's environment is not there: benchmarks/accuracy.sh makes it")
    noise = np.random.default_rng(1).normal(0, 0.01, 4 * 16_000)
    soundfile.write(tmp_path / "a.wav", noise, 16_000)
    done = subprocess.run(
        [python, ROOT / "benchmarks" / "birdnet.py", "--threads=1"],
        input=json.dumps([[str(tmp_path / "a.wav"), str(tmp_path / "a.npz")]]),
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    scores = accuracy.read_birdnet(tmp_path / "a.npz")
    assert scores.starts.tolist() == [0, 16_000, 32_000]
    assert scores.scores.max() < 0.1
    assert scores.n_samples == 64_000
