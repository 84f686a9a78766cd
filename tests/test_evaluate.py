"""Figures on known scores, noise of a known level, and the report."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model.calls import Call, CountingRule, log_odds, probabilities
from model.training import train
from model.training.choose import calibrated, choose, rule_without_trials
from model.training.clips import Annotation, Example, Scene, cut_examples
from model.training.dataset import Material
from model.training.evaluate import Report, fewer_calls, write_report
from model.training.folds import Fold
from model.training.measure import (
    call_figures,
    fit_log_odds,
    match_calls,
    reliability,
    roc_area,
    roc_curve,
    window_figures,
)
from model.training.mixtures import CHORUS_GAP_S, chorus, in_band, lek, under_noise
from model.training.separation import separation, source_figures
from model.training.sounds import band_power, made_up_call
from model.training.trials import (
    Subject,
    Trial,
    all_trials,
    chorus_trials,
    conditions,
    noise_trials,
    run_trial,
)
from model.windows import ONSETS, Padding, windows_every
from pipeline.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
RULE = CountingRule(threshold=0.5, before_s=2.6, after_s=1.1)


def call(middle_s: float) -> Call:
    return Call(middle_s - 2, middle_s + 2, middle_s, 0.9)


def note(middle_s: float, take: str = "") -> Annotation:
    return Annotation(middle_s - 2, middle_s + 2, take)


def test_each_detection_and_each_annotation_pairs_once() -> None:
    match = match_calls([call(10), call(10.4), call(30)], [note(10.3), note(20)], [note(30.5)])
    assert match.pairs == ((1, 0),)
    assert match.false == (0,)
    assert match.missed == (1,)


@given(st.lists(st.floats(5, 500), max_size=8), st.lists(st.floats(5, 500), max_size=8))
def test_matching_adds_up(found_s: list[float], true_s: list[float]) -> None:
    match = match_calls([call(t) for t in found_s], [note(t) for t in true_s])
    assert len(match.pairs) + len(match.false) == len(found_s)
    assert len(match.pairs) + len(match.missed) == len(true_s)


def test_figures_over_recordings() -> None:
    perfect = match_calls([call(10)], [note(10)])
    missed = match_calls([], [note(10), note(30)])
    figures = call_figures([perfect, missed])
    assert (figures.exact_share, figures.bias, figures.worst) == (0.5, -1.0, 2)
    assert figures.f1 == pytest.approx(0.5)


@pytest.mark.slow
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
def test_the_area_is_the_chance_to_rank_a_pair_rightly(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([s for s, _ in rows])
    labels = np.array([float(y) for _, y in rows])
    positive, negative = scores[labels == 1], scores[labels == 0]
    if not len(positive) or not len(negative):
        assert np.isnan(roc_area(scores, labels))
        return
    pairs = positive[:, None] - negative
    expected = np.mean(pairs > 0) + np.mean(pairs == 0) / 2
    assert roc_area(scores, labels) == pytest.approx(expected)
    false, true = roc_curve(scores, labels)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()


def test_window_figures() -> None:
    figures = window_figures(np.array([0.9, 0.8, 0.2, 0.6]), np.array([1, 1, 1, 0]), 0.5)
    assert figures.precision == pytest.approx(2 / 3)
    assert figures.recall == pytest.approx(2 / 3)


def test_calibration_error_is_nought_for_probabilities_and_fit_finds_them() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 2, 40_000)
    labels = (rng.random(len(truth)) < 1 / (1 + np.exp(-truth))).astype(float)
    assert reliability(1 / (1 + np.exp(-truth)), labels).error < 0.01
    slope, offset = fit_log_odds(3 * truth + 1, labels)
    assert slope == pytest.approx(1 / 3, abs=0.02)
    assert offset == pytest.approx(-1 / 3, abs=0.05)


def test_calibration_of_scores_that_separate_is_no_surer_than_their_number_allows() -> None:
    evidence = np.array([-5.0, -4, 4, 5])
    slope, offset = fit_log_odds(evidence, np.array([0.0, 0, 1, 1]))
    assert offset == pytest.approx(0, abs=1e-6)
    chances = probabilities(slope * evidence + offset)
    assert chances == pytest.approx([0.25, 0.25, 0.75, 0.75], abs=0.05)  # two of two: 3 in 4


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(0)
    made = made_up_call(rng)
    audio = rng.normal(0, 0.001, 40 * RATE)
    for place_s, gain in ((5, 0.1), (20, 0.1)):
        first = place_s * RATE - made.call_start
        audio[first : first + len(made.audio)] += gain * made.audio
    length_s = (made.call_end - made.call_start) / RATE
    notes = (Annotation(5, 5 + length_s, "A"), Annotation(20, 20 + length_s, "B"))
    quiet = rng.normal(0, 0.01, 30 * RATE).astype(np.float32)
    return [
        Scene("calls.wav", "g", audio.astype(np.float32), notes),
        Scene("quiet.wav", "h", quiet),
    ]


@pytest.mark.parametrize("level_db", [10, -5])
def test_noise_has_the_level_asked_for(scenes: list[Scene], level_db: int) -> None:
    scene = replace(scenes[0], audio=scenes[0].audio * np.float32(0.2))  # no need to scale down
    mixed = under_noise(scene, scenes[1:], level_db, np.random.default_rng(1))
    spans = [slice(int(a.start_s * RATE), int(a.end_s * RATE)) for a in scene.annotations]
    clean = in_band(scene.audio)
    call_power = np.mean(np.concatenate([clean[s] for s in spans]) ** 2)
    silence = slice(int(12 * RATE), int(18 * RATE))
    noise_power = np.mean(in_band(mixed.audio)[silence] ** 2)
    assert 10 * np.log10(call_power / noise_power) == pytest.approx(level_db, abs=1)


def loudness(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A score as from a network: how much of the window's middle two seconds is loud."""
    power = np.mean(windows[:, 8000:40_000] ** 2, axis=1)
    shares = 1 / (1 + np.exp(-2 * (np.log(power + 1e-9) - np.log(2e-3))))
    return np.asarray(shares, np.float32)


