"""Make the dataset, its tables and views; add columns that a new version has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.options import Command, flag, say
from pipeline.options.values import dataset


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    dataset: str = flag("where they are made", "PROJECT.DATASET", dataset)
    location: str = flag("where a new dataset is kept, for example EU", "PLACE", default="US")


COMMAND = Command("tables", Flags, __doc__, ("tables --dataset my-project.birds --location EU",))


def main(argv: Sequence[str]) -> None:
    """Makes the tables and views."""
    flags = COMMAND.parse(argv)
    from pipeline.tables.bigquery import TABLES, create

    create(flags.dataset, flags.location)
    say(f"{flags.dataset}: tables {', '.join(TABLES)} and views are there", tables=list(TABLES))
