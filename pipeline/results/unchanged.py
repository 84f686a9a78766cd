"""Checksums of existing files, so that a run writes only files that change."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from contextlib import suppress
from os.path import commonprefix

from pipeline.storage import files


def checksums_of(names: Collection[str]) -> dict[str, str]:
    """Checksums of existing files; a listing of a bucket states them.

    The result is empty for stores other than disks and gs://, which state no checksums.
    """
    checksums: dict[str, str] = {}
    of_folder: dict[str, list[str]] = {}
    for name in names:
        of_folder.setdefault(posixpath.dirname(name), []).append(name)
    for some in of_folder.values():
        if some[0].startswith("gs://"):
            from pipeline.storage.buckets import storage_client

            # Names of a part begin alike, so that little else is listed.
            bucket, _, prefix = commonprefix(some).removeprefix("gs://").partition("/")  # noqa: RUF071
            for blob in storage_client().list_blobs(bucket, prefix=prefix):
                checksums[f"gs://{bucket}/{blob.name}"] = blob.crc32c or ""
        elif files.is_local(some[0]):
            for name in some:
                with suppress(FileNotFoundError):
                    checksums[name] = files.checksum([files.read_bytes(name)])
    return {name: checksums[name] for name in names if name in checksums}
