"""List the recorders of a run, a line for each site and recorder: when it ran, firmware, gain,
battery and temperature as far as its files say, and warnings: clocks that were not set, jumped or
were an hour off, times that disagree, two recorders with one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.commands import DEPLOYMENTS, RESULTS
from pipeline.options import Command, flag, refusing, say


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag("the table to write", "FILE", default="recorders.csv")
    deployments: str = flag(DEPLOYMENTS, default="")


COMMAND = Command("recorders", Flags, __doc__, ("recorders results",))


def main(argv: Sequence[str]) -> None:
    """Writes the table, prints the warnings. UsageError: no tables there."""
    flags = COMMAND.parse(argv)
    from pipeline.records import column_names
    from pipeline.storage import files
    from pipeline.survey.findings import read_survey
    from pipeline.survey.recorders import SEPARATOR, RecorderAtSite, recorders
    from pipeline.tables.cell_text import encode
    from pipeline.tables.csv_text import csv_line
    from pipeline.tables.schema import cells

    with refusing(OSError, ValueError):
        survey = read_survey(flags.run, flags.deployments)
        rows = recorders(survey.recordings)
        lines = [csv_line(column_names(RecorderAtSite)), *(csv_line(cells(row)) for row in rows)]
        files.write_atomically(flags.output, [encode("".join(lines))])
    for row in rows:
        name = " ".join(filter(None, [row.site or "no site", row.recorder]))
        say(f"{name}: {row.recordings:,} recordings, {row.recorded_h:,.1f} h")
        for warning in filter(None, row.warnings.split(SEPARATOR)):
            say(f"  ! {warning}")
    remarks: list[str] = survey.run.get("remarks", [])
    others = sum(survey.run.get("other_files", {}).values())
    if remarks or others:
        say(f"run.json: remarks {len(remarks):,}, other files passed over {others:,}")
    n = sum(1 for row in rows if row.warnings)
    say(
        f"{flags.output}: {len(rows):,} recorders, {n:,} with warnings",
        output=flags.output,
        recorders=[asdict(row) for row in rows],
        remarks=remarks,
        other_files=others,
    )
