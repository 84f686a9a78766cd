"""Measure a model on labelled recordings; writes a page and JSON. A model that was trained on the
same recordings is measured honestly by --folds only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.windows import WINDOW_S
from pipeline.commands import SEED, STEPS, THREADS, TrainingFlags
from pipeline.options import RELEASED_MODEL, Command, flag, refusing, say
from pipeline.options.values import above, at_least


@dataclass(frozen=True, kw_only=True)
class Flags(TrainingFlags):
    """The flags."""

    model: Path = flag(
        "an exported model (default: the released model)", "DIR", default=Path(RELEASED_MODEL)
    )
    output: Path = flag("folder of the report", "DIR", default=Path("evaluation"))
    hop_s: float | None = flag(
        "distance of windows; the contract's unless given",
        "SECONDS",
        above(0, WINDOW_S),
        default=None,
    )
    folds: int = flag(
        "train anew, with birds and backgrounds left out in N parts in turn, and try on these",
        "N",
        at_least(0),
        default=0,
    )
    calls: tuple[int, ...] = flag("with --folds: so many calls only", "N", several=True, default=())
    epochs: int = flag("of each training", "N", at_least(1), default=10)
    steps: int = flag("of an epoch", "N", at_least(1), default=STEPS)
    seed: int = flag(SEED, default=0)
    threads: int = flag(THREADS, default=2)


COMMAND = Command(
    "evaluate",
    Flags,
    __doc__,
    (
        "evaluate recordings_and_annotations/ --model my_model",
        "evaluate recordings_and_annotations/ --folds 5",
    ),
)


def main(argv: Sequence[str]) -> None:
    """Measures. UsageError: data or a model that cannot be used."""
    flags = COMMAND.parse(argv)
    from model.contract import ContractError
    from model.quiet import without_start_up_noise

    with without_start_up_noise():
        from model.training.learn import Settings, use_threads
    from model.training.clips import DataError
    from model.training.dataset import read_material
    from model.training.evaluate import evaluate_folds, evaluate_model, write_report
    from model.training.train import TrainingPlan

    use_threads(flags.threads)
    with refusing(DataError, ContractError, OSError):
        material = read_material(flags.data, flags.negatives, flags.annotations, flags.annotated_as)
        COMMAND.remark(*(f"skipped: {line}" for line in material.skipped))
        if flags.folds:
            settings = Settings(
                epochs=flags.epochs,
                steps=flags.steps,
                seed=flags.seed,
                threads=flags.threads,
            )
            plan = TrainingPlan("", flags.folds, flags.hop_s or TrainingPlan.hop_s)
            reports = evaluate_folds(material, settings, plan, flags.calls)
        else:
            reports = evaluate_model(flags.model, material, flags.hop_s, flags.seed)
        write_report(reports, material.scenes, flags.output)
    for report in reports:
        figures = report.figures()
        say(f"{report.title}: exact counts {figures['calls']['exact_share']:.3f}")
        say(f"  {'condition':24}F1      counted/true  90 % interval: holds the truth, calls wide")
        for name, row in figures["conditions"].items():
            inside = row["interval_coverage"]
            covered = "-" if inside is None else f"{inside:.2f}, {row['interval_width']:.1f}"
            cells = f"{row['f1']:<8.3f}{row['counted_share']:<14.3f}{covered}"
            say(f"  {name.replace('_', ' '):24}{cells}")
        say(figures["verdict"])
    page = str(flags.output / "report.html")
    say(page, report=page, figures={report.title: report.figures() for report in reports})