LOUDNESS = Subject(loudness, windows_every(RATE))


@pytest.fixture(scope="module")
def calls(scenes: list[Scene]) -> list[Example]:
    return [e for e in cut_examples(scenes[0]) if e.kind == "call"]


def test_a_chorus_holds_calls_of_the_level_and_density_asked_for(
    scenes: list[Scene], calls: list[Example]
) -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, 120 * RATE).astype(np.float32)
    background = Scene("n.wav", "h", noise / np.float32(np.sqrt(band_power(noise))))
    scene = chorus(background, calls, 12, [10.0, 10.0], rng)
    onsets_s = [a.cue_start_s for a in scene.annotations]
    assert len(onsets_s) == pytest.approx(24, abs=8)
    assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(onsets_s))
    scale = float(scene.audio[: 2 * RATE] @ background.audio[: 2 * RATE])
    scale /= float(background.audio[: 2 * RATE] @ background.audio[: 2 * RATE])
    added = scene.audio / np.float32(scale) - background.audio
    first = scene.annotations[0]
    span = slice(round(first.start_s * RATE), round(first.end_s * RATE))
    assert 10 * np.log10(band_power(added[span])) == pytest.approx(10, abs=2)


def test_choruses_are_tried_at_each_density_and_level(
    scenes: list[Scene], calls: list[Example]
) -> None:
    trials = chorus_trials(scenes, calls, LOUDNESS, 0, a_minute=(4, 20), noise_levels_db=(0,))
    assert list(conditions(trials)) == [
        "4_a_minute",
        "4_a_minute_at_0_db",
        "20_a_minute",
        "20_a_minute_at_0_db",
    ]
    again = chorus_trials(scenes, calls, LOUDNESS, 0, a_minute=(4, 20), noise_levels_db=(0,))
    for one, other in zip(trials, again, strict=True):
        assert np.array_equal(one.scores, other.scores)
        assert one.calls == other.calls
    assert chorus_trials(scenes, [], LOUDNESS, 0) == []


