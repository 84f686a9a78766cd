"""Objects in Google Cloud Storage, read in ranges.

Beam's own reader fetches 16 MiB at every jump. A decoder jumps often: to the header, to the segment
it wants, and in a FLAC file about twenty times in search of it. Here a jump costs 256 KiB, and what
is then read in sequence comes in ever longer ranges.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

FIRST_RANGE_BYTES = 256 * 1024
LONGEST_RANGE_BYTES = (
    4 * 1024 * 1024
)  # what is fetched in vain past a segment's end is at most this


def is_emulated() -> bool:
    """Whether buckets are an emulator's, which asks for no credentials."""
    return "STORAGE_EMULATOR_HOST" in os.environ


def connect_anonymously_to_emulator() -> None:
    """Spares the search for credentials, 20 s of retries, where an emulator needs none.

    Beam offers no option for this: it looks once in a process and remembers what it found.
    """
    if is_emulated():
        from apache_beam.internal.gcp.auth import _ApitoolsCredentialsAdapter, _Credentials
        from google.auth.credentials import AnonymousCredentials

        _Credentials._credentials = _ApitoolsCredentialsAdapter(AnonymousCredentials())
        _Credentials._credentials_init = True


@functools.lru_cache(maxsize=1)
def storage_client() -> Any:
    """This process's google-cloud-storage client, with Beam's credentials."""
    connect_anonymously_to_emulator()
    from apache_beam.io.gcp.gcsio import GcsIO

    return GcsIO().client


def _parts(uri: str) -> tuple[Any, str]:
    """The bucket and the name in it."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return storage_client().bucket(bucket), name


def object_named(uri: str) -> Any:
    """An object's size, generation and checksum, by one request; None if there is none."""
    bucket, name = _parts(uri)
    return bucket.get_blob(name)


def list_below(prefix: str, at_most: int | None = None) -> Iterator[Any]:
    """The objects whose names begin so, in order of their names, a thousand a request."""
    bucket, name = _parts(prefix)
    return iter(bucket.list_blobs(prefix=name, max_results=at_most))


def list_level(bucket: str, prefix: str) -> Any:
    """The objects in a folder itself; afterwards ``prefixes`` of what is given has its folders."""
    return storage_client().bucket(bucket).list_blobs(prefix=prefix, delimiter="/")


class ObjectFile(io.RawIOBase):
    """A bucket object as a file that can seek. Reads stay with the object's generation at opening.

    What the server refuses for a while (429, 5xx, a broken connection) is tried again for up to two
    minutes by google-cloud-storage.

    Args:
        uri: for example ``gs://bucket/night/a.wav``.
        generation: the one that was listed; by default the newest.
        size: of that generation, where the listing has told it: it spares a request.
        at_once: fetch all of it with the first request.

    Attributes:
        requests, fetched_bytes: what reading has taken so far.

    Raises:
        OSError: there is no such object (any more), or it cannot be reached.
    """

    def __init__(
        self, uri: str, generation: str = "", size: int = -1, *, at_once: bool = False
    ) -> None:
        super().__init__()
        self._uri, self._generation = uri, generation
        self.requests = self.fetched_bytes = 0
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if generation and size >= 0:
            self._blob = storage_client().bucket(bucket).blob(name, generation=int(generation))
            self._size = size
        else:
            asked = {"generation": int(generation)} if generation else {}
            self._blob = self._ask(lambda: storage_client().bucket(bucket).get_blob(name, **asked))
            if self._blob is None:
                raise FileNotFoundError(self._absent())
            self._size = self._blob.size or 0
        self._first_bytes = max(self._size, 1) if at_once else FIRST_RANGE_BYTES
        self._position = 0
        self._head = b""
        self._range_start, self._range = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, n_bytes: int | None = -1) -> bytes:
        end = self._size
        if n_bytes is not None and n_bytes >= 0:
            end = min(end, self._position + n_bytes)
        pieces = []
        while self._position < end:
            start, known = self._known_at(self._position)
            piece = known[self._position - start : end - start]
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _known_at(self, position: int) -> tuple[int, bytes]:
        """A fetched range with ``position`` in it, and where it starts. The first is kept."""
        if position < len(self._head):
            return 0, self._head
        range_end = self._range_start + len(self._range)
        if not self._range_start <= position < range_end:
            length = self._first_bytes
            if position == range_end and position:
                length = max(length, min(2 * len(self._range), LONGEST_RANGE_BYTES))
            last = min(position + length, self._size) - 1
            self._range = self._ask(
                lambda: self._blob.download_as_bytes(
                    start=position, end=last, raw_download=True, checksum=None
                )
            )
            self._range_start = position
            self.fetched_bytes += len(self._range)
            if len(self._range) != last + 1 - position:
                raise OSError(f"{self._uri}: the bucket sent less than asked for; run it again")
            if position == 0:
                self._head = self._range
        return self._range_start, self._range

    def _ask(self, request: Callable[[], Any]) -> Any:
        """A request's answer; its errors as OSError, in one line."""
        from google.api_core import exceptions
        from google.cloud.storage.exceptions import InvalidResponse
        from requests import RequestException

        self.requests += 1
        try:
            return request()
        except exceptions.NotFound:
            raise FileNotFoundError(self._absent()) from None
        except (exceptions.GoogleAPIError, InvalidResponse, RequestException) as error:
            raise OSError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error

    def _absent(self) -> str:
        changed = ", or it was overwritten after it was listed; run it again"
        return f"no such object any more: {self._uri}{changed if self._generation else ''}"
