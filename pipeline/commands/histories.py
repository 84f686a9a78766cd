"""Make detection histories of a run, for models of occupancy and abundance."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.commands import add_labels
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird histories",
        example="histories results --visit night",
        description="Make detection histories: for each site and visit hours recorded, detection "
        "(0 or 1) and calls, NA where nothing was recorded. For example:"
        "\n  capuchinbird histories results --visit night",
    )
    add = result.add_argument
    add("run", metavar="RESULTS", help="output folder of a run, here or in a bucket (gs://)")
    add("--output", default="histories", metavar="DIR", help="folder to make")
    add(
        "--visit",
        choices=("night", "day", "week"),
        default="night",
        help="a night runs from noon to noon and is named by its evening; a week begins on Monday",
    )
    add(
        "--min_valid_h",
        type=float,
        default=0.0,
        metavar="HOURS",
        help="a visit with fewer valid hours is NA (default: only one with none)",
    )
    add("--deployments", default="", metavar="FILE", help="sites and zones, as count takes them")
    add_labels(
        add, ": calls that are none are not counted, and there is a history of confirmed ones"
    )
    return result


def main(argv: Sequence[str]) -> int:
    """Makes the histories. Returns 0; no tables of a run there: UsageError."""
    flags = parser().parse_args(argv)
    from pipeline.storage import files
    from pipeline.survey.findings import read_survey
    from pipeline.survey.histories import histories, left_out, tables_of_histories

    try:
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        rows = histories(survey, flags.visit, flags.min_valid_h)
        remarks = left_out(survey)
        if not rows:
            raise UsageError(f"{flags.run}: {'; '.join(remarks) or 'no recordings there'}")
        for name, content in tables_of_histories(survey, rows):
            files.write_atomically(files.join(flags.output, name), [content])
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    for line in remarks:
        print(f"capuchinbird histories: {line}", file=sys.stderr)
    n_sites, n_visits = len({row.site for row in rows}), len({row.visit for row in rows})
    n_known = sum(1 for row in rows if row.detected is not None)
    n_with = sum(1 for row in rows if row.detected)
    print(
        f"{files.join(flags.output, 'history.csv')}: {n_sites:,} sites × {n_visits:,} "
        f"{flags.visit}s; recorded in {n_known:,}, calls in {n_with:,}"
    )
    return 0
