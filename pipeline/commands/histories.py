"""Make detection histories: for each site and visit hours recorded, detection (0 or 1) and calls,
NA where nothing was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.commands import DEPLOYMENTS, LABELS, RESULTS
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import not_negative


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag("folder to make", "DIR", default="histories")
    visit: Literal["night", "day", "week"] = flag(
        "a night runs from noon to noon and is named by its evening; a week begins on Monday",
        default="night",
    )
    min_valid_h: float = flag(
        "a visit with fewer valid hours is NA (default: only one with none)",
        "HOURS",
        not_negative,
        default=0.0,
    )
    deployments: str = flag(DEPLOYMENTS, default="")
    labels: tuple[str, ...] = flag(
        LABELS + ": calls that are none are not counted, and there is a history of confirmed ones",
        "FILE",
        default=(),
    )


COMMAND = Command("histories", Flags, __doc__, ("histories results --visit night",))


def main(argv: Sequence[str]) -> None:
    """Makes the histories. UsageError: no tables of a run there."""
    flags = COMMAND.parse(argv)
    from pipeline.storage import files
    from pipeline.survey.findings import read_survey
    from pipeline.survey.histories import histories, left_out, tables_of_histories

    with refusing(OSError, ValueError):
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        rows = histories(survey, flags.visit, flags.min_valid_h)
        remarks = left_out(survey)
        if not rows:
            raise UsageError(f"{flags.run}: {'; '.join(remarks) or 'no recordings there'}")
        for name, content in tables_of_histories(survey, rows):
            files.write_atomically(files.join(flags.output, name), [content])
    COMMAND.remark(*remarks)
    n_sites, n_visits = len({row.site for row in rows}), len({row.visit for row in rows})
    n_recorded = sum(1 for row in rows if row.detected is not None)
    n_with = sum(1 for row in rows if row.detected)
    say(
        f"{files.join(flags.output, 'history.csv')}: {n_sites:,} sites × {n_visits:,} "
        f"{flags.visit}s; recorded in {n_recorded:,}, calls in {n_with:,}",
        output=flags.output,
        sites=n_sites,
        visits=n_visits,
        recorded=n_recorded,
        with_calls=n_with,
    )
