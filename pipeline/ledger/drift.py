"""Whether tonight sounds like what the model knows: a note in each run's report.

A model goes wrong silently: a microphone ages, a generator moves in, a season brings a chorus that
nobody trained on. The counts still look like counts, but the scores are spread otherwise. So each
run compares the scores of each site with a reference kept beside the model, and the quality of the
recordings with what is usual.

``capuchinbird drift`` makes the reference from an output whose counts have been checked.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.storage import files
from pipeline.store.sums import SiteSums

REFERENCE_FILE = "reference.json"
MAX_DISTANCE = 0.25
"""Population stability index above which two spreads of scores are taken for different ones."""
MAX_FLAGGED_SHARE = 0.2
"""Share of a site's recordings with one and the same quality flag, or failed."""
FEWEST_WINDOWS = 1000
FEWEST_RECORDINGS = 10
"""With less than this of a site a run says nothing about it."""


@dataclass(frozen=True)
class SiteNote:
    """The scores and the quality of a run's recordings at one site.

    Attributes:
        site: its name, or empty.
        recordings: how many.
        histogram: windows by score in tenths.
        distance: from the reference; None without a reference or with too few windows.
        flagged: recordings by quality flag, and how many failed.
        warnings: what has left the band, in words.
    """

    site: str
    recordings: int
    histogram: tuple[int, ...]
    distance: float | None
    flagged: dict[str, int]
    warnings: tuple[str, ...]


def distance(histogram: Sequence[int], reference: Sequence[int]) -> float:
    """Population stability index: 0 for equal shares, above 0.25 for another population."""
    bins = len(reference)
    shares = [
        [(count + 0.5) / (sum(counts) + 0.5 * bins) for count in counts]
        for counts in (histogram, reference)
    ]
    return float(sum((a - b) * math.log(a / b) for a, b in zip(*shares, strict=True)))


def notes(sites: Mapping[str, SiteSums], reference: Sequence[int] | None) -> list[SiteNote]:
    """A note for each site, by name."""
    return [_site_note(site, sums, reference) for site, sums in sorted(sites.items())]


def _site_note(site: str, sums: SiteSums, reference: Sequence[int] | None) -> SiteNote:
    away = None
    if reference and sum(sums.histogram) >= FEWEST_WINDOWS:
        away = round(distance(sums.histogram, reference), 4)
    name = f"site {site}" if site else "recordings without a site"
    warnings = []
    if away is not None and away > MAX_DISTANCE:
        warnings.append(
            f"{name}: scores are spread otherwise than the model's reference "
            f"({away:.2f}, at most {MAX_DISTANCE}); listen to some of its calls"
        )
    if sums.recordings >= FEWEST_RECORDINGS:
        warnings += [
            f"{name}: {count} of {sums.recordings} recordings {flag}; look at the recorder"
            for flag, count in sorted(sums.flagged.items())
            if count > MAX_FLAGGED_SHARE * sums.recordings
        ]
    return SiteNote(
        site, sums.recordings, sums.histogram, away, dict(sums.flagged), tuple(warnings)
    )


def warn(notes: Iterable[SiteNote]) -> None:
    """Logs all warnings: a job on Dataflow writes them to Cloud Logging, where alerts look."""
    for note in notes:
        for warning in note.warnings:
            logging.getLogger(__name__).warning("drift: %s", warning)


def read_reference(model: str, model_version: str) -> tuple[int, ...] | None:
    """The histogram beside a model, if there is one and it is of that model."""
    name = files.join(model, REFERENCE_FILE)
    if not files.exists(name):
        return None
    reference: dict[str, Any] = json.loads(files.read_bytes(name))
    is_of_it = reference.get("model_version") == model_version
    return tuple(reference["histogram"]) if is_of_it else None
