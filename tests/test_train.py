"""The training command, from data to a model that counts; its folds and what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from model.export import load_exported
from model.quiet import without_start_up_noise
from model.training.augment import Mixture
from model.training.clips import Example
from model.training.dataset import read_material
from model.training.sounds import made_up_call
from model.training.time_left import TRIAL_S_PER_HOUR, TimeLeft
from model.windows import ONSETS
from pipeline.__main__ import main
from pipeline.survey.labels import Label, label_lines

with without_start_up_noise():
    import keras

    from model.training import learn

RATE = 16_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of 24 s, made-up calls of two takes in two of them."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "recordings").mkdir()
    rows = ["recording,start_s,end_s,take"]
    for number in range(4):
        rng = np.random.default_rng(number)
        audio = rng.normal(0, 0.003, 24 * RATE)
        for place_s in (4, 14) if number < 2 else ():
            call = made_up_call(rng)
            first = place_s * RATE - call.call_start
            audio[first : first + len(call.audio)] += 0.1 * call.audio
            end_s = place_s + (call.call_end - call.call_start) / RATE
            rows.append(f"r{number}.flac,{place_s},{end_s:.2f},{'AB'[number]}")
        soundfile.write(folder / "recordings" / f"r{number}.flac", audio, RATE)
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(autouse=True)
def small_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of seconds: few sounds kept ready."""
    monkeypatch.setattr(learn, "MIXTURE", Mixture(stores=(8, 4, 8, 2)))
    monkeypatch.setattr(learn, "VALIDATION_MIXTURE", Mixture(stores=(4, 2, 4, 2)))