def test_a_lek_holds_clips_of_its_birds_apart_and_below_its_loudest(
    scenes: list[Scene], calls: list[Example]
) -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 0.01, 120 * RATE).astype(np.float32)
    scene = lek(Scene("n.wav", "h", noise), [calls[:1], calls[1:]], 12, rng)
    assert {a.take for a in scene.annotations} == {"A", "B"}
    starts_s = [a.start_s for a in scene.annotations]
    assert len(starts_s) == pytest.approx(20, abs=8)
    assert all(b - a >= CHORUS_GAP_S - 1e-9 for a, b in itertools.pairwise(starts_s))
    for note in scene.annotations:
        call = calls["AB".index(note.take)]
        assert note.cue_start_s - note.start_s == pytest.approx(
            (call.cue_start - call.call_start) / RATE
        )
    added = scene.audio - noise
    for note in scene.annotations[:1]:
        first = round(note.start_s * RATE) - calls[0].call_start
        rms = np.sqrt(np.mean(added[first : first + len(calls[0].audio)] ** 2))
        assert -1 < 20 * np.log10(rms / 0.01) < 13


@pytest.mark.slow
def test_leks_are_of_clips_and_choruses_of_recordings(
    scenes: list[Scene], calls: list[Example]
) -> None:
    audio = calls[0].audio
    note = Annotation(0.5, 3.5, "XC1", 1.3)
    clip = Scene("XC1-0.flac", "clip/XC1", audio, (note,), complete=False)
    [of_clip] = cut_examples(clip)
    trials = all_trials([*scenes, clip], [*calls, of_clip], LOUDNESS, 0, calls_a_minute=(4,))
    parts = conditions(trials)
    assert [t.source for t in parts["clips"]] == ["XC1-0.flac"]
    assert [t.source for t in parts["as_recorded"]] == ["calls.wav", "quiet.wav"]
    assert {t.source for t in parts["at_-10_db"]} == {"calls.wav"}
    assert {a.take for t in parts["4_a_minute"] for a in t.calls} <= {"A", "B"}
    leks = [name for name in parts if name.endswith("of_clips")]
    assert leks == ["2_a_minute_of_clips", "8_a_minute_of_clips", "16_a_minute_of_clips"]
    assert {a.take for name in leks for t in parts[name] for a in t.calls} == {"XC1"}


def test_what_else_is_in_a_clip_of_a_call_is_neither_right_nor_wrong() -> None:
    scores = np.full(40, 0.02, np.float32)
    scores[[10, 25]] = 0.9
    trial = replace(onset_trial(scores, 10.5 * 0.128), complete=False)
    rule = rule_without_trials(ONSETS)
    assert len(trial.found(rule)) == 2
    match = trial.match(rule)
    assert (len(match.pairs), match.false, match.missed) == (1, (), ())
    evidence, labels = trial.labelled_peaks(rule)
    assert labels.tolist() == [1.0]
    assert evidence[0] == pytest.approx(np.log(9), abs=1e-3)


def test_separation_is_the_distance_of_the_faintest_calls_from_all_else() -> None:
    scores = np.full(500, 0.001, np.float32)
    onsets_s = [(k + 0.5) * 0.128 for k in (50, 150, 250)]
    scores[[50, 150, 250]] = probabilities([3.0, 5.0, 2.0])
    scores[400] = probabilities(-1.0)
    trial = onset_trial(scores, *onsets_s)
    rule = rule_without_trials(ONSETS)
    apart = separation([trial], rule)
    assert apart.call_least == pytest.approx(2, abs=1e-3)
    assert apart.other_most == pytest.approx(-1, abs=1e-3)
    assert 2.5 < apart.margin < 4
    silent = separation([onset_trial(np.full(500, 0.0003, np.float32), 20.0)], rule)
    assert silent.call_least == -8
    rows = source_figures([trial, onset_trial(scores[260:])], rule)
    assert rows[0]["calls"] == 3
    assert rows[0]["recall"] == 1
    assert rows[1]["false_calls"] == 0
    assert rows[1]["most_log_odds"] == pytest.approx(-1, abs=0.01)


