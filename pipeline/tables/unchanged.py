"""Which files hold already what would be written, so that a run touches only what it changes."""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from contextlib import suppress
from os.path import commonprefix

from pipeline.storage import files


def checksums_of(names: Collection[str]) -> dict[str, str]:
    """Checksums of those files that are there; of gs:// by listing, unread.

    Stores other than gs:// tell no checksums, so that nothing is found in them.
    """
    found: dict[str, str] = {}
    of_folder: dict[str, list[str]] = {}
    for name in names:
        of_folder.setdefault(posixpath.dirname(name), []).append(name)
    for some in of_folder.values():
        if some[0].startswith("gs://"):
            from pipeline.storage.buckets import storage_client

            # Names of a part begin alike, so that little else is listed.
            bucket, _, prefix = commonprefix(some).removeprefix("gs://").partition("/")  # noqa: RUF071
            for blob in storage_client().list_blobs(bucket, prefix=prefix):
                found[f"gs://{bucket}/{blob.name}"] = blob.crc32c or ""
        elif files.is_local(some[0]):
            for name in some:
                with suppress(FileNotFoundError):
                    found[name] = files.checksum([files.read_bytes(name)])
    return {name: found[name] for name in names if name in found}
