"""Make the dataset, its tables and views; add columns that a new version has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pipeline.options import Command, Flag, say
from pipeline.options.values import dataset


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    dataset: Annotated[str, Flag("where they are made", "PROJECT.DATASET", dataset)]
    location: Annotated[str, Flag("where a new dataset is kept, for example EU", "PLACE")] = "US"


COMMAND = Command("tables", Flags, __doc__, ("tables --dataset my-project.birds --location EU",))


def main(argv: Sequence[str]) -> int:
    """Makes the tables and views. Returns 0."""
    flags = COMMAND.parse(argv)
    from pipeline.tables.bigquery import TABLES, create

    create(flags.dataset, flags.location)
    say(f"{flags.dataset}: tables {', '.join(TABLES)} and views are there", tables=list(TABLES))
    return 0
