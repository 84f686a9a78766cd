"""Measure a model on annotated recordings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands import STEPS, add_training_data
from pipeline.options import RELEASED_MODEL, Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird evaluate",
        example="evaluate recordings_and_annotations/ --model my_model",
        description="Measure a model on labelled recordings; writes a page and JSON. A model "
        "that was trained on the same recordings is measured honestly by --folds only.",
    )
    add = result.add_argument
    add_training_data(result)
    add(
        "--model",
        type=Path,
        default=Path(RELEASED_MODEL),
        metavar="DIR",
        help="an exported model (default: the released model)",
    )
    add(
        "--output",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="folder of the report",
    )
    add(
        "--hop_s",
        type=float,
        metavar="SECONDS",
        help="distance of windows; the contract's unless given",
    )
    add(
        "--folds",
        type=int,
        default=0,
        metavar="N",
        help="train anew, with birds and backgrounds left out in N parts in turn, and try on these",
    )
    add(
        "--calls",
        nargs="*",
        type=int,
        default=[],
        metavar="N",
        help="with --folds: so many calls only",
    )
    add("--epochs", type=int, metavar="N", default=10, help="of each training")
    add("--steps", type=int, metavar="N", default=STEPS, help="of an epoch")
    add("--seed", type=int, metavar="N", default=0, help="decides everything random")
    add("--threads", type=int, metavar="N", default=2, help="of TensorFlow")
    return result


def main(argv: Sequence[str]) -> int:
    """Measures. Returns 0; data or a model that cannot be used: UsageError."""
    flags = parser().parse_args(argv)
    from model.contract import ContractError
    from model.quiet import without_start_up_noise

    with without_start_up_noise():
        from model.training.learn import Settings, use_threads
    from model.training.clips import DataError
    from model.training.dataset import read_material
    from model.training.evaluate import evaluate_folds, evaluate_model, write_report
    from model.training.train import TrainingPlan

    use_threads(flags.threads)
    try:
        material = read_material(flags.data, flags.negatives, flags.annotations, flags.annotated_as)
        for line in material.skipped:
            print(f"skipped: {line}", file=sys.stderr)
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
    except (DataError, ContractError, OSError) as error:
        raise UsageError(str(error)) from None
    for report in reports:
        found = report.figures()
        print(f"{report.title}: exact counts {found['calls']['exact_share']:.3f}")
        print(f"  {'condition':24}F1      counted/true  truth inside the 90 % interval")
        for name, row in found["conditions"].items():
            inside = row["interval_coverage"]
            covered = "-" if inside is None else f"{inside:.2f}"
            figures = f"{row['f1']:<8.3f}{row['counted_share']:<14.3f}{covered}"
            print(f"  {name.replace('_', ' '):24}{figures}")
        print(found["verdict"])
    print(f"{flags.output / 'report.html'}")
    return 0
