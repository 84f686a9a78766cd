"""Shares of a listing: how it is cut, and what each share has done.

Several runs with one output may share the recordings out among them, on one machine or on many. All
list the same recordings and cut the listing in the same way, whatever is done already; each counts
its own share, writes scores, entries and files of parts, and leaves a *record* here, in
``ledger/shares``. A later run joins the tables and adds the records up.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline.inference.count import Counting, digest
from pipeline.inputs.manifests import list_recordings
from pipeline.inputs.versions import NOTHING_LISTED, Listings, Others
from pipeline.options import Config
from pipeline.options.values import Share
from pipeline.records import Listed
from pipeline.storage import files
from pipeline.storage.sealed import read_if_whole, write_sealed
from pipeline.store import parts
from pipeline.store.sums import Sums

EACH_BYTES = 256 * 1024
"""What a recording weighs beyond its bytes: opening and keeping account of it."""
WHOLE_PARTS = 8
"""A part of at most a share's eighth is not divided."""


def cut(sizes: Mapping[str, int], of: int) -> dict[str, int]:
    """Numbers of the shares of recordings, from 1, by identity.

    Recordings lie side by side in the order of their parts and names, as wide as they weigh, and
    the line is cut into equal stretches. What lies across a cut goes to where its middle is: a
    small part as a whole, of a larger one each recording. So a share weighs at most its equal
    stretch and the heaviest of what was not divided, and at most ``of`` - 1 parts are divided
    among neighbours.

    Args:
        sizes: bytes by identity; less than 0 where they are not known.
        of: how many shares.
    """
    by_part: dict[str, list[str]] = defaultdict(list)
    for identity in sorted(sizes):
        by_part[parts.part_of(identity)].append(identity)
    weights = {identity: max(0, size) + EACH_BYTES for identity, size in sizes.items()}
    total, end = sum(weights.values()), 0
    numbers: dict[str, int] = {}

    def number_at(begin: int, end: int) -> int:
        return min(of, 1 + (begin + end) * of // (2 * total))

    for _, some in sorted(by_part.items()):
        begin, end = end, end + sum(weights[one] for one in some)
        is_whole = (end - begin) * of * WHOLE_PARTS <= total
        at = begin
        for one in some:
            span = (begin, end) if is_whole else (at, at + weights[one])
            numbers[one] = number_at(*span)
            at += weights[one]
    return numbers


@dataclass(frozen=True)
class ShareListing:
    """A share's recordings, and what they were cut from.

    Attributes:
        recordings: those of the share.
        others: how many files were passed over, by kind.
        listing: digest of names and sizes of all that was listed.
        n_listed: how many recordings that were.
    """

    recordings: Sequence[Listed]
    others: Others
    listing: str
    n_listed: int


def list_share(config: Config, listings: Listings = NOTHING_LISTED) -> ShareListing:
    """Lists what is named, and of that a share: ``config.share``, or all.

    Copies are told among all that is listed, so that the shares count what one run would.

    Args:
        config: what was asked.
        listings: results of earlier listings, by pattern.
    """
    others: Others = Counter()
    sizes: dict[str, int] = {}

    def own(completed: Sequence[Listed]) -> set[str]:
        sizes.update((one.identity, one.size) for one in completed)
        if config.share is None:
            return set(sizes)
        numbers = cut(sizes, config.share.of)
        return {of for of, number in numbers.items() if number == config.share.number}

    recordings = list_recordings(config, listings, others=others, only=own)
    listing = hashlib.sha256()
    for identity, size in sorted(sizes.items()):
        listing.update(f"{size} {identity}\n".encode())
    return ShareListing(recordings, others, listing.hexdigest()[:16], len(sizes))


@dataclass(frozen=True)
class Record:
    """A share that a run counts, or has counted.

    Attributes:
        named: digest of the patterns and manifests. settings: digest of the settings.
        configuration: as it was asked for, as JSON.
        started, finished: ISO 8601, with a zone; ``finished`` is empty while the run goes on, or
            when it was killed, and then the rest says nothing.
        listing: digest of the whole listing. n_listed: its recordings.
        inputs: recordings of the share; sums: of those that this run counted.
        others: files passed over in the whole listing, by kind.
        remarks: as they were printed.
    """

    run_id: str
    share: Share
    named: str
    settings: str
    configuration: Mapping[str, Any]
    started: str
    finished: str = ""
    listing: str = ""
    n_listed: int = 0
    inputs: int = 0
    sums: Sums = field(default_factory=Sums)
    others: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @classmethod
    def begun(cls, config: Config, counting: Counting, started: datetime) -> Record:
        """What can be said of a share when its run starts."""
        assert config.share
        return cls(
            *(counting.run_id, config.share, named_of(config), way_of_counting(config, counting)),
            *(asdict(config), started.isoformat()),
        )

    def write(self, output: str) -> None:
        """Leaves it for whoever joins."""
        write_sealed(_record_file(output, self.run_id), asdict(self), copies=2)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Record:
        """Reads what ``write`` wrote."""
        share, sums = Share(*raw["share"]), Sums.from_json(raw["sums"])
        return cls(**{**raw, "share": share, "sums": sums, "remarks": tuple(raw["remarks"])})


def withdraw(output: str, run_id: str) -> None:
    """Removes the record of a run that refused its recordings."""
    files.delete_if_there(_record_file(output, run_id))


def named_of(config: Config) -> str:
    """Digest of what a run names: its patterns and manifests."""
    names = sorted(map(files.identity, (*config.inputs, *config.manifests)))
    return digest(*names)


def way_of_counting(config: Config, counting: Counting) -> str:
    """Digest of how the recordings are listed and counted."""
    of = replace(counting, run_id="")
    return digest(asdict(of), config.keep_copies, config.time_zone, config.retry_failed)


def _folder(output: str) -> str:
    return files.join(parts.ledger(output), "shares")


def _record_file(output: str, run_id: str) -> str:
    return files.join(_folder(output), f"{run_id}.json")


@dataclass(frozen=True)
class Cut:
    """A listing that was cut into shares, and what has been done of it.

    Attributes:
        named: digest of what was named.
        of: how many shares.
        records: of what has ended, by number of the share, of each the last.
        begun: by number, what was begun last and has not ended.
    """

    named: str
    of: int
    records: Mapping[int, Record] = field(default_factory=dict)
    begun: Mapping[int, Record] = field(default_factory=dict)

    @property
    def ended(self) -> list[Record]:
        """Records of the shares that have ended, and were not begun again since."""
        return [
            record
            for number, record in sorted(self.records.items())
            if number not in self.begun or self.begun[number].run_id <= record.run_id
        ]

    @property
    def missing(self) -> list[int]:
        """Numbers of the shares that have not."""
        return sorted({*range(1, self.of + 1)} - {record.share.number for record in self.ended})

    @property
    def runs(self) -> list[Record]:
        """Its runs, in the order in which they started."""
        return sorted([*self.records.values(), *self.begun.values()], key=lambda one: one.run_id)

    def to_json(self) -> dict[str, Any]:
        """For run.json, as ``missing_in_words`` reads it."""
        return {"of": self.of, "missing": self.missing}


def missing_in_words(shares: Mapping[str, Any]) -> str:
    """Which shares are missing, and the remedy; empty if none is.

    >>> missing_in_words({"of": 3, "missing": []})
    ''
    """
    names = [f"{number}/{shares['of']}" for number in shares["missing"]]
    if not names:
        return ""
    some = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return (
        f"{len(names):,} of {shares['of']:,} shares missing ({some}): run them again and join, or "
        "count once without --share; what is done stays"
    )


def cuts(output: str) -> list[Cut]:
    """The cuts that hold in an output, in the order of their last runs."""
    return cuts_of(read_records(output))


def read_records(output: str) -> list[Record]:
    """All records that lie there now, but for those that are damaged."""
    names = record_files(output)
    return [Record.from_json(raw) for raw in files.read_ahead(read_if_whole, names) if raw]


def cuts_of(records: Iterable[Record]) -> list[Cut]:
    """The cuts that hold, in the order of their last runs: of what was named, the last to be cut.

    Shares of another listing, of another number or with other settings do not go together.
    """
    in_order = sorted(records, key=lambda record: record.run_id)
    by_cut: dict[tuple[str, int, str, str], dict[int, Record]] = defaultdict(dict)
    for record in filter(lambda one: one.finished, in_order):
        key = record.named, record.share.of, record.settings, record.listing
        by_cut[key][record.share.number] = record
    of_named: dict[str, Cut] = {}
    some = [Cut(named, of, records) for (named, of, *_), records in by_cut.items()]
    for one in sorted(some, key=lambda one: one.runs[-1].run_id):
        of_named[one.named] = one
    for begun in filter(lambda one: not one.finished, in_order):
        number, of = begun.share
        before = of_named.get(begun.named)
        if before is None or (before.of != of and before.runs[-1].run_id < begun.run_id):
            before = Cut(begun.named, of)
        if before.of == of:
            of_named[begun.named] = replace(before, begun={**before.begun, number: begun})
    return sorted(of_named.values(), key=lambda one: one.runs[-1].run_id)


def outstanding(output: str, named: str) -> list[Cut]:
    """Cuts with shares missing, apart from what a run covers that names all of it."""
    return [one for one in cuts(output) if one.missing and one.named != named]


def record_files(output: str) -> list[str]:
    """The files of all records that lie there now."""
    return files.list_folder(_folder(output), ".json")


def forget(names: Iterable[str], kept: Iterable[Cut], killed_before: str = "") -> None:
    """Removes records whose shares are joined, but for those of some cuts.

    Args:
        names: of files, listed before the tables were joined.
        kept: whose records stay.
        killed_before: a name of a run; of earlier ones that have not ended nothing stays.
    """
    of_kept = {
        record.run_id
        for one in kept
        for record in one.runs
        if record.finished or record.run_id >= killed_before
    }
    for name in names:
        if posixpath.basename(name).removesuffix(".json") not in of_kept:
            files.delete_if_there(name)


def as_config(configuration: Mapping[str, Any]) -> Config:
    """What was asked for, from what ``Record.configuration`` keeps of it, but for the share."""
    raw: dict[str, Any] = {
        name: tuple(of) if isinstance(of, list) else of for name, of in configuration.items()
    }
    return Config(**{**raw, "moved": tuple(map(tuple, raw["moved"])), "share": None})
