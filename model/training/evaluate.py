"""Says how good a model is on labelled recordings.

An exported model is tried as it is, on the recordings as they are and under noise. If it was
trained on the same recordings, that says little: ``evaluate_folds`` trains one network for each
fold instead and tries it on what it was not trained on, also with fewer and fewer calls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.calls import CountingRule, log_odds
from model.training.clips import Example, Scene
from model.training.dataset import Material
from model.training.folds import make_folds
from model.training.measure import (
    CallFigures,
    call_figures,
    reliability,
    roc_curve,
    verdict,
    window_figures,
)
from model.training.separation import separation, source_figures
from model.training.train import TrainingPlan, log, time_for, try_fold
from model.training.trials import (
    Subject,
    Trial,
    all_trials,
    conditions,
    interval_figures,
    recordings_among,
    windows_of,
)
from model.windows import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from model.training.learn import Settings

MOST_PICTURES = 24


@dataclass(frozen=True)
class Report:
    """Trials under one heading, with the rule that counts."""

    title: str
    trials: Sequence[Trial]
    rule: CountingRule

    def figures(self) -> dict[str, Any]:
        """Everything measured, for JSON."""
        clean = [t for t in self.trials if t.as_recorded]
        counts = call_figures([t.match(self.rule) for t in recordings_among(clean)])
        diagram = reliability(*windows_of(self.trials))
        negatives = [t for t in clean if not t.calls and not t.overlooked]
        hours = sum(t.n_samples for t in negatives) / SAMPLE_RATE_HZ / 3600
        false = sum(len(t.match(self.rule).false) for t in negatives)
        expected = interval_figures(negatives, self.rule)
        tried = {}
        for name, part in conditions(self.trials).items():
            figures = call_figures([t.match(self.rule) for t in part])
            tried[name] = {
                "level_db": part[0].level_db,
                "calls_a_minute": part[0].a_minute,
                "f1": figures.f1,
                "counted_share": figures.counted_share,
                **_intervals(part, self.rule),
                **asdict(figures),
            }
        return {
            "verdict": _in_words(counts, tried),
            "calls": {"f1": counts.f1, **asdict(counts)},
            "separation": separation(clean, self.rule).figures(),
            "threshold_log_odds": float(log_odds(self.rule.threshold)),
            "sources": source_figures(self.trials, self.rule),
            "windows": asdict(window_figures(*windows_of(clean), self.rule.threshold)),
            "conditions": tried,
            "calibration": {"error": diagram.error, **asdict(diagram)},
            "negatives": {
                "hours": hours,
                "false_calls": false,
                "false_calls_an_hour": false / hours if hours else None,
                "expected_calls_an_hour": expected and expected.expected_an_hour,
            },
            "not_exact": [
                {
                    "recording": t.source,
                    "calls": len(t.calls),
                    "false_at_s": [round(t.found(self.rule)[i].start_s, 1) for i in m.false],
                    "missed_at_s": [t.calls[j].start_s for j in m.missed],
                }
                for t, m in ((t, t.match(self.rule)) for t in clean)
                if m.false or m.missed
            ],
        }


def _intervals(trials: Sequence[Trial], rule: CountingRule) -> dict[str, float | None]:
    """Coverage and width of intervals, and mean calls expected and there; None where none are."""
    figures = interval_figures(trials, rule)
    return {
        "interval_coverage": figures.coverage if figures else None,
        "interval_width": figures.width if figures else None,
        "expected_mean": figures.expected if figures else None,
        "true_mean": figures.true if figures else None,
    }


def _in_words(counts: CallFigures, tried: Mapping[str, Mapping[str, Any]]) -> str:
    """The verdict on recordings as they are and under noise."""
    if not counts.found + counts.missed:
        return f"no call is in these recordings; {counts.false} false calls were found"
    alone = [row for row in tried.values() if _is_noise(row)]
    return verdict(counts.f1, {row["level_db"]: row["f1"] for row in alone})


def _is_noise(row: Mapping[str, Any]) -> bool:
    """Whether a condition is noise over the recordings' own calls."""
    return row["level_db"] is not None and row["calls_a_minute"] is None


def evaluate_model(model: Path, material: Material, hop_s: float | None, seed: int) -> list[Report]:
    """Tries an exported model. ``hop_s`` is the contract's unless given."""
    from model.export import load_exported

    loaded = load_exported(model)
    contract = loaded.contract
    hop_samples = round((hop_s or contract.hop_s) * SAMPLE_RATE_HZ)
    subject = Subject(loaded.score, contract.grid(hop_samples), contract.padding)
    log(f"trying {model} on {len(material.scenes)} recordings")
    calls = [e for e in material.examples if e.kind == "call"]
    trials = all_trials(material.scenes, calls, subject, seed)
    return [Report(contract.model_version, trials, contract.rule)]


