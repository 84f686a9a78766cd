"""List the recorders of a run: when each ran, its battery, and what is doubtful about its clock."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird recorders",
        example="recorders results",
        description="List the recorders of a run, a line for each site and recorder: when it ran, "
        "firmware, gain, battery and temperature as far as its files say, and warnings: clocks "
        "that were not set, jumped or were an hour off, times that disagree, two recorders with "
        "one name.",
    )
    add = result.add_argument
    add("run", metavar="RESULTS", help="output folder of a run, here or in a bucket (gs://)")
    add("--output", default="recorders.csv", metavar="FILE", help="the table to write")
    add("--deployments", default="", metavar="FILE", help="sites and zones, as count takes them")
    return result


def main(argv: Sequence[str]) -> int:
    """Writes the table, prints the warnings. Returns 0; no tables there: UsageError."""
    flags = parser().parse_args(argv)
    from pipeline.records import RecorderAtSite, column_names
    from pipeline.storage import files
    from pipeline.survey.findings import read_survey
    from pipeline.survey.recorders import SEPARATOR, recorders
    from pipeline.tables.cell_text import encode
    from pipeline.tables.csv_text import csv_line
    from pipeline.tables.schema import cells

    try:
        found = recorders(read_survey(flags.run, flags.deployments).recordings)
        lines = [csv_line(column_names(RecorderAtSite)), *(csv_line(cells(row)) for row in found)]
        files.write_atomically(flags.output, [encode("".join(lines))])
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    for row in found:
        name = " ".join(filter(None, [row.site or "no site", row.recorder]))
        print(f"{name}: {row.recordings:,} recordings, {row.recorded_h:,.1f} h")
        for warning in filter(None, row.warnings.split(SEPARATOR)):
            print(f"  ! {warning}")
    n = sum(1 for row in found if row.warnings)
    print(f"{flags.output}: {len(found):,} recorders, {n:,} with warnings")
    return 0