def test_the_threshold_lies_inside_the_gap() -> None:
    rng = np.random.default_rng(1)
    trials = []
    for _ in range(10):
        onsets_s = 5 + np.cumsum(rng.uniform(2.0, 5.0, 10))
        values = np.full(500, -6.0)
        values[(onsets_s / 0.128 - 0.5).round().astype(int)] = rng.uniform(2, 5, 10)
        values[rng.integers(0, 20, 3)] = rng.uniform(-4, -1, 3)
        scores = probabilities(values).astype(np.float32)
        trials.append(onset_trial(scores, *onsets_s.tolist()))
    choice = choose(trials)
    trials = [calibrated(t, choice.slope, choice.offset) for t in trials]
    gap = separation(trials, choice.rule)
    assert gap.margin > 0
    threshold = float(log_odds(choice.rule.threshold))
    assert gap.other_high + 0.2 * gap.margin < threshold < gap.call_low - 0.2 * gap.margin


def onset_trial(scores: npt.NDArray[np.float32], *onsets_s: float) -> Trial:
    starts = np.arange(len(scores), dtype=np.int64) * ONSETS.step_samples
    notes = tuple(Annotation(s - 1.2, s + 2.2) for s in onsets_s)
    n = len(scores) * ONSETS.step_samples
    return Trial("r", "g", None, None, starts, scores, ONSETS, n, notes)


def test_the_rule_of_onsets_keeps_close_calls_apart() -> None:
    rng = np.random.default_rng(1)
    trials = []
    for number in range(6):
        onsets_s = 5 + np.cumsum(rng.uniform(1.0, 4.0, 10)) if number else np.zeros(0)
        scores = np.full(500, 0.02, np.float32)
        for onset_s in onsets_s:
            scores[round(onset_s / 0.128 - 0.5)] = rng.uniform(0.6, 0.95)
        trials.append(onset_trial(scores, *onsets_s.tolist()))
    choice = choose(trials)
    rule = choice.rule
    assert rule.score_s == pytest.approx(0.128)
    assert rule.min_separation_s < 1
    assert rule.evidence
    assert rule.evidence.spread >= 1
    counted = [len(calibrated(t, choice.slope, choice.offset).found(rule)) for t in trials]
    assert counted == [len(t.calls) for t in trials]
    found = calibrated(trials[1], choice.slope, choice.offset).found(rule)
    for call, note in zip(found, trials[1].calls, strict=True):
        assert call.start_s == pytest.approx(note.start_s, abs=0.2)
        assert call.end_s == pytest.approx(note.end_s, abs=0.2)


