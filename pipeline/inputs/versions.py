"""What lies behind a pattern, and which version of it: what the ledger tells contents apart by."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.records import Listed
from pipeline.storage import files
from pipeline.storage.buckets import list_level, list_objects, object_named, plain_errors

CHECKED_BYTES = 64 * 1024 * 1024
"""Files up to this size get a checksum; reading longer ones twice would cost more than it tells."""
_PIECE_BYTES = 1 << 16  # larger pieces get fresh memory each, and filling that takes twice as long


Listings = Mapping[str, Sequence[Listed]]
"""By pattern: all recordings that it stands for."""

NOTHING_LISTED: Listings = {}


@dataclass(frozen=True)
class Part:
    """A part of what a pattern stands for: a bucket's objects below a prefix, or all of it."""

    pattern: str
    prefix: str = ""


def list_pattern(pattern: str, listings: Listings = NOTHING_LISTED) -> Iterator[Listed]:
    """The recordings that a file name, a folder or a pattern stands for, as they are found.

    Args:
        pattern: what was asked for.
        listings: what is known of patterns already; those are not listed again.
    """
    if pattern in listings:
        yield from listings[pattern]
        return
    for part in parts_of(pattern):
        yield from list_part(part)


def parts_of(pattern: str) -> Iterator[Part | Listed]:
    """What a pattern stands for, in parts that several workers can list, and what was found so far.

    A bucket is asked for the folders of one level: each is a part. Where there is but one folder,
    the next level is looked at.
    """
    if not pattern.startswith("gs://"):
        yield Part(pattern)
        return
    bucket, _, path = pattern.removeprefix("gs://").partition("/")
    folder = path.removesuffix("/**")
    if not glob.has_magic(folder):
        is_name = path == folder and not path.endswith("/")
        found = _first_below(bucket, path) if is_name else None
        if found and found.recording == pattern:
            yield found
            return
        prefix = folder.rstrip("/")
        prefix = f"{prefix}/" if prefix else ""
        pattern = f"gs://{bucket}/{prefix}**"
    else:
        prefix = _fixed(path)
    means = _meaning(pattern)
    folders = [prefix]
    while len(folders) == 1:
        blobs = list_level(bucket, folders[0])
        with plain_errors():
            yield from (known for known in map(_as_listed, blobs) if means(known.recording))
        folders = sorted(filter(lambda folder: _may_hold(bucket, folder, pattern), blobs.prefixes))
    yield from (Part(pattern, f"gs://{bucket}/{folder}") for folder in folders)


def list_part(part: Part | Listed) -> Iterator[Listed]:
    """The recordings of a part; what was found already is passed on."""
    if isinstance(part, Listed):
        yield part
    elif part.prefix:
        means = _meaning(part.pattern)
        found = map(_as_listed, list_objects(part.prefix))
        yield from (known for known in found if means(known.recording))
    else:
        yield from map(Listed, files.expand(part.pattern))


def _fixed(path: str) -> str:
    """What all names that a pattern may stand for begin with."""
    wild = glob.magic_check.search(path)  # type: ignore[attr-defined]
    return path[: wild.start()] if wild else path


def _may_hold(bucket: str, folder: str, pattern: str) -> bool:
    """Whether a pattern reaches into a folder: only two stars pass a slash."""
    return "**" in pattern or f"gs://{bucket}/{folder}".count("/") <= pattern.count("/")


def _meaning(pattern: str) -> Callable[[str], bool]:
    """Whether a pattern in a bucket means an object. Two stars at its end mean recordings only."""
    matches = re.compile(as_expression(pattern)).match
    if pattern.endswith("/**"):
        return lambda name: bool(matches(name)) and files.is_recording(name)
    return lambda name: bool(matches(name)) and files.is_meant(name, pattern)


_WILD = re.compile(r"\*\*|\*|\?|\[!?\]?[^\]]*\]")
_MEANS = {"**": ".*", "*": "[^/]*", "?": "."}


def as_expression(pattern: str) -> str:
    """A pattern as a regular expression, with Apache Beam's meaning: two stars pass slashes.

    >>> bool(re.match(as_expression("gs://b/*/[!x]?.wav"), "gs://b/n1/a1.wav"))
    True
    """
    found, end = "(?s)", 0
    for wild in _WILD.finditer(pattern):
        found += re.escape(pattern[end : wild.start()])
        found += _MEANS.get(wild[0]) or _one_of(wild[0][1:-1])
        end = wild.end()
    return found + re.escape(pattern[end:]) + r"\Z"


def _one_of(letters: str) -> str:
    inverts = letters.startswith("!")
    kept = letters.removeprefix("!").replace("\\", r"\\").replace("[", r"\[")
    kept = re.sub(r"^[\^\]]", r"\\\g<0>", kept)
    return f"[{'^' if inverts else ''}{kept}]"


def _as_listed(blob: Any) -> Listed:
    name = f"gs://{blob.bucket.name}/{blob.name}"
    return Listed(name, blob.size or 0, str(blob.generation), blob.crc32c or "")


def _first_below(bucket: str, prefix: str) -> Listed | None:
    """The first object whose name begins so; a name itself comes before longer ones."""
    return next(map(_as_listed, list_objects(f"gs://{bucket}/{prefix}", at_most=1)), None)


def with_version(known: Listed) -> Listed:
    """Adds size and stamp where the listing did not tell. A vanished file stays without."""
    if known.stamp:
        return known
    if files.is_local(known.recording):
        try:
            status = os.stat(known.recording)
        except OSError:
            return known
        return replace(known, size=status.st_size, stamp=str(status.st_mtime_ns))
    if known.recording.startswith("gs://"):
        blob = object_named(known.recording)
        return replace(_as_listed(blob), place=known.place) if blob else known
    return _last_updated(known)


def _last_updated(known: Listed) -> Listed:
    """Size and time of change by Apache Beam's file systems: what other stores than gs:// offer."""
    from apache_beam.io.filesystems import FileSystems

    for found in FileSystems.match([known.recording])[0].metadata_list:
        stamp = str(found.last_updated_in_seconds or "")
        return replace(known, size=found.size_in_bytes, stamp=stamp)
    return known


def content_checksum(name: str) -> str:
    """Checksum of a local file, as buckets state it; empty for a long file.

    Raises:
        OSError: it cannot be read.
    """
    if os.path.getsize(name) > CHECKED_BYTES:
        return ""
    with open(name, "rb") as file:
        return files.checksum(iter(lambda: file.read(_PIECE_BYTES), b""))
