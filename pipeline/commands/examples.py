"""Cut training examples from labelled recordings and write them as TFRecords, with Apache Beam.
Flags it does not know go to Beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import TrainingFlags
from pipeline.options import Command, flag, refusing, say


@dataclass(frozen=True, kw_only=True)
class Flags(TrainingFlags):
    """The flags."""

    output: str = flag("what the files' names begin with", "NAME")
    beam_args: tuple[str, ...] = ()


COMMAND = Command(
    "examples",
    Flags,
    __doc__,
    ("examples recordings_and_annotations/ --output examples/part",),
    takes_beam=True,
)


def main(argv: Sequence[str]) -> None:
    """Writes the files. UsageError: data that cannot be used."""
    flags = COMMAND.parse(argv)
    from model.quiet import without_start_up_noise
    from model.training.clips import DataError
    from model.training.dataset import build_dataset
    from model.training.folders import read_data

    with without_start_up_noise():
        import tensorflow  # noqa: F401  here, where its chatter is held back
    from pipeline.beam_options import beam_options
    from pipeline.runtime import new_pipeline, run_to_end

    with refusing(DataError, OSError):
        data = read_data(flags.data, flags.negatives, flags.annotations, flags.annotated_as)
    COMMAND.remark(*(f"skipped: {line}" for line in data.skipped))
    pipeline = new_pipeline(beam_options(flags.beam_args))
    build_dataset(pipeline, data.recordings, flags.output)
    run_to_end(pipeline)
    say(examples=flags.output)
