"""Say what the calls of a run tell of its leks: by site and night calls an hour, bouts, the fastest
rates, the least number of males, whether calls follow one another without overlap, and nights until
a site's rate is known. Writes lek.csv, bouts.csv and lek.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.commands import DEPLOYMENTS, LABELS, RESULTS
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import not_negative

if TYPE_CHECKING:
    from pipeline.lek.season import Lek


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag("folder to make", "DIR", default="lek")
    by: Literal["night", "day", "half"] = flag(
        "a night runs from noon to noon; halves of a day part at noon, dawn from dusk",
        default="night",
    )
    gap_s: float = flag(
        "gap between calls that ends a bout (default: found in the calls of each site)",
        "SECONDS",
        not_negative,
        default=0.0,
    )
    deployments: str = flag(DEPLOYMENTS, default="")
    labels: tuple[str, ...] = flag(
        LABELS + ": calls that are none take no part", "FILE", default=()
    )


COMMAND = Command("lek", Flags, __doc__, ("lek results", "lek results --by half --gap-s 90"))


def main(argv: Sequence[str]) -> None:
    """Writes the tables and the page. UsageError: no tables of a run there."""
    flags = COMMAND.parse(argv)
    from pipeline.lek.page import write_lek
    from pipeline.lek.season import season
    from pipeline.lek.stretches import remarks_on, stretches_of
    from pipeline.survey.findings import read_survey

    with refusing(OSError, ValueError):
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        stretches = stretches_of(survey, flags.by)
        if not stretches:
            raise UsageError(f"{flags.run}: no recording there was counted")
        remarks = remarks_on(survey, stretches)
        result = season(stretches, flags.gap_s or None)
        name = write_lek(flags.output, result, stretches, flags.by, remarks)
    COMMAND.remark(*remarks)
    say("\n".join(lines_of_sites(result.rows)), output=flags.output)
    say(f"brackets: 90 % intervals; all figures: {name}", page=name)


def lines_of_sites(rows: Sequence[Lek]) -> list[str]:
    """The sites for people, a line each."""

    def with_interval(value: float | None, low: float | None, high: float | None) -> str:
        if value is None:
            return "–"
        return f"{value:.1f}" + (f" [{low:.1f}, {high:.1f}]" if low is not None else "")

    lines = [("site", "calls", "calls an hour", "bouts", "males at least", "nights for ±20 %")]
    for row in (row for row in rows if row.scope == "site"):
        nights = (row.periods_needed, row.periods_needed_low, row.periods_needed_high)
        lines.append(
            (
                row.site or "(no site)",
                f"{row.calls:,}",
                with_interval(row.calls_per_h, row.calls_per_h_low, row.calls_per_h_high),
                f"{row.bouts:,}",
                f"{row.least_males} [{row.least_males_low}, {row.least_males_high}]",
                "–" if nights[0] is None else f"{nights[0]} [{nights[1]}, {nights[2]}]",
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
