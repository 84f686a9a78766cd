"""Train a network on labelled recordings and export it with its contract."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.windows import WINDOW_S
from pipeline.commands import FOLDS, SEED, STEPS, THREADS, TrainingFlags
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import at_least


@dataclass(frozen=True, kw_only=True)
class Flags(TrainingFlags):
    """The flags."""

    output: Path = flag("the exported model", "DIR", default=Path("trained"))
    labels: tuple[str, ...] = flag(
        "labels.csv of a review: train on its clips, too; their recordings must be where they were "
        "counted. May be given several times",
        "FILE",
        default=(),
    )
    network: Literal["onset", "tutorial"] = flag("what to train", default="onset")
    label: str = flag("what a score is the score of", "NAME", default="Perissocephalus tricolor")
    folds: int = flag(
        "birds and backgrounds are left out in N parts in turn, to choose the counting rule and to "
        "measure; 0: train without figures",
        "N",
        at_least(0),
        default=FOLDS,
    )
    epochs: int | None = flag(
        "at most; 10 for onset and 4 for tutorial unless given", "N", at_least(1), default=None
    )
    steps: int | None = flag(
        f"of an epoch; {STEPS} for onset and 36 for tutorial unless given",
        "N",
        at_least(1),
        default=None,
    )
    patience: int = flag("epochs without a lower loss before it stops", "N", at_least(1), default=5)
    seed: int = flag(SEED, default=0)
    threads: int = flag(THREADS, default=2)
    resume: bool = flag("go on with an interrupted training", default=False)


COMMAND = Command("train", Flags, __doc__, ("train recordings_and_annotations/ --output my_model",))


def main(argv: Sequence[str]) -> None:
    """Trains and exports. UsageError: data or flags that cannot be used."""
    flags = COMMAND.parse(argv)
    if flags.labels and flags.annotations:
        raise UsageError(
            "--labels and --annotations do not go together: the table would hold for both"
        )
    from model.quiet import without_start_up_noise
    from model.training.clips import DataError
    from model.training.measure import verdict
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
    with refusing(DataError, OSError):
        data = [*flags.data, *labelled_clips(flags.labels, flags.output)]
        sources = data, flags.negatives, flags.annotations
        contract = train_and_export(
            *sources, flags.output, settings, plan, flags.resume, flags.annotated_as
        )
    figures = contract.metrics
    levels = {db: figures[name] for db in NOISE_LEVELS_DB if (name := f"f1_at_{db}_db") in figures}
    say(verdict(figures.get("f1"), levels), model=str(flags.output), figures=figures)
    model = shlex.quote(str(flags.output))
    say(f"next: capuchinbird count recordings/ --model {model} --output results")


def labelled_clips(tables: Sequence[str], output: Path) -> list[Path]:
    """The folder of clips that labels give, beside the model; none without labels."""
    if not tables:
        return []
    from pipeline.review.training import training_clips, write_training_clips
    from pipeline.survey.labels import read_tables

    with refusing(ValueError):
        labels = read_tables(tables)
    clips, left_out = training_clips(labels)
    folder = output.with_name(output.name + "-training") / "labelled"
    problems = write_training_clips(clips, folder)
    COMMAND.remark(*left_out, *(f"skipped: {problem}" for problem in problems))
    n_calls = sum(clip.call is not None for clip in clips)
    say(f"labels: {n_calls} calls and {len(clips) - n_calls} stretches without one, in {folder}")
    return [folder]
