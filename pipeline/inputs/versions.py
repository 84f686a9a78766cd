"""What lies behind a pattern, and which version of it: what the ledger tells contents apart by."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import replace

from pipeline.records import Listed
from pipeline.storage import files

CHECKED_BYTES = 64 * 1024 * 1024
"""Files up to this size get a checksum; reading longer ones twice would cost more than it tells."""


def list_pattern(pattern: str) -> Iterator[Listed]:
    """The recordings that a file name, a folder or a pattern stands for, sorted."""
    if not pattern.startswith("gs://"):
        yield from map(Listed, files.expand(pattern))
        return
    from apache_beam.io.filesystem import FileSystem

    versions = _bucket_versions(pattern)  # one listing tells names and versions

    def match(wanted: str) -> list[str]:
        regex = re.compile(FileSystem.translate_pattern(wanted))
        return [name for name in versions if regex.match(name)]

    yield from (versions[name] for name in files.expand(pattern, match))


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
        found = _bucket_versions(known.recording).get(known.recording, known)
        return replace(found, place=known.place)
    return _last_updated(known)


def _bucket_versions(pattern: str) -> dict[str, Listed]:
    """Objects below the fixed beginning of a pattern, a thousand a request."""
    from pipeline.storage.buckets import storage_client

    bucket, _, path = pattern.removeprefix("gs://").partition("/")
    wild = glob.magic_check.search(path)  # type: ignore[attr-defined]
    prefix = path[: wild.start()] if wild else path
    found = {}
    for blob in storage_client().list_blobs(bucket, prefix=prefix):
        name = f"gs://{bucket}/{blob.name}"
        found[name] = Listed(name, blob.size or 0, str(blob.generation), blob.crc32c or "")
    return found


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
        return files.checksum(iter(lambda: file.read(1024 * 1024), b""))
