"""Figures that were verified by ear, beside those that were counted; links to the review."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.records import VerifiedCount
from pipeline.storage import files
from pipeline.tables.read import RunResults, read_verified

REVIEW = "review/review.html"
"""Where ``capuchinbird review`` puts its page unless told otherwise."""


@dataclass(frozen=True)
class VerifiedFigures:
    """What verified.csv and verified.json say.

    Attributes:
        all_sites: of all sites together.
        sites: of each.
        is_of_now: whether the tables are still those that the clips were drawn from.
        pairs: how far two observers agree: their names, clips, same answers, kappa.
    """

    all_sites: VerifiedCount
    sites: tuple[VerifiedCount, ...]
    is_of_now: bool
    pairs: Sequence[Mapping[str, Any]]


def verified_figures(output: str, results: RunResults) -> VerifiedFigures | None:
    """The figures of an output folder; None if nobody has verified it."""
    rows = read_verified(output)
    if not rows:
        return None
    name = files.join(output, "verified.json")
    told = json.loads(files.read_bytes(name)) if files.exists(name) else {}
    (all_sites,) = [row for row in rows if row.scope == "all"]
    last_run = max((row.run_id for row in results.recordings), default="")
    return VerifiedFigures(
        all_sites,
        tuple(row for row in rows if row.scope == "site"),
        all_sites.run_id == last_run,
        told.get("agreement", {}).get("pairs", []),
    )


def review_link(output: str) -> str:
    """Address of the review's page from the report's; empty if it is not there."""
    return REVIEW if files.exists(files.join(output, REVIEW)) else ""
