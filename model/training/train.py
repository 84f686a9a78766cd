"""Trains a network on labelled recordings and exports it.

First one network for every fold, each trained without the calls (or background) of that fold and
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
from model.training.clips import Annotation, DataError, Example, Scene, refuse_leaks
from model.training.dataset import Material, read_material
from model.training.measure import call_figures, reliability, window_figures
from model.training.time_left import TimeLeft
from model.training.trials import (
    CALLS_A_MINUTE,
    NOISE_LEVELS_DB,
    Subject,
    Trial,
    chorus_trials,
    conditions,
    interval_coverage,
    noise_trials,
    run_trial,
    windows_of,
)
from model.windows import ONSETS, SAMPLE_RATE_HZ, Padding, windows_every

if TYPE_CHECKING:
    from model.training.learn import Settings


@dataclass(frozen=True)
class TrainingPlan:
    """What to train and how, beside ``learn.Settings``.

    Attributes:
        label: what a score is the score of.
        folds: ``auto``, ``take``, ``group`` or ``none``.
        hop_s: distance of windows: those that the network takes, or that its scores are told in.
        padding: where zeros go in a window that holds less audio than its length.
        noise_levels_db: of the noise under which every fold is tried besides.
        calls_a_minute: of the choruses that every fold is tried on besides.
    """

    label: str
    folds: str
    hop_s: float = 1.25
    padding: Padding = "end"
    noise_levels_db: tuple[int, ...] = NOISE_LEVELS_DB
    calls_a_minute: tuple[int, ...] = CALLS_A_MINUTE

    @property
    def conditions(self) -> int:
        """How often a fold is tried on each recording, about."""
        return (1 + len(self.noise_levels_db)) * (1 + len(self.calls_a_minute))

    def subject(self, network: Any) -> Subject:
        """A network as it will be served."""
        from model.export import Scorer
        from model.network import for_serving

        hop_samples = round(self.hop_s * SAMPLE_RATE_HZ)
        grid = ONSETS if network.name == "onset" else windows_every(hop_samples)
        scorer = Scorer(for_serving(network), grid.input_samples)
        return Subject(scorer.score, grid, self.padding)


@dataclass(frozen=True)
class Fold:
    """Calls that one network never hears, and is then applied to.

    Attributes:
        name: for people.
        takes, groups: what is left out; one of the two is empty.
    """

    name: str
    takes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    def trains_on(self, example: Example) -> bool:
        """Whether the fold's network hears the example. Every background is heard by a take's."""
        if example.group in self.groups:
            return False
        return example.kind == "background" or example.take not in self.takes


def make_folds(kind: str, scenes: Sequence[Scene]) -> list[Fold]:
    """The folds of a kind.

    ``take``: one for each take. ``group``: three, their calls shared out evenly. ``auto``: by take
    where there are two or more, else by group where calls lie in two or more, else none.
    """
    takes = sorted({a.take for s in scenes for a in s.annotations} - {""})
    calls: dict[str, int] = {}
    for scene in scenes:
        calls[scene.group] = calls.get(scene.group, 0) + len(scene.annotations)
    with_calls = sum(n > 0 for n in calls.values())
    if kind == "auto":
        kind = "take" if len(takes) > 1 else "group" if with_calls > 1 else "none"
    if kind == "take":
        if len(takes) < 2:
            raise DataError("leaving out takes needs a column take with two or more of them")
        return [Fold(f"without take {take}", takes=frozenset([take])) for take in takes]
    if kind == "group":
        if with_calls < 2:
            raise DataError("leaving out groups needs calls in two or more of them")
        parts: list[list[str]] = [[] for _ in range(min(3, with_calls))]
        totals = [0.0] * len(parts)
        for group in sorted(calls, key=lambda g: (-calls[g], g)):
            least = totals.index(min(totals))
            parts[least].append(group)
            totals[least] += calls[group] + 0.1
        return [
            Fold(f"without groups {i + 1}/{len(parts)}", groups=frozenset(part))
            for i, part in enumerate(parts)
        ]
    return []


def scenes_of(fold: Fold, scenes: Sequence[Scene]) -> list[Scene]:
    """What a fold's network is tried on: everything, or the groups that were left out."""
    return [s for s in scenes if not fold.groups or s.group in fold.groups]


def time_for(
    folds: Sequence[Fold], networks: int, settings: Settings, material: Material, plan: TrainingPlan
) -> TimeLeft:
    """The clock of a training: so many networks, a trial for each fold."""
    hour = 3600 * SAMPLE_RATE_HZ
    hours = [sum(len(s.audio) for s in scenes_of(fold, material.scenes)) / hour for fold in folds]
    return TimeLeft(networks * settings.epochs, [h * plan.conditions for h in hours])


