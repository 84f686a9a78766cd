"""Which files hold already what would be written, so that a run touches only what it changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from pipeline.storage import files


def checksums_below(folder: str) -> Iterator[tuple[str, str]]:
    """Names and checksums of all files below a folder; of gs:// by one listing, unread.

    Stores other than gs:// tell no checksums, so that nothing is found in them.
    """
    if folder.startswith("gs://"):
        from pipeline.storage.buckets import storage_client

        bucket, _, path = folder.removeprefix("gs://").partition("/")
        for blob in storage_client().list_blobs(bucket, prefix=f"{path}/"):
            yield f"gs://{bucket}/{blob.name}", blob.crc32c or ""
        return
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with suppress(FileNotFoundError):  # another run's temporary file
                yield path, files.checksum([files.read_bytes(path)])