@pytest.mark.slow
def test_trials_rule_and_report(scenes: list[Scene], tmp_path: Path) -> None:
    trials = [run_trial(s, LOUDNESS, to_find=lambda a: a.take == "A") for s in scenes]
    trials += noise_trials(scenes, LOUDNESS, 0, lambda a: a.take == "A", levels_db=(10, 0))
    assert [len(t.calls) for t in trials[:2]] == [1, 0]
    assert len(trials[0].overlooked) == 1
    scores, labels = trials[0].labelled_windows()
    assert set(labels) == {0.0, 1.0}
    assert roc_area(scores, labels) > 0.9
    choice = choose(trials)
    assert 0.5 <= choice.rule.threshold < 1
    trials = [calibrated(t, choice.slope, choice.offset) for t in trials]
    report = Report("loudness", trials, choice.rule)
    write_report([report], scenes, tmp_path / "report")
    figures = json.loads((tmp_path / "report" / "report.json").read_text())["loudness"]
    assert figures["calls"]["recordings"] == 2
    assert set(figures["conditions"]) == {"as_recorded", "at_0_db", "at_10_db"}
    page = (tmp_path / "report" / "report.html").read_text()
    style = (ROOT / "model/templates/base.css").read_text()
    assert style in page  # of one family with the report
    assert f"{figures['verdict'][1:]}." in page  # the verdict, in words
    assert 'alt="ROC of windows without noise: recall against false positive rate, area' in page
    for name in ("noise.png", "roc0.png", "rel0.png"):
        assert name in page
        with Image.open(tmp_path / "report" / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 20  # something is drawn


def test_recordings_without_calls_get_no_praise() -> None:
    quiet = Scene("quiet.wav", "h", np.zeros(10 * RATE, np.float32))
    figures = Report("loudness", [run_trial(quiet, LOUDNESS)], RULE).figures()
    assert figures["verdict"] == "no call is in these recordings; 0 false calls were found"


def test_the_same_seed_mixes_the_same_noise(scenes: list[Scene]) -> None:
    one, two = (noise_trials(scenes, LOUDNESS, 3, levels_db=(0,)) for _ in range(2))
    assert np.array_equal(one[0].scores, two[0].scores)


def test_peaks_are_labelled_once_a_call() -> None:
    starts = np.arange(20, dtype=np.int64) * RATE
    scores = np.full(20, 0.01, np.float32)
    scores[[4, 5, 12]] = (0.9, 0.8, 0.7)
    own = (Annotation(4.3, 8.1),)
    trial = Trial("r", "g", None, None, starts, scores, LOUDNESS.grid, 23 * RATE, own)
    evidence, labels = trial.labelled_peaks(RULE)
    assert labels.sum() == 1
    assert evidence[labels == 1] > evidence[labels == 0].max()


def test_fewer_calls_keeps_all_background() -> None:
    audio = np.zeros(1, np.float32)
    examples = [Example(audio, "call", f"{i}", 0, "g") for i in range(9)]
    examples.append(Example(audio, "background", "b", 0, "g"))
    drawn = fewer_calls(examples, 4, 0)
    assert sum(e.kind == "call" for e in drawn) == 4
    assert len(drawn) == 5
    assert fewer_calls(examples, None, 0) == examples


def test_folds_are_tried_with_the_padding_that_the_model_ships() -> None:
    """The last window of a recording holds 1 s of audio: where the zeros go decides its score."""
    audio = np.zeros(4 * RATE, np.float32)
    audio[3 * RATE :] = 0.5
    scene = Scene("a.wav", "g", audio, (Annotation(3.0, 4.0, "A"),))
    fold = Fold("fold 1/2", takes=frozenset(["A"]), groups=frozenset(["g"]))

    def ends_loud(windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(np.abs(windows[:, -RATE:]).mean(axis=1), np.float32)

    def last_score(padding: Padding) -> float:
        subject = Subject(ends_loud, windows_every(3 * RATE), padding)
        plan = train.TrainingPlan("", 2, 3.0, padding, (), ())
        material = Material((scene,), (), "")
        return float(train.try_fold(fold, material, subject, plan, 0)[0].scores[-1])

    assert last_score("end") == 0
    assert last_score("front") == pytest.approx(0.5)


@pytest.mark.slow
def test_the_command_measures_an_exported_model(
    scenes: list[Scene], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    (folder / "recordings").mkdir(parents=True)
    rows = ["recording,start_s,end_s,take"]
    for scene in scenes:
        soundfile.write(folder / "recordings" / scene.source, scene.audio, RATE)
        rows += [f"{scene.source},{a.start_s},{a.end_s},{a.take}" for a in scene.annotations]
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    output = tmp_path / "evaluation"
    assert main(["evaluate", str(folder), "--output", str(output)]) == 0
    line, *table, said, page = capsys.readouterr().out.splitlines()
    assert said.startswith(("finds ", "cannot be counted on"))  # the verdict, in words
    assert page == str(output / "report.html")
    [(title, figures)] = json.loads((output / "report.json").read_text()).items()
    assert line.startswith(f"{title}: exact counts ")
    assert len(table) == 1 + len(figures["conditions"])
    assert figures["calls"]["recordings"] == 2
    assert figures["calls"]["found"] + figures["calls"]["missed"] == 2
    names = set(figures["conditions"])
    assert {"as_recorded", "at_-15_db", "20_a_minute", "4_a_minute_at_-5_db"} <= names
    text = (output / "report.html").read_text()
    assert f"<h2>{title}</h2>" in text
    assert "calls: exact share" in text


def test_measuring_nothing_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path / "nowhere")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "no such folder" in line
