"""Trains a network on labelled recordings and exports it.

First one network for every fold, each trained without the birds and backgrounds of that fold and
then applied to it: from these out-of-fold scores come the counting rule, the calibration and every
figure in the contract. Then one network on everything: that one is exported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.calls import CountingRule
from model.contract import ServingContract
from model.training.card import model_card
from model.training.clips import DataError, Example, Scene, refuse_leaks
from model.training.dataset import Material, read_material
from model.training.folds import Fold, make_folds
from model.training.measure import call_figures, reliability, window_figures
from model.training.separation import separation, source_figures
from model.training.time_left import TimeLeft
from model.training.trials import (
    CALLS_A_MINUTE,
    NOISE_LEVELS_DB,
    Subject,
    Trial,
    all_trials,
    conditions,
    interval_figures,
    recordings_among,
    run_trial,
    windows_of,
)
from model.windows import ONSETS, SAMPLE_RATE_HZ, Grid, Padding, windows_every

if TYPE_CHECKING:
    from model.training.learn import Settings


@dataclass(frozen=True)
class TrainingPlan:
    """What to train and how, beside ``learn.Settings``.

    Attributes:
        label: what a score is the score of.
        folds: in how many parts birds and backgrounds are left out in turn; 0 for no figures.
        hop_s: distance of windows: those that the network takes, or that its scores are given for.
        padding: where zeros go in a window that holds less audio than its length.
        noise_levels_db: of the noise under which every fold is tried besides.
        calls_a_minute: of the choruses that every fold is tried on besides.
    """

    label: str
    folds: int
    hop_s: float = 1.25
    padding: Padding = "end"
    noise_levels_db: tuple[int, ...] = NOISE_LEVELS_DB
    calls_a_minute: tuple[int, ...] = CALLS_A_MINUTE

    @property
    def conditions(self) -> int:
        """How often a fold is tried on each recording, about."""
        return (1 + len(self.noise_levels_db)) * (1 + len(self.calls_a_minute))

    def grid(self, network: Any) -> Grid:
        """What the network's scores are of."""
        if network.name == "onset":
            return ONSETS
        return windows_every(round(self.hop_s * SAMPLE_RATE_HZ))

    def subject(self, network: Any) -> Subject:
        """A network as it is served (``for_serving``), to try."""
        from model.export import Scorer

        grid = self.grid(network)
        return Subject(
            Scorer(network, grid.input_samples, grid.short_samples).score, grid, self.padding
        )


def time_for(
    folds: Sequence[Fold], networks: int, settings: Settings, material: Material, plan: TrainingPlan
) -> TimeLeft:
    """The clock of a training: so many networks, a trial for each fold."""
    hour = 3600 * SAMPLE_RATE_HZ
    hours = [sum(len(s.audio) for s in fold.scenes(material.scenes)) / hour for fold in folds]
    return TimeLeft(networks * settings.epochs, [h * plan.conditions for h in hours])


def try_fold(
    fold: Fold, material: Material, subject: Subject, plan: TrainingPlan, seed: int
) -> list[Trial]:
    """Applies a fold's network to what it never heard.

    In a left-out background, calls of birds that it did hear need not be found.
    """
    left_out = [e for e in material.examples if e.kind == "call" and fold.tries(e)]
    return all_trials(
        fold.scenes(material.scenes),
        left_out,
        subject,
        seed,
        fold.tries,
        plan.noise_levels_db,
        plan.calls_a_minute,
    )


