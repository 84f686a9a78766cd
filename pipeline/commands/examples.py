"""Write training examples as TFRecord files."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.commands import add_training_data
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags; what it does not know goes to Beam."""
    result = Parser(
        prog="capuchinbird examples",
        example="examples recordings_and_annotations/ --output examples/part",
        description="Cut training examples from labelled recordings and write them as TFRecords, "
        "with Apache Beam. Flags it does not know go to Beam.",
    )
    add_training_data(result)
    result.add_argument("--output", required=True, help="what the files' names begin with")
    return result


def main(argv: Sequence[str]) -> int:
    """Writes the files. Returns 0; data that cannot be used: UsageError."""
    flags, beam_arguments = parser().parse_known_args(argv)
    from model.quiet import without_start_up_noise
    from model.training.clips import DataError
    from model.training.dataset import build_dataset
    from model.training.folders import read_data

    with without_start_up_noise():
        import tensorflow  # noqa: F401  here, where its chatter is held back
    from pipeline.beam_options import beam_options
    from pipeline.runtime import new_pipeline, run_to_end

    try:
        data = read_data(flags.data, flags.negatives, flags.annotations, flags.annotated_as)
    except (DataError, OSError) as error:
        raise UsageError(str(error)) from None
    for line in data.skipped:
        print(f"skipped: {line}", file=sys.stderr)
    pipeline = new_pipeline(beam_options(beam_arguments))
    build_dataset(pipeline, data.recordings, flags.output)
    run_to_end(pipeline)
    return 0