def try_fold(
    fold: Fold, material: Material, subject: Subject, plan: TrainingPlan, seed: int
) -> list[Trial]:
    """Applies a fold's network to what it never heard: as it is, under noise and as choruses.

    A take's fold is tried on every recording; calls of other takes need not be found there. A
    group's fold is tried on that group's recordings.
    """
    tried = scenes_of(fold, material.scenes)

    def wanted(call: Annotation) -> bool:
        return not fold.takes or call.take in fold.takes

    left_out = [e for e in material.examples if e.kind == "call" and not fold.trains_on(e)]
    return [
        *(run_trial(s, subject, wanted=wanted) for s in tried),
        *noise_trials(tried, subject, seed, wanted, plan.noise_levels_db),
        *chorus_trials(
            tried, left_out, subject, seed, plan.calls_a_minute, plan.noise_levels_db[:-1]
        ),
    ]


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
    from model.training.choose import calibrated, choose
    from model.training.learn import fit, use_threads

    use_threads(settings.threads)
    started = time.monotonic()
    tell("reading the data")
    material = read_material(sources, negatives, annotations, call_labels)
    scenes, examples, data_hash = material.scenes, material.examples, material.sha256
    for line in material.skipped:
        tell(f"skipped: {line}")
    work = output.with_name(output.name + "-training")
    _same_training(work, resume, {**asdict(settings), **asdict(plan), "data": data_hash})
    statistics = clip_statistics(scenes, examples)
    tell(statistics.line())
    draw_clips(examples, work / "clips.png")

    trials: list[Trial] = []
    folds = make_folds(plan.folds, scenes)
    left = time_for(folds, len(folds) + 1, settings, material, plan)
    for i, fold in enumerate(folds):
        part = [e for e in examples if fold.trains_on(e)]
        out = [e for e in examples if not fold.trains_on(e)]
        refuse_leaks(part, out, ("take",) if fold.takes else ("group", "source"))
        tell(f"{fold.name}: {sum(e.kind == 'call' for e in part)} calls to learn from")
        fitted = fit(part, settings, tell, work / f"fold{i}", resume, left)
        began = time.monotonic()
        trials += try_fold(fold, material, plan.subject(fitted.network), plan, settings.seed)
        left.trial_took(time.monotonic() - began)
    tell("everything:" if trials else "everything (nothing left out: no figures for unheard calls)")
    fitted = fit(examples, settings, tell, work / "all", resume, left)
    draw_curves(fitted.history, work / "curves.png")

    rule, figures = CountingRule(threshold=0.5), {}
    if trials:
        choice = choose(trials)
        rule = choice.rule
        calibrate(fitted.network, choice.slope, choice.offset)
        trials = [calibrated(t, choice.slope, choice.offset) for t in trials]
        figures = figures_of(trials, rule)
    subject = plan.subject(fitted.network)
    own = [run_trial(s, subject) for s in scenes]
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
        step_samples=0 if subject.grid.scores_windows else subject.grid.step_samples,
        padding=plan.padding,
        metrics={name: round(value, 4) for name, value in figures.items()},
        libraries={name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
    )
    details = {
        "out_of_fold": dict(contract.metrics),
        "clips": asdict(statistics),
        "skipped": list(material.skipped),
        "settings": {**asdict(settings), **asdict(plan)},
        "history": list(fitted.history),
    }
    contract = export_model(for_serving(fitted.network), contract, output, details)
    for name, value in contract.metrics.items():
        tell(f"{name:32} {value:g}")
    tell(f"{output}: written after {(time.monotonic() - started) / 60:.1f} min")
    return contract


def figures_of(trials: Sequence[Trial], rule: CountingRule) -> dict[str, float]:
    """Out-of-fold figures: counts on recordings as they are, then each condition, windows."""
    clean = [t for t in trials if t.level_db is None and t.a_minute is None]
    counts = call_figures([t.match(rule) for t in clean])
    figures = {
        "exact_share": counts.exact_share,
        "mean_absolute_error": counts.mean_absolute_error,
        "bias": counts.bias,
        "false_calls": float(counts.false),
        "f1": counts.f1,
    }
    for name, part in conditions(trials).items():
        found = call_figures([t.match(rule) for t in part])
        figures[f"f1_{name}"] = found.f1
        if part[0].a_minute is not None:
            figures[f"counted_share_{name}"] = found.counted_share
        if (covered := interval_coverage(part, rule)) is not None:
            figures[f"interval_coverage_{name}"] = covered
    told = window_figures(*windows_of(clean), rule.threshold)
    figures |= {
        "window_precision": told.precision,
        "window_recall": told.recall,
        "window_roc_area": told.roc_area,
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


def tell(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)
