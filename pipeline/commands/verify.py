"""Estimate from the labels of a review, by site and in all: precision, recall, calls and calls an
hour with 90 % intervals, and the threshold for a wanted precision. Writes verified.csv and
verified.json into RESULTS; counts and scores stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import RESULTS
from pipeline.options import Command, flag, refusing, say
from pipeline.options.values import inner_share
from pipeline.records import VerifiedCount


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    labels: tuple[str, ...] = flag(
        "labels.csv of the review; may be given several times, for several observers", "FILE"
    )
    precision: float = flag(
        "look for the threshold with this precision", "SHARE", inner_share, default=0.95
    )


COMMAND = Command("verify", Flags, __doc__, ("verify results --labels labels.csv",))


def main(argv: Sequence[str]) -> None:
    """Writes the figures. UsageError: labels or results that cannot be used."""
    flags = COMMAND.parse(argv)
    from pipeline.report.page import write_page
    from pipeline.review.verify import verify, write_verified
    from pipeline.storage import files

    with refusing(ValueError, OSError):
        verified = verify(flags.run, flags.labels, flags.precision)
        name = write_verified(verified, flags.run)
        if files.exists(files.join(flags.run, "report.html")):
            write_page(flags.run)
    COMMAND.remark(*verified.warnings)
    say("\n".join(table(verified.rows)), **verified.document)
    for pair in verified.document["agreement"]["pairs"]:
        kappa = "not defined" if pair["kappa"] is None else f"{pair['kappa']:.2f}"
        say(
            f"{' and '.join(pair['observers'])} agree on {pair['same']} of {pair['clips']} clips: "
            f"Cohen's kappa {kappa}"
        )
    say(f"brackets: 90 % intervals; all figures: {name}")


def table(rows: Sequence[VerifiedCount]) -> list[str]:
    """The figures for people, a line a site."""

    def share(mean: float | None, low: float | None, high: float | None) -> str:
        return "–" if mean is None else f"{mean:.2f} [{low:.2f}, {high:.2f}]"

    heads = ("site", "counted", "precision", "recall", "calls", "calls an hour", "threshold")
    lines = [
        (
            "all" if row.scope == "all" else row.site or "(no site)",
            f"{row.counted_calls:,}",
            share(row.precision, row.precision_low, row.precision_high),
            share(row.recall, row.recall_low, row.recall_high),
            f"{row.verified_calls:,.0f} [{row.verified_low:,.0f}, {row.verified_high:,.0f}]",
            share(row.calls_per_h, row.calls_per_h_low, row.calls_per_h_high),
            "–" if row.threshold_wanted is None else f"{row.threshold_wanted:.5f}",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *lines]
    ]