def evaluate_folds(
    material: Material, settings: Settings, plan: TrainingPlan, n_calls: Sequence[int] = ()
) -> list[Report]:
    """Trains and tries a network for every fold; again for each number of calls.

    The rule of a fold is chosen on the other folds only.
    """
    from model.network import for_serving
    from model.training.learn import fit

    reports = []
    folds = make_folds(plan.folds, material.scenes)
    limits: list[int | None] = [*n_calls] or [None]
    left = time_for(folds * len(limits), len(folds) * len(limits), settings, material, plan)
    for most in limits:
        tried = {}
        for fold in folds:
            examples = [e for e in material.examples if fold.trains_on(e)]
            examples = fewer_calls(examples, most, settings.seed)
            log(f"{fold.name}: {sum(e.kind == 'call' for e in examples)} calls to learn from")
            subject = plan.subject(for_serving(fit(examples, settings, log, left=left).network))
            began = time.monotonic()
            tried[fold.name] = try_fold(fold, material, subject, plan, settings.seed)
            left.trial_took(time.monotonic() - began)
        reports += _judged(tried, "" if most is None else f" ({most} calls)")
    return reports


def _judged(tried: Mapping[str, list[Trial]], suffix: str) -> list[Report]:
    """A report for each fold, with the rule and calibration that the other folds chose."""
    from model.training.choose import calibrated, choose

    reports = []
    for name, trials in tried.items():
        others = [t for other, part in tried.items() if other != name for t in part]
        choice = choose(others)
        trials = [calibrated(t, choice.slope, choice.offset) for t in trials]
        reports.append(Report(name + suffix, trials, choice.rule))
    return reports


def fewer_calls(examples: Sequence[Example], most: int | None, seed: int) -> list[Example]:
    """All background and at most so many calls, drawn at random."""
    calls = [e for e in examples if e.kind == "call"]
    if most is None or most >= len(calls):
        return list(examples)
    drawn = np.random.default_rng(seed).choice(len(calls), most, replace=False)
    return [e for e in examples if e.kind == "background"] + [calls[i] for i in drawn]


def write_report(reports: Sequence[Report], scenes: Sequence[Scene], folder: Path) -> None:
    """``report.html`` with pictures, and ``report.json``."""
    from model.pages import page_environment
    from model.training.charts import draw_lines, draw_reliability

    folder.mkdir(parents=True, exist_ok=True)
    results = {r.title: r.figures() for r in reports}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    robustness = {
        title: (
            [row["level_db"] for row in figures["conditions"].values() if _is_noise(row)],
            [row["f1"] for row in figures["conditions"].values() if _is_noise(row)],
        )
        for title, figures in results.items()
    }
    labels = "call over noise, 350 to 1800 Hz (dB)", "call F1", "Robustness"
    draw_lines(robustness, labels, folder / "noise.png")
    errors = []
    for number, report in enumerate(reports):
        clean = [t for t in report.trials if t.as_recorded]
        false, true = roc_curve(*windows_of(clean))
        draw_lines(
            {"windows": (false.tolist(), true.tolist())},
            ("false positive rate", "recall", "ROC, windows without noise"),
            folder / f"roc{number}.png",
        )
        draw_reliability(reliability(*windows_of(report.trials)), folder / f"rel{number}.png")
        errors.append(_draw_errors(clean, report.rule, scenes, folder, f"error{number}"))
    template = page_environment("model.training").get_template("evaluation.html")
    page = template.render(reports=list(zip(results.items(), errors, strict=True)))
    (folder / "report.html").write_text(page, encoding="utf-8")


def _draw_errors(
    trials: Sequence[Trial],
    rule: CountingRule,
    scenes: Sequence[Scene],
    folder: Path,
    prefix: str,
) -> list[tuple[str, str]]:
    """Pictures of the first false and missed calls. Returns their files and what they show."""
    from model.training.charts import draw_scene

    audio_of = {s.source: s.audio for s in scenes}
    drawn: list[tuple[str, str]] = []
    for trial in trials:
        match, calls = trial.match(rule), trial.found(rule)
        errors = [("false call", calls[i].start_s) for i in match.false]
        errors += [("missed call", trial.calls[j].start_s) for j in match.missed]
        for kind, start_s in errors[: MOST_PICTURES - len(drawn)]:
            first = max(0, int((start_s - 1.5) * SAMPLE_RATE_HZ))
            audio = audio_of[trial.source][first : first + 7 * SAMPLE_RATE_HZ]
            name, shown = f"{prefix}_{len(drawn)}.png", f"{kind}: {trial.source}, {start_s:.1f} s"
            draw_scene(audio, shown, folder / name)
            drawn.append((name, shown))
    return drawn
