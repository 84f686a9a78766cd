"""Train a model on annotated recordings or clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.windows import WINDOW_S
from pipeline.commands import STEPS, add_training_data, verdict
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird train",
        description="Train a network on labelled recordings and export it with its contract.",
    )
    add = result.add_argument
    add_training_data(result)
    add("--output", type=Path, default=Path("trained"), help="the exported model")
    add("--network", choices=("onset", "tutorial"), default="onset", help="what to train")
    add("--label", default="Perissocephalus tricolor", help="what a score is the score of")
    add(
        "--folds",
        choices=("auto", "take", "group", "none"),
        default="auto",
        help="what is left out in turn to choose the counting rule and to measure: each take, or "
        "a third of the groups; auto: takes where there are two or more",
    )
    add("--epochs", type=int, help="at most; 10 for onset and 4 for tutorial unless given")
    add(
        "--steps", type=int, help=f"of an epoch; {STEPS} for onset and 36 for tutorial unless given"
    )
    add("--patience", type=int, default=5, help="epochs without a lower loss before it stops")
    add("--seed", type=int, default=0, help="decides everything random")
    add("--threads", type=int, default=2, help="of TensorFlow")
    add("--resume", action="store_true", help="go on with an interrupted training")
    return result


def main(argv: Sequence[str]) -> int:
    """Trains and exports. Returns 0; data or flags that cannot be used: UsageError."""
    flags = parser().parse_args(argv)
    from model.quiet import without_start_up_noise
    from model.training.clips import DataError
    from model.training.train import TrainingPlan, train_and_export
    from model.training.trials import NOISE_LEVELS_DB

    with without_start_up_noise():
        from model.training.learn import Settings

    is_tutorial = flags.network == "tutorial"
    settings = Settings(
        network=flags.network,
        epochs=flags.epochs or (4 if is_tutorial else 10),
        steps=flags.steps or (36 if is_tutorial else STEPS),
        patience=flags.patience,
        seed=flags.seed,
        threads=flags.threads,
    )
    plan = TrainingPlan(flags.label, flags.folds)
    if is_tutorial:  # as published: windows side by side, zeros in front, and no noise
        plan = TrainingPlan(flags.label, flags.folds, WINDOW_S, "front", (), ())
    sources = flags.data, flags.negatives, flags.annotations
    try:
        contract = train_and_export(
            *sources, flags.output, settings, plan, flags.resume, flags.annotated_as
        )
    except (DataError, OSError) as error:
        raise UsageError(str(error)) from None
    figures = contract.metrics
    levels = {db: figures[name] for db in NOISE_LEVELS_DB if (name := f"f1_at_{db}_db") in figures}
    print(verdict(figures.get("f1"), levels))
    print(f"next: capuchinbird --model {flags.output} --input recordings/ --output results")
    return 0
