"""Figures from verification by ear, for the report; links to the review."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.records import VerifiedCount
from pipeline.storage import files
from pipeline.tables.read import RunResults, read_verified

REVIEW = "review/review.html"
"""Default path of the page of ``capuchinbird review``."""


@dataclass(frozen=True)
class VerifiedFigures:
    """The content of verified.csv and verified.json.

    Attributes:
        all_sites: all sites together.
        sites: each site.
        is_of_now: whether the last run of the tables is the one that the clips came from.
        pairs: agreement of two observers: names, clips, same answers, kappa.
    """

    all_sites: VerifiedCount
    sites: tuple[VerifiedCount, ...]
    is_of_now: bool
    pairs: Sequence[Mapping[str, Any]]


def verified_figures(output: str, results: RunResults) -> VerifiedFigures | None:
    """The figures of an output folder; None without verification."""
    rows = read_verified(output)
    if not rows:
        return None
    name = files.join(output, "verified.json")
    document = json.loads(files.read_bytes(name)) if files.exists(name) else {}
    (all_sites,) = [row for row in rows if row.scope == "all"]
    last_run = max((row.run_id for row in results.recordings), default="")
    return VerifiedFigures(
        all_sites,
        tuple(row for row in rows if row.scope == "site"),
        all_sites.run_id == last_run,
        document.get("agreement", {}).get("pairs", []),
    )


def review_link(output: str) -> str:
    """Address of the review's page relative to the report; empty without one."""
    return REVIEW if files.exists(files.join(output, REVIEW)) else ""
