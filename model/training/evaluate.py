"""Says how good a model is on labelled recordings: ``python -m model.training.evaluate DATA --model DIR``.

Without more flags the exported model is tried as it is, on the recordings as they are and under
noise. If it was trained on the same recordings, that says little: ``--leave_out take`` (or group)
trains one network for each fold instead, with the settings of ``model.training.train``, and tries it on what
it never heard; ``--calls 5 10 20`` does so again with fewer and fewer annotated calls.
"""

from __future__ import annotations

import argparse
import html
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.calls import CountingRule, estimate_count
from model.contract import ContractError
from model.quiet import without_start_up_noise
from model.training.clips import DataError, Example, Scene
from model.training.dataset import Material, read_material
from model.training.measure import call_figures, reliability, roc_curve, window_figures
from model.training.trials import Trial, noise_trials, run_trial
from model.windows import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from model.training.learn import Settings

MOST_PICTURES = 24


def parser() -> argparse.ArgumentParser:
    """The flags."""
    p = argparse.ArgumentParser(
        prog="python -m model.training.evaluate",
        description="Says how good a model is on labelled recordings, as HTML and JSON.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = p.add_argument
    add(
        "data",
        nargs="*",
        type=Path,
        help="labelled recordings, laid out as for model.training.train",
    )
    add("--negatives", nargs="*", type=Path, default=[], help="folders without any call")
    add("--annotations", type=Path, help="a table used in place of the data's own")
    add("--model", type=Path, default=Path("model/released"), help="an exported model")
    add("--output", type=Path, default=Path("evaluation"), help="folder of the report")
    add("--hop_s", type=float, help="distance of windows; the contract's unless given")
    add("--leave_out", choices=("take", "group"), help="train anew without each, try on it")
    add("--calls", nargs="*", type=int, default=[], help="with --leave_out: so many calls only")
    add("--epochs", type=int, default=10, help="of each training")
    add("--windows_per_epoch", type=int, default=4096, help="of each training")
    add("--seed", type=int, default=0, help="decides everything random")
    add("--threads", type=int, default=2, help="of TensorFlow")
    return p


@dataclass(frozen=True)
class Report:
    """Trials under one heading, with the rule that counts."""

    title: str
    trials: Sequence[Trial]
    rule: CountingRule

    def figures(self) -> dict[str, Any]:
        """Everything measured, for JSON."""
        clean = [t for t in self.trials if t.level_db is None]
        matches = [t.match(self.rule) for t in clean]
        counts = call_figures(matches)
        scores, labels = windows_of(clean)
        all_scores, all_labels = windows_of(self.trials)
        diagram = reliability(all_scores, all_labels)
        negatives = [t for t in clean if not t.calls and not t.overlooked]
        hours = sum(t.n_samples for t in negatives) / SAMPLE_RATE_HZ / 3600
        false = sum(len(t.match(self.rule).false) for t in negatives)
        inside = {"clean": interval_coverage(clean, self.rule)}
        levels = {}
        for level in sorted({t.level_db for t in self.trials if t.level_db is not None}):
            noisy = [t for t in self.trials if t.level_db == level]
            found = call_figures([t.match(self.rule) for t in noisy])
            levels[str(level)] = {"f1": found.f1, **asdict(found)}
            inside[str(level)] = interval_coverage(noisy, self.rule)
        return {
            "calls": {"f1": counts.f1, **asdict(counts)},
            "windows": asdict(window_figures(scores, labels, self.rule.threshold)),
            "noise": levels,
            "calibration": {"error": diagram.error, **asdict(diagram)},
            "interval_coverage": inside,
            "negatives": {
                "hours": hours,
                "false_calls": false,
                "false_calls_an_hour": false / hours if hours else None,
            },
            "not_exact": [
                {
                    "recording": t.source,
                    "calls": len(t.calls),
                    "false_at_s": [round(t.found(self.rule)[i].start_s, 1) for i in m.false],
                    "missed_at_s": [t.calls[j].start_s for j in m.missed],
                }
                for t, m in zip(clean, matches, strict=True)
                if m.false or m.missed
            ],
        }


def windows_of(trials: Sequence[Trial]) -> tuple[Any, Any]:
    """Scores and labels of all labelled windows, float32 ``[n]`` each."""
    pairs = [t.labelled_windows() for t in trials]
    return np.concatenate([s for s, _ in pairs]), np.concatenate([y for _, y in pairs])


def interval_coverage(trials: Sequence[Trial], rule: CountingRule) -> float | None:
    """Share of recordings whose count lies in its 90 % interval."""
    inside = []
    for trial in trials:
        if not trial.overlooked:
            estimate = estimate_count(trial.starts, trial.scores, rule)
            inside.append(estimate.low <= len(trial.calls) <= estimate.high)
    return float(np.mean(inside)) if inside else None


def evaluate_model(flags: argparse.Namespace, scenes: Sequence[Scene]) -> list[Report]:
    """Tries the exported model."""
    from model.export import load_exported

    loaded = load_exported(flags.model)
    contract = loaded.contract
    hop_s = flags.hop_s or contract.hop_s
    tell(f"trying {flags.model} on {len(scenes)} recordings")
    trials = [run_trial(s, loaded.score, hop_s, padding=contract.padding) for s in scenes]
    trials += noise_trials(scenes, loaded.score, hop_s, flags.seed, padding=contract.padding)
    return [Report(f"{contract.name} {contract.version}", trials, contract.rule)]


def evaluate_folds(
    flags: argparse.Namespace, material: Material, settings: Settings
) -> list[Report]:
    """Trains and tries a network for every fold; again for each number of calls.

    The rule of a fold is chosen on the other folds only.
    """
    from model.training.train import Plan, make_folds

    reports = []
    plan = Plan(label="", folds=flags.leave_out, hop_s=flags.hop_s or 1.25)
    scenes = material.scenes
    folds = make_folds(plan.folds, scenes)
    for most in flags.calls or [None]:
        tried = {}
        for fold in folds:
            examples = [e for e in material.examples if fold.trains_on(e)]
            examples = fewer_calls(examples, most, settings.seed)
            tell(f"{fold.name}: {sum(e.kind == 'call' for e in examples)} calls to learn from")
            tried[fold.name] = _train_and_try(fold, examples, scenes, settings, plan)
        reports += _judged(tried, "" if most is None else f" ({most} calls)")
    return reports


def _train_and_try(
    fold: Any, examples: Sequence[Example], scenes: Sequence[Scene], settings: Settings, plan: Any
) -> list[Trial]:
    from model.export import Scorer
    from model.training.learn import fit
    from model.training.train import try_fold

    fitted = fit(examples, settings, tell)
    return try_fold(fold, scenes, Scorer(fitted.network).score, plan, settings.seed)


def _judged(tried: Mapping[str, list[Trial]], suffix: str) -> list[Report]:
    """A report for each fold, with the rule and calibration that the other folds chose."""
    from model.training.choose import calibrated, choose

    reports = []
    for name, trials in tried.items():
        others = [t for other, found in tried.items() if other != name for t in found]
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
    from model.training.charts import draw_lines, draw_reliability, draw_scene

    folder.mkdir(parents=True, exist_ok=True)
    by_name = {s.source: s for s in scenes}
    results = {r.title: r.figures() for r in reports}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    page = ["<!doctype html><meta charset=utf-8><title>Evaluation</title>", _STYLE]
    draw_lines(
        {
            title: (
                [float(level) for level in found["noise"]],
                [row["f1"] for row in found["noise"].values()],
            )
            for title, found in results.items()
        },
        ("call over noise, 350 to 1800 Hz (dB)", "call F1", "Robustness"),
        folder / "noise.png",
    )
    page.append("<h1>Evaluation</h1><img src=noise.png>")
    for number, (report, found) in enumerate(zip(reports, results.values(), strict=True)):
        page.append(f"<h2>{html.escape(report.title)}</h2>")
        page.append(_table(found))
        scores, labels = windows_of([t for t in report.trials if t.level_db is None])
        false, true = roc_curve(scores, labels)
        draw_lines(
            {"windows": (false.tolist(), true.tolist())},
            ("false positive rate", "recall", "ROC, windows without noise"),
            folder / f"roc{number}.png",
        )
        draw_reliability(reliability(*windows_of(report.trials)), folder / f"rel{number}.png")
        page.append(f"<img src=roc{number}.png><img src=rel{number}.png><br>")
        pictures = 0
        for trial in (t for t in report.trials if t.level_db is None):
            match, calls = trial.match(report.rule), trial.found(report.rule)
            errors = [("false call", calls[i].start_s) for i in match.false]
            errors += [("missed call", trial.calls[j].start_s) for j in match.missed]
            for kind, start_s in errors[: MOST_PICTURES - pictures]:
                first = max(0, int((start_s - 1.5) * SAMPLE_RATE_HZ))
                audio = by_name[trial.source].audio[first : first + 7 * SAMPLE_RATE_HZ]
                name = f"error{number}_{pictures}.png"
                draw_scene(audio, f"{kind}: {trial.source} {start_s:.1f} s", folder / name)
                page.append(f"<img src={name}>")
                pictures += 1
    (folder / "report.html").write_text("\n".join(page), encoding="utf-8")


_STYLE = (
    "<style>body{font:15px sans-serif;margin:2em;max-width:70em}"
    "td{padding:.1em 1em .1em 0}img{max-width:100%}</style>"
)


def _table(figures: Mapping[str, Any]) -> str:
    rows = []
    for part in ("calls", "windows", "negatives", "interval_coverage"):
        for name, value in figures[part].items():
            shown = f"{value:.3f}" if isinstance(value, float) else value
            rows.append(f"<tr><td>{part}: {name.replace('_', ' ')}<td>{shown}</tr>")
    rows.append(f"<tr><td>calibration error<td>{figures['calibration']['error']:.3f}</tr>")
    for level, row in figures["noise"].items():
        rows.append(f"<tr><td>F1 at {level} dB<td>{row['f1']:.3f}</tr>")
    for row in figures["not_exact"]:
        rows.append(f"<tr><td>not exact<td>{html.escape(json.dumps(row))}</tr>")
    return "<table>" + "".join(rows) + "</table>"


def tell(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 0 done, 2 data or model that cannot be used."""
    flags = parser().parse_args(arguments)
    with without_start_up_noise():
        from model.training.learn import Settings, use_threads
    use_threads(flags.threads)
    try:
        material = read_material(flags.data, flags.negatives, flags.annotations)
        scenes = material.scenes
        for line in material.skipped:
            tell(f"skipped: {line}")
        if flags.leave_out:
            settings = Settings(
                epochs=flags.epochs,
                windows_per_epoch=flags.windows_per_epoch,
                seed=flags.seed,
                threads=flags.threads,
            )
            reports = evaluate_folds(flags, material, settings)
        else:
            reports = evaluate_model(flags, scenes)
        write_report(reports, scenes, flags.output)
    except (DataError, ContractError, OSError) as error:
        print(f"model.training.evaluate: {error}", file=sys.stderr)
        return 2
    for report in reports:
        found = report.figures()
        calls, noise = found["calls"], found["noise"]
        levels = ", ".join(f"{row['f1']:.3f} at {level} dB" for level, row in noise.items())
        print(f"{report.title}: exact {calls['exact_share']:.3f}, F1 {calls['f1']:.3f}; {levels}")
    print(f"{flags.output / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
