"""Parts: the recordings that are kept account of together, and where that lies.

A part holds the recordings of one recorder and day, judged by their names. Its key follows from a
recording's identity alone, so a listing says which parts a run touches, and whatever else an output
holds is left alone. A part stays small however large an archive grows: a day of one-minute
recordings is 1,440 of them, and numbers are taken by the hundred.

In ``ledger`` lie:

- ``parts/LABEL/HASH/*.jsonl.gz``: entries, see ``entries``;
- ``parts/LABEL/HASH/*.from``, ``*.to``: parts that it took over recordings from, or gave some to,
  when they were moved; ``*.night``: nights for which its recordings were listed;
- ``tables/KEY.part``: what the tables show of a part, see ``part_file``;
- ``nights/NIGHT/KEY.*.json``: recordings of a part that were listed for a night;
- ``unfinished/*.parquet``: scores on their way to ``scores/LABEL/HASH``;
- ``*.moved.json``, ``*.chosen.json``, ``*.base``: settings that hold for all later runs;
- ``*.started``: a run that has not ended, or that was killed; ``*.joining``: one that reads what
  its tables are to show; ``*.progress``: how far one is;
- ``shares/*.json``: shares that are counted or have been, see ``ledger.shares``.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.storage import files

_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?=(?:\d{6})?(?!\d))"
)
_AUDIOMOTH = re.compile(r"[0-9A-Fa-f]{8}")  # seconds since 1970: without four digits, 18 hours
_RANDOM = re.compile(r"[0-9A-Fa-f-]{16,}")
_NUMBER = re.compile(r"\d{3,}")
_LABEL_LENGTH = 40


def part_of(identity: str) -> str:
    """The key of the part that a recording belongs to: ``LABEL.HASH``.

    >>> part_of("/archive/S4A01_20240611_053000.wav").partition(".")[0]
    'S4A01_20240611'
    """
    folder, cut = _cut(identity)
    label = re.sub(r"[^\w-]", "_", cut or posixpath.basename(folder), flags=re.ASCII)
    digest = hashlib.sha256(f"{folder}/{cut}".encode("utf-8", "backslashreplace")).hexdigest()
    return f"{label[:_LABEL_LENGTH] or '_'}.{digest[:12]}"


def _cut(identity: str) -> tuple[str, str]:
    """A recording's folder, and what its name has in common with those of the same part."""
    folder, name = posixpath.split(identity)
    stem = posixpath.splitext(name)[0]
    if date := _DATE.search(stem):
        return folder, stem[: date.end()]
    if _DATE.search(posixpath.basename(folder)):
        return folder, ""
    if _AUDIOMOTH.fullmatch(stem):
        return folder, stem[:4]
    if _RANDOM.fullmatch(stem):
        return folder, stem[:3]
    numbers = list(_NUMBER.finditer(stem))
    return folder, stem[: numbers[-1].end() - 2] if numbers else ""


def ledger(output: str) -> str:
    """Where all this lies."""
    return files.join(output, "ledger")


def place(top: str, part: str) -> str:
    """A part's folder below ``top``.

    >>> place("scores", "night1.78a80f97bf60")
    'scores/night1/78a80f97bf60'
    """
    label, _, digest = part.partition(".")
    return files.join(files.join(top, label), digest)


def entries_folder(output: str, part: str) -> str:
    """Where a part's entries lie."""
    return place(files.join(ledger(output), "parts"), part)


def scores_folder(output: str, part: str) -> str:
    """Where a part's scores lie."""
    return place(files.join(output, "scores"), part)


@dataclass(frozen=True)
class PartFiles:
    """What lies in a part's folder now.

    Attributes:
        sources: the part, and those that it took over recordings from.
        entries: files with entries of all these.
        moves: marks of what it took over and gave away.
        nights: for which its recordings were listed.
    """

    sources: tuple[str, ...]
    entries: tuple[str, ...]
    moves: tuple[str, ...]
    nights: tuple[str, ...]

    @property
    def part(self) -> str:
        """The part's key."""
        return self.sources[0]


def look(output: str, part: str) -> PartFiles:
    """Lists a part's folder, and those of parts that it took over recordings from."""
    sources = [part]
    of_kind: dict[str, list[str]] = {".jsonl.gz": [], ".from": [], ".to": [], ".night": []}
    for source in sources:
        for name in files.list_folder(entries_folder(output, source), ""):
            for kind, names in of_kind.items():
                if name.endswith(kind) and (source == part or kind in (".jsonl.gz", ".from")):
                    names.append(name)
            if name.endswith(".from"):
                older = ".".join(posixpath.basename(name).split(".")[:2])
                sources += [older] if older not in sources else []
    nights = (posixpath.basename(name).removesuffix(".night") for name in of_kind[".night"])
    return PartFiles(
        tuple(sources),
        tuple(of_kind[".jsonl.gz"]),
        tuple(of_kind[".from"] + of_kind[".to"]),
        tuple(nights),
    )


def take_over(output: str, part: str, older: str, run_id: str) -> None:
    """Notes that a part's recordings, or some, were another part's before they were moved."""
    if part != older:
        taken = files.join(entries_folder(output, part), f"{older}.{run_id}.from")
        given = files.join(entries_folder(output, older), f"{part}.{run_id}.to")
        for name in (taken, given):
            files.write_atomically(name, [b""])


def all_parts(output: str) -> Iterator[str]:
    """The parts that hold entries, or took some over, each once for each file."""
    top = files.join(ledger(output), "parts")
    for name in files.list_below(top, ""):
        if name.endswith((".jsonl.gz", ".from")):
            label, digest, _ = name.rsplit("/", 3)[1:]
            yield f"{label}.{digest}"


def taken_by(output: str, part: str) -> list[str]:
    """Parts that took over recordings of a part."""
    given = files.list_folder(entries_folder(output, part), ".to")
    return [".".join(posixpath.basename(name).split(".")[:2]) for name in given]
