"""Expands patterns to recordings with their versions, which tell contents apart."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.records import Listed
from pipeline.storage import files
from pipeline.storage.buckets import (
    list_level,
    list_objects,
    object_named,
    plain_errors,
    uri_of,
)

CHECKED_BYTES = 64 * 1024 * 1024
"""Files up to this size get a checksum; reading longer ones twice costs too much."""
_PIECE_BYTES = 1 << 16  # larger pieces get fresh memory each, and filling that takes twice as long


Others = Counter[str]
"""How many files were passed over, by kind; see ``storage.passed_over``."""


class Listing(list[Listed]):
    """All recordings of a pattern.

    Attributes:
        others: how many files the listing passed over, by kind.
    """

    def __init__(self, recordings: Iterable[Listed] = (), others: Others | None = None) -> None:
        super().__init__(recordings)
        self.others: Others = Counter() if others is None else others


Listings = Mapping[str, Listing]
"""By pattern."""

NOTHING_LISTED: Listings = {}


@dataclass(frozen=True)
class Part:
    """A part of a pattern's files: a bucket's objects below a prefix, or all of them."""

    pattern: str
    prefix: str = ""


def list_pattern(
    pattern: str, listings: Listings = NOTHING_LISTED, others: Others | None = None
) -> Iterator[Listed]:
    """Yields the recordings of a file name, a folder or a pattern.

    Args:
        pattern: name, folder or pattern.
        listings: results of earlier listings, which the function reuses.
        others: counts the files that this passes over, by kind.
    """
    if pattern in listings:
        yield from listings[pattern]
        return
    for part in parts_of(pattern, others):
        yield from list_part(part, others)


def parts_of(pattern: str, others: Others | None = None) -> Iterator[Part | Listed]:
    """Divides a pattern into parts for several workers; yields recordings on upper levels itself.

    Each folder of a bucket's first level is a part; with one folder only, those of the next level.

    Args:
        pattern: name, folder or pattern.
        others: counts the files that this passes over on upper levels, by kind.
    """
    if not pattern.startswith("gs://"):
        yield Part(pattern)
        return
    bucket, _, path = pattern.removeprefix("gs://").partition("/")
    folder = path.removesuffix("/**")
    if not glob.has_magic(folder):
        is_name = path == folder and not path.endswith("/")
        exact = _first_below(bucket, path) if is_name else None
        if exact and exact.recording == pattern:
            yield exact
            return
        prefix = folder.rstrip("/")
        prefix = f"{prefix}/" if prefix else ""
        pattern = f"gs://{bucket}/{prefix}**"
    else:
        prefix = _fixed(path)
    means = _meaning(pattern, others)
    folders = [prefix]
    while len(folders) == 1:
        blobs = list_level(f"gs://{bucket}/{folders[0]}")
        with plain_errors():
            yield from (listed for listed in map(_as_listed, blobs) if means(listed.recording))
        folders = sorted(filter(lambda folder: _may_hold(bucket, folder, pattern), blobs.prefixes))
    yield from (Part(pattern, f"gs://{bucket}/{folder}") for folder in folders)


def list_part(part: Part | Listed, others: Others | None = None) -> Iterator[Listed]:
    """Yields the recordings of a part; passes a recording on.

    Args:
        part: of a pattern's files.
        others: counts the files that this passes over, by kind.
    """
    if isinstance(part, Listed):
        yield part
    elif part.prefix:
        means = _meaning(part.pattern, others)
        objects = map(_as_listed, list_objects(part.prefix))
        yield from (listed for listed in objects if means(listed.recording))
    else:
        yield from map(Listed, files.expand(part.pattern, others))


def _fixed(path: str) -> str:
    """The common beginning of all names that match a pattern."""
    wild = glob.magic_check.search(path)  # type: ignore[attr-defined]
    return path[: wild.start()] if wild else path


def _may_hold(bucket: str, folder: str, pattern: str) -> bool:
    """Whether a pattern reaches into a folder: only two stars pass a slash."""
    return "**" in pattern or f"gs://{bucket}/{folder}".count("/") <= pattern.count("/")


def _meaning(pattern: str, others: Others | None = None) -> Callable[[str], bool]:
    """Whether a pattern in a bucket means an object."""
    matches = re.compile(as_expression(pattern)).match
    return lambda name: bool(matches(name)) and files.is_meant(name, pattern, others)


_WILD = re.compile(r"\*\*|\*|\?|\[!?\]?[^\]]*\]")
_MEANS = {"**": ".*", "*": "[^/]*", "?": "."}


def as_expression(pattern: str) -> str:
    """A pattern as a regular expression, with Apache Beam's meaning: two stars pass slashes.

    >>> bool(re.match(as_expression("gs://b/*/[!x]?.wav"), "gs://b/n1/a1.wav"))
    True
    """
    expression, end = "(?s)", 0
    for wild in _WILD.finditer(pattern):
        expression += re.escape(pattern[end : wild.start()])
        expression += _MEANS.get(wild[0]) or _one_of(wild[0][1:-1])
        end = wild.end()
    return expression + re.escape(pattern[end:]) + r"\Z"


def _one_of(letters: str) -> str:
    inverts = letters.startswith("!")
    kept = letters.removeprefix("!").replace("\\", r"\\").replace("[", r"\[")
    kept = re.sub(r"^[\^\]]", r"\\\g<0>", kept)
    return f"[{'^' if inverts else ''}{kept}]"


def _as_listed(blob: Any) -> Listed:
    return Listed(uri_of(blob), blob.size or 0, str(blob.generation), blob.crc32c or "")


def _first_below(bucket: str, prefix: str) -> Listed | None:
    """The first object whose name begins so; a name itself comes before longer ones."""
    return next(map(_as_listed, list_objects(f"gs://{bucket}/{prefix}", at_most=1)), None)


def with_version(listed: Listed) -> Listed:
    """Adds size and stamp where the listing has none; a missing file gets none."""
    if listed.stamp:
        return listed
    if files.is_local(listed.recording):
        try:
            status = os.stat(listed.recording)
        except OSError:
            return listed
        return replace(listed, size=status.st_size, stamp=str(status.st_mtime_ns))
    blob = object_named(listed.recording)
    return replace(_as_listed(blob), place=listed.place) if blob else listed


def content_checksum(name: str) -> str:
    """Checksum of a local file, as buckets state it; empty for a long file.

    Raises:
        OSError: the file is unreadable.
    """
    return "" if os.path.getsize(name) > CHECKED_BYTES else whole_checksum(name)


def whole_checksum(name: str) -> str:
    """The same of a local file of any length.

    Raises:
        OSError: the file is unreadable.
    """
    with open(name, "rb") as file:
        return files.checksum(iter(lambda: file.read(_PIECE_BYTES), b""))