@pytest.fixture
def eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks learn step by step: to compile one takes as long as tens of steps."""
    [owner] = [one for one in keras.Model.__mro__ if "compile" in vars(one)][:1]
    compile_ = owner.compile

    def compile_to_run_eagerly(network: keras.Model, *given: Any, **flags: Any) -> None:
        compile_(network, *given, **{**flags, "run_eagerly": True})

    monkeypatch.setattr(owner, "compile", compile_to_run_eagerly)


def run(tiny: Path, output: Path, *more: str) -> int:
    flags = ["--epochs", "1", "--steps", "2", "--output", str(output), *more]
    return main(["train", str(tiny), *flags])


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_one_argument_gives_a_model_that_scores(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny, tmp_path / "model") == 0
    loaded = load_exported(tmp_path / "model")
    scores = loaded.score(np.zeros((1, ONSETS.input_samples), np.float32))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert {"exact_share", "f1", "f1_at_-10_db", "training_exact_share"} <= set(
        loaded.contract.metrics
    )
    printed, said = capfd.readouterr()
    assert "fold 1/2: " in said
    left = [line for line in said.splitlines() if line.startswith("epoch 1/1 ")]
    assert len(left) == 3  # two folds, and everything
    assert all(" left" in line for line in left)
    assert "about 0 s left" not in left[0]  # of all of it, not of this network
    assert left[-1].endswith("about 0 s left")
    verdict, following = printed.splitlines()[-2:]
    assert verdict.startswith(("finds ", "cannot be counted on"))
    assert following == (
        f"next: capuchinbird count recordings/ --model {tmp_path / 'model'} --output results"
    )
    assert "4 calls of" in said
    work = tmp_path / "model-training"
    for name in ("curves.png", "clips.png"):
        with Image.open(work / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 50  # something is drawn
    assert list((work / "all").glob("tensorboard/*tfevents*"))
    history = json.loads((work / "all" / "history.json").read_text())
    assert len(history) == 1
    folds = json.loads((work / "folds.json").read_text())
    assert sorted(take for fold in folds for take in fold["takes"]) == ["A", "B"]
    for fold in folds:
        assert load_exported(work / fold["model"]).contract.rule == loaded.contract.rule


@pytest.fixture(scope="module")
def examples(tiny: Path) -> tuple[Example, ...]:
    return read_material([tiny]).examples


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_the_same_seed_gives_the_same_network_and_an_interrupted_training_goes_on(
    examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = learn.Settings(epochs=2, steps=2, seed=3, threads=1)
    keep = learn._keep
    lines: list[str] = []
    kept: list[Any] = []

    def stop(folder: Path, network: Any, averaged: Any, history: Any) -> None:
        keep(folder, network, averaged, history)
        kept.append(([*network.get_weights(), *averaged], list(history)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learn, "_keep", stop)
        for name in ("one", "two"):
            with pytest.raises(KeyboardInterrupt):
                learn.fit(examples, settings, lines.append, tmp_path / name)
    (ours, history), (theirs, same_history) = kept
    assert history == same_history
    assert len(history) == 1
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other)
    fitted = learn.fit(examples, settings, lines.append, tmp_path / "one", resume=True)
    assert "going on after epoch 1" in lines
    assert len(fitted.history) == 2
    assert list(fitted.history[:1]) == history


def test_the_time_left_is_that_of_all_networks_and_trials() -> None:
    left = TimeLeft(epochs=3 * 10, trial_hours=[2.0, 4.0])
    left.epoch_took(30)
    assert left.seconds == 29 * 30 + 6 * TRIAL_S_PER_HOUR
    left.drop(9)  # it learns no more
    left.trial_took(100)
    assert left.seconds == 20 * 30 + 4 * 50
    left.epoch_took(60)
    assert left.seconds == 19 * 45 + 4 * 50
    assert left.in_words() == "about 18 min left"


def test_going_on_with_another_training_is_refused(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model-training").mkdir()
    (tmp_path / "model-training" / "training.json").write_text("{}")
    assert run(tiny, tmp_path / "model", "--folds", "0", "--resume") == 2
    assert "begun with other data or flags" in capfd.readouterr().err


def test_data_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(tmp_path / "nowhere")]) == 2
    said = capfd.readouterr().err
    assert "no such folder" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_it_stops_when_nothing_is_learnt(examples: tuple[Example, ...]) -> None:
    """Epochs of one step each at a rate that has just begun to rise: the loss wavers."""
    lines: list[str] = []
    settings = learn.Settings(epochs=40, steps=1, patience=1, seed=1)
    history = learn.fit(examples, settings, lines.append).history
    losses = [row["validation_loss"] for row in history]
    assert len(history) < 40
    assert losses[-1] >= min(losses[:-1])  # the last epoch was no better ...
    assert losses[:-1] == sorted(losses[:-1], reverse=True)  # ... and each one before it was
    assert lines[-1] == f"stopped: no better since epoch {len(history) - 1}"


@pytest.mark.parametrize(
    ("losses", "patience", "stalled"),
    [
        ([1.0], 1, False),
        ([1.0, 0.9, 0.8], 1, False),
        ([1.0, 0.9, 0.9], 1, True),
        ([0.5, 0.9, 0.8], 2, True),
        ([0.5, 0.9, 0.8], 3, False),
    ],
)
def test_a_training_has_stalled_after_so_many_epochs_without_a_lower_loss(
    losses: list[float], patience: int, stalled: bool
) -> None:
    history = [{"validation_loss": loss} for loss in losses]
    assert learn.has_stalled(history, patience) == stalled


@pytest.mark.slow
@pytest.mark.usefixtures("eagerly")
def test_what_people_labelled_is_trained_on_and_without_folds_the_rule_is_for_what_it_scores(
    tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(9)
    call = made_up_call(rng)
    audio = rng.normal(0, 0.003, 40 * RATE).astype(np.float32)
    first = 10 * RATE - call.call_start
    audio[first : first + len(call.audio)] += 0.1 * call.audio
    field = tmp_path / "field.wav"
    soundfile.write(field, audio, RATE, subtype="FLOAT")
    end_s = 10 + (call.call_end - call.call_start) / RATE
    labels = [
        Label(str(field), 10.0, round(end_s, 3), 0.9, "", "call", "yes"),
        Label(str(field), 20.0, 26.0, 0.1, "", "rest", "no"),
        Label(str(field), 30.0, 33.0, 0.1, "", "rest", "unsure"),
    ]
    table = tmp_path / "labels.csv"
    table.write_text("".join(label_lines(labels)), "utf-8")
    heard: list[Example] = []
    fit = learn.fit

    def listen(examples: Sequence[Example], *more: Any, **flags: Any) -> learn.Fitted:
        heard.extend(examples)
        return fit(examples, *more, **flags)

    monkeypatch.setattr(learn, "fit", listen)
    output = tmp_path / "model"
    assert run(tiny, output, "--folds", "0", "--labels", str(table)) == 0
    printed, said = capfd.readouterr()
    assert "labels: 1 calls and 1 stretches without one" in printed
    assert "5 calls of" in said  # four of the folder's own
    assert "1 labels left out: unsure" in said
    assert json.loads((output / "metrics.json").read_text())["clips"]["calls"] == 5
    rule = load_exported(output).contract.rule
    assert rule.score_s == ONSETS.step_samples / RATE
    assert rule.smoothing_s == 0
    assert rule.min_separation_s < 1.5
    of_field = [example for example in heard if example.group == "field"]
    assert sorted(example.kind for example in of_field) == ["background", "call"]
    for example in of_field:  # is a piece of the recording, sample for sample
        places = np.flatnonzero(audio == example.audio[0])
        assert any(np.array_equal(audio[p : p + len(example.audio)], example.audio) for p in places)
