"""Make or update the tables and views in BigQuery."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird tables",
        example="tables --dataset my-project.birds --location EU",
        description="Make the dataset, its tables and views; add columns that a new version has.",
    )
    result.add_argument("--dataset", required=True, metavar="PROJECT.DATASET")
    result.add_argument(
        "--location", default="US", help="where a new dataset is kept, for example EU (default: US)"
    )
    return result


def main(argv: Sequence[str]) -> int:
    """Makes the tables and views. Returns 0."""
    known = parser().parse_args(argv)
    if known.dataset.count(".") != 1:
        raise UsageError(f"--dataset {known.dataset}: write it as PROJECT.DATASET")
    from pipeline.tables.bigquery import TABLES, create

    create(known.dataset, known.location)
    print(f"{known.dataset}: tables {', '.join(TABLES)} and views are there")
    return 0
