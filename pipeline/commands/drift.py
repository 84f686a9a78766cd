"""Keep the scores of an output as the reference that later runs are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipeline.inference.model_folder import check_model
from pipeline.ledger.drift import REFERENCE_FILE
from pipeline.ledger.entries import holding_entries
from pipeline.ledger.sums import TENTHS
from pipeline.options import Parser, UsageError
from pipeline.storage import files


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird drift",
        example="drift --output results --model my_model",
        description="Keep the scores of an output as the reference that later runs of the model "
        "are compared with.",
    )
    result.add_argument("--output", required=True, metavar="DIR", help="output of earlier runs")
    result.add_argument("--model", required=True, metavar="DIR", help="the model that made it")
    return result


def main(argv: Sequence[str]) -> int:
    """Writes the reference of a model. Returns 0."""
    arguments = parser().parse_args(argv)
    version = check_model(arguments.model).model_version
    counted, histogram = 0, (0,) * TENTHS
    for entry in holding_entries(arguments.output):
        if not entry.failed and entry.row.model_version == version:
            counted += 1
            histogram = tuple(a + b for a, b in zip(histogram, entry.histogram, strict=True))
    if not counted:
        raise UsageError(f"{version} counted nothing in {arguments.output}")
    reference = {"model_version": version, "recordings": counted, "histogram": histogram}
    name = files.join(arguments.model, REFERENCE_FILE)
    files.write_atomically(name, [json.dumps(reference, indent=2).encode() + b"\n"])
    print(f"{name}: scores of {counted} recordings")
    return 0
