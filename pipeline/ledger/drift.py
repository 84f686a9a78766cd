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
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.inference.count import Counting
from pipeline.ledger import entries as ledger
from pipeline.ledger.entries import Entry
from pipeline.storage import files

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
    """What a run heard at one site.

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


def notes(entries: Iterable[Entry], reference: Sequence[int] | None) -> list[SiteNote]:
    """A note for each site that has recordings, by name."""
    by_site: dict[str, list[Entry]] = {}
    for entry in entries:
        by_site.setdefault(entry.row.site, []).append(entry)
    return [_site_note(site, found, reference) for site, found in sorted(by_site.items())]


def _site_note(site: str, entries: list[Entry], reference: Sequence[int] | None) -> SiteNote:
    histogram = score_histogram(entries)
    away = None
    if reference and sum(histogram) >= FEWEST_WINDOWS:
        away = round(distance(histogram, reference), 4)
    flagged = Counter(flag for entry in entries for flag in entry.row.quality_flags.split())
    flagged.update("failed" for entry in entries if entry.failed)
    name = f"site {site}" if site else "recordings without a site"
    warnings = []
    if away is not None and away > MAX_DISTANCE:
        warnings.append(
            f"{name}: scores are spread otherwise than the model's reference "
            f"({away:.2f}, at most {MAX_DISTANCE}); listen to some of its calls"
        )
    if len(entries) >= FEWEST_RECORDINGS:
        warnings += [
            f"{name}: {count} of {len(entries)} recordings {flag}; look at the recorder"
            for flag, count in sorted(flagged.items())
            if count > MAX_FLAGGED_SHARE * len(entries)
        ]
    return SiteNote(
        site, len(entries), histogram, away, dict(sorted(flagged.items())), tuple(warnings)
    )


def score_histogram(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Windows by score in tenths, of all entries."""
    return tuple(sum(column) for column in zip(*(e.histogram for e in entries), strict=True))


def note_run(output: str, model: str, counting: Counting) -> None:
    """Compares what a run has committed with the reference; logs and keeps what it finds.

    The launcher takes it up into run.json; whoever does not wait for the job finds it in its log
    and in the ledger.
    """
    entries = {
        identity: entry
        for shard in ledger.shards(output)
        if counting.run_id in shard
        for identity, entry in ledger.read_shard(shard, ())
    }
    found = notes(entries.values(), read_reference(model, counting.model_version))
    for note in found:
        for warning in note.warnings:
            logging.getLogger(__name__).warning("drift: %s", warning)
    text = json.dumps([asdict(note) for note in found])
    files.write_atomically(_notes_file(output, counting.run_id), [text.encode()])


def notes_of_run(output: str, run_id: str) -> list[dict[str, Any]]:
    """What ``note_run`` kept, as it stands in run.json."""
    found: list[dict[str, Any]] = json.loads(files.read_bytes(_notes_file(output, run_id)))
    return found


def forget_notes(output: str, run_id: str) -> None:
    """Removes what ``note_run`` kept, once run.json holds it."""
    files.delete_if_there(_notes_file(output, run_id))


def _notes_file(output: str, run_id: str) -> str:
    return files.join(ledger.folder(output), f"{run_id}.drift.json")


def read_reference(model: str, model_version: str) -> list[int] | None:
    """The histogram beside a model, if there is one and it is of that model."""
    name = files.join(model, REFERENCE_FILE)
    if not files.exists(name):
        return None
    reference: dict[str, Any] = json.loads(files.read_bytes(name))
    return reference["histogram"] if reference.get("model_version") == model_version else None
