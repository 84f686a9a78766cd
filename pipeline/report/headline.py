"""The first sentence of the page: what to report, how sure it is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.records import RecordingCount
from pipeline.report.activity import expected_total
from pipeline.report.html import counted_noun, how_long
from pipeline.report.verified import VerifiedFigures
from pipeline.tables.rows import is_failure, was_counted

LEAST_H = 1.0
"""Of less audio, calls are stated and not calls an hour."""


@dataclass(frozen=True)
class Headline:
    """What a reader came for.

    Attributes:
        sentence: the number to report, where, and how sure it is.
        next_step: what to do before, or with it.
    """

    sentence: str
    next_step: str


def headline(recordings: Sequence[RecordingCount], verified: VerifiedFigures | None) -> Headline:
    """The headline of an output's page.

    Verified figures hold where they are of the last run; else the model's count holds, with the
    interval of the calls expected, where there is one and the count lies in it.
    """
    counted = [row for row in recordings if was_counted(row)]
    n_failed = sum(map(is_failure, recordings)) - sum(map(is_failure, counted))
    return Headline(_sentence(counted, verified), _next_step(n_failed, bool(counted), verified))


def _sentence(counted: Sequence[RecordingCount], verified: VerifiedFigures | None) -> str:
    if not counted:
        return "Nothing was counted."
    if verified and verified.is_of_now:
        row, hours = verified.all_sites, verified.all_sites.recorded_h
        calls, low, high = row.verified_calls, row.verified_low, row.verified_high
        surety = f"verified by ear with {counted_noun(row.labelled, 'clip')}"
    else:
        hours = sum(row.heard_s or 0 for row in counted) / 3600
        calls = low = high = float(sum(row.call_count or 0 for row in counted))
        expected = expected_total(counted)
        surety = "counted by the model, not verified by ear"
        if expected and round(expected.low) <= calls <= round(expected.high):
            low, high = expected.low, expected.high
        elif expected:
            surety += "; the count lies outside its own interval"
    amount = _amount(calls, low, high, hours)
    return f"{amount}{_place(counted)}: {surety}."


def _amount(calls: float, low: float, high: float, hours: float) -> str:
    if not high:
        return f"No call in {how_long(hours)}"
    if hours < LEAST_H:
        interval = _interval(f"{low:,.0f}", f"{high:,.0f}")
        return f"{counted_noun(round(calls), 'call')}{interval} in {how_long(hours)}"
    interval = _interval(_rate(low / hours), _rate(high / hours))
    return f"{_rate(calls / hours)} calls an hour{interval} in {how_long(hours)}"


def _interval(low: str, high: str) -> str:
    return f" [{low}, {high}]" if low != high else ""


def _rate(value: float) -> str:
    """One decimal below ten, none above.

    >>> _rate(0.1234), _rate(98.26), _rate(1234.5)
    ('0.1', '98', '1,234')
    """
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _place(counted: Sequence[RecordingCount]) -> str:
    sites = {row.site for row in counted}
    if len(sites) > 1:
        return f" at {counted_noun(len(sites - {''}), 'site')}"
    (site,) = sites
    return f" at {site}" if site else ""


def _next_step(n_failed: int, any_counted: bool, verified: VerifiedFigures | None) -> str:
    steps = []
    if n_failed:
        are, them = ("is", "it") if n_failed == 1 else ("are", "them")
        steps.append(
            f"{counted_noun(n_failed, 'recording')} failed and {are} in none of these numbers: the "
            f"reasons are below; if you can mend {them}, run the same command again."
        )
    if any_counted and verified is None:
        steps.append(
            "Next: label a sample of clips by ear (capuchinbird review), and capuchinbird verify "
            "says how many calls there are."
        )
    elif any_counted and verified and not verified.is_of_now:
        steps.append("Next: the tables have changed since; run capuchinbird verify again.")
    elif any_counted:
        steps.append("Next: publish it (capuchinbird publish-data).")
    return " ".join(steps)
