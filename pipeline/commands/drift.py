"""Keep the scores of an output as the reference that later runs of the model are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import OutputFlags
from pipeline.inference.model_folder import check_model
from pipeline.ledger.drift import REFERENCE_FILE
from pipeline.options import Command, UsageError, flag, say
from pipeline.storage import files
from pipeline.store.ledger import Ledger
from pipeline.store.sums import TENTHS


@dataclass(frozen=True, kw_only=True)
class Flags(OutputFlags):
    """The flags."""

    model: str = flag("the model that made it", "DIR")


COMMAND = Command("drift", Flags, __doc__, ("drift results --model my_model",))


def main(argv: Sequence[str]) -> None:
    """Writes the reference of a model."""
    flags = COMMAND.parse(argv)
    version = check_model(flags.model).model_version
    counted, histogram = 0, (0,) * TENTHS
    for entry in Ledger(flags.output).entries():
        if not entry.failed and entry.row.model_version == version:
            counted += 1
            histogram = tuple(a + b for a, b in zip(histogram, entry.histogram, strict=True))
    if not counted:
        raise UsageError(f"{version} counted nothing in {flags.output}")
    reference = {"model_version": version, "recordings": counted, "histogram": histogram}
    name = files.join(flags.model, REFERENCE_FILE)
    files.write_atomically(name, [json.dumps(reference, indent=2).encode() + b"\n"])
    say(f"{name}: scores of {counted} recordings", reference=name, recordings=counted)