def train_and_export(
    sources: Sequence[Path],
    negatives: Sequence[Path],
    annotations: Path | None,
    output: Path,
    settings: Settings,
    plan: TrainingPlan,
    resume: bool = False,
    call_labels: Sequence[str] = (),
) -> ServingContract:
    """The whole command: read, train every fold, choose, train on everything, export.

    Args:
        sources, negatives, annotations, call_labels: as for ``dataset.read_material``.
        output: the folder of the exported model. Checkpoints, curves and TensorBoard's files go to
            ``OUTPUT-training`` beside it.
        settings, plan: how.
        resume: go on from what ``OUTPUT-training`` holds; it must come from the same command.

    Raises:
        DataError: the data cannot be used, or the checkpoints are of another training.
    """
    from model.export import export_model
    from model.network import FRONT_ENDS, calibrate, for_serving
    from model.training.charts import draw_clips, draw_curves
    from model.training.choose import calibrated, choose, rule_without_trials
    from model.training.learn import fit, use_threads

    use_threads(settings.threads)
    started = time.monotonic()
    log("reading the data")
    material = read_material(sources, negatives, annotations, call_labels)
    scenes, examples, data_hash = material.scenes, material.examples, material.sha256
    for line in material.skipped:
        log(f"skipped: {line}")
    work = output.with_name(output.name + "-training")
    _same_training(work, resume, {**asdict(settings), **asdict(plan), "data": data_hash})
    statistics = clip_statistics(scenes, examples)
    log(statistics.line())
    draw_clips(examples, work / "clips.png")

    trials: list[Trial] = []
    folds = make_folds(plan.folds, scenes)
    networks = []
    left = time_for(folds, len(folds) + 1, settings, material, plan)
    for i, fold in enumerate(folds):
        part = [e for e in examples if fold.trains_on(e)]
        refuse_leaks(part, [e for e in examples if fold.tries(e)], ("take", "group"))
        log(f"{fold.name}: {sum(e.kind == 'call' for e in part)} calls to learn from")
        fitted = fit(part, settings, log, work / f"fold{i}", resume, left)
        began = time.monotonic()
        networks.append(for_serving(fitted.network))
        trials += try_fold(fold, material, plan.subject(networks[-1]), plan, settings.seed)
        left.trial_took(time.monotonic() - began)
    log("everything:" if trials else "everything (nothing left out: no figures for unheard calls)")
    fitted = fit(examples, settings, log, work / "all", resume, left)
    draw_curves(fitted.history, work / "curves.png")

    network, figures = for_serving(fitted.network), dict[str, float]()
    by_source: list[dict[str, Any]] = []
    rule = rule_without_trials(plan.grid(network))
    if trials:
        choice = choose(trials)
        rule = choice.rule
        for each in (*networks, network):
            calibrate(each, choice.slope, choice.offset)
        trials = [calibrated(t, choice.slope, choice.offset) for t in trials]
        figures, by_source = figures_of(trials, rule), source_figures(trials, rule)
    subject = plan.subject(network)
    own = [run_trial(s, subject) for s in scenes if s.complete]
    figures["training_exact_share"] = call_figures([t.match(rule) for t in own]).exact_share
    contract = ServingContract(
        name=settings.network,
        version="",  # named after its content when exported
        label=plan.label,
        hop_s=plan.hop_s,
        rule=rule,
        front_end=FRONT_ENDS[settings.network],
        training_data_sha256=data_hash,
        model_sha256="",
        input_samples=subject.grid.input_samples,
        context_samples=subject.grid.context_samples,
        short_input_samples=subject.grid.short_samples,
        step_samples=0 if subject.grid.scores_windows else subject.grid.step_samples,
        padding=plan.padding,
        metrics={name: round(value, 4) for name, value in figures.items()},
        libraries={name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
    )
    contents: list[dict[str, Any]] = []
    details = {
        "out_of_fold": dict(contract.metrics),
        "sources": by_source,
        "clips": asdict(statistics),
        "skipped": list(material.skipped),
        "settings": {**asdict(settings), **asdict(plan)},
        "history": list(fitted.history),
    }
    for i, (fold, each) in enumerate(zip(folds, networks, strict=True)):
        name = f"fold{i}/model"
        export_model(each, contract, work / name, {"fold": fold.name})
        left_out = {"takes": sorted(fold.takes), "sources": sorted(fold.groups)}
        contents.append({"name": fold.name, "model": name, **left_out})
    (work / "folds.json").write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")
    contract = export_model(
        network, contract, output, details, lambda c: model_card(c, asdict(statistics), by_source)
    )
    for name, value in contract.metrics.items():
        log(f"{name:32} {value:g}")
    log(f"{output}: written after {(time.monotonic() - started) / 60:.1f} min")
    return contract


def figures_of(trials: Sequence[Trial], rule: CountingRule) -> dict[str, float]:
    """Out-of-fold figures: separation, counts as recorded, then each condition, windows."""
    clean = [t for t in trials if t.as_recorded]
    recordings = recordings_among(clean)
    counts = call_figures([t.match(rule) for t in recordings])
    figures = {
        **separation(clean, rule).figures(),
        "exact_share": counts.exact_share,
        "mean_absolute_error": counts.mean_absolute_error,
        "bias": counts.bias,
        "false_calls": float(counts.false),
        "f1": counts.f1,
    }
    if intervals := interval_figures([t for t in recordings if not t.calls], rule):
        figures["expected_an_hour_without_calls"] = intervals.expected_an_hour
    for name, part in conditions(trials).items():
        totals = call_figures([t.match(rule) for t in part])
        figures[f"f1_{name}"] = totals.f1
        if part[0].a_minute is not None:
            figures[f"counted_share_{name}"] = totals.counted_share
        if intervals := interval_figures(part, rule):
            figures[f"interval_coverage_{name}"] = intervals.coverage
            figures[f"interval_width_{name}"] = intervals.width
    windows = window_figures(*windows_of(clean), rule.threshold)
    figures |= {
        "window_precision": windows.precision,
        "window_recall": windows.recall,
        "window_roc_area": windows.roc_area,
    }
    figures["calibration_error"] = reliability(*windows_of(trials)).error
    return {name: value for name, value in figures.items() if value == value}


@dataclass(frozen=True)
class ClipStatistics:
    """Lengths of annotated calls in samples at 16 kHz, and how much audio there is."""

    calls: int
    shortest: int
    mean: float
    longest: int
    recordings: int
    hours: float
    background_hours: float

    def line(self) -> str:
        """In words."""
        return (
            f"{self.calls} calls of {self.shortest} to {self.longest} samples "
            f"(mean {self.mean:.0f}; {SAMPLE_RATE_HZ} a second) in {self.recordings} recordings; "
            f"{self.background_hours:.2f} of {self.hours:.2f} h are background"
        )


def clip_statistics(scenes: Sequence[Scene], examples: Sequence[Example]) -> ClipStatistics:
    """What the tutorial looks at before it chooses the length of a window."""
    lengths = [e.call_end - e.call_start for e in examples if e.kind == "call"]
    background = sum(len(e.audio) for e in examples if e.kind == "background")
    hour = 3600 * SAMPLE_RATE_HZ
    return ClipStatistics(
        calls=len(lengths),
        shortest=min(lengths),
        mean=sum(lengths) / len(lengths),
        longest=max(lengths),
        recordings=len(scenes),
        hours=round(sum(len(s.audio) for s in scenes) / hour, 3),
        background_hours=round(background / hour, 3),
    )


def _same_training(work: Path, resume: bool, identity: dict[str, Any]) -> None:
    """Keeps what a training is, and refuses to go on with another one."""
    path = work / "training.json"
    text = json.dumps(identity, indent=1, sort_keys=True)
    if resume and path.is_file() and path.read_text() != text:
        raise DataError(
            f"{work}: begun with other data or flags; give the same ones or leave out --resume"
        )
    work.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def log(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)
