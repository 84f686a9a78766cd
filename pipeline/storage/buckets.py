"""Objects in Google Cloud Storage, read in ranges.

Beam's own reader fetches 16 MiB at every jump. A decoder jumps often: to the header, to its
segment, and in a FLAC file about twenty times in search of it. Here a jump costs 256 KiB, and
sequential reads fetch ever longer ranges.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from model.audio.seekable import SeekableFile
from pipeline.options.extras import remedy_for

FIRST_RANGE_BYTES = 256 * 1024
LONGEST_RANGE_BYTES = 4 * 1024 * 1024
"""At most so much is read in vain past a segment's end."""


def is_emulated() -> bool:
    """Whether an emulator serves the buckets; it needs no credentials."""
    return "STORAGE_EMULATOR_HOST" in os.environ


def connect_anonymously_to_emulator() -> None:
    """Spares the search for credentials, 20 s of retries, where an emulator needs none.

    Beam has no option for this; it looks for credentials once in a process.
    """
    if is_emulated():
        from apache_beam.internal.gcp.auth import _ApitoolsCredentialsAdapter, _Credentials
        from google.auth.credentials import AnonymousCredentials

        _Credentials._credentials = _ApitoolsCredentialsAdapter(AnonymousCredentials())
        _Credentials._credentials_init = True


def has_credentials() -> bool:
    """Whether this machine may ask Google Cloud for anything; without, the libraries would try for
    minutes."""
    if is_emulated():
        return True
    from google.auth import default
    from google.auth.exceptions import DefaultCredentialsError

    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")  # seconds, for each of three attempts
    try:
        default()
    except DefaultCredentialsError:
        return False
    return True


def storage_client() -> Any:
    """This process's google-cloud-storage client, with Beam's credentials where Beam is loaded.

    A look into a bucket need not wait the two seconds that Beam takes to load.
    """
    return _client("apache_beam" in sys.modules)


@functools.lru_cache(maxsize=2)
def _client(of_beam: bool) -> Any:
    try:
        if of_beam:
            connect_anonymously_to_emulator()
            from apache_beam.io.gcp.gcsio import GcsIO

            return GcsIO().client
        from google.cloud.storage import Client
    except ImportError as error:
        raise OSError(f"gs:// {remedy_for(error) or error}") from None
    return Client.create_anonymous_client() if is_emulated() else Client(project=None)


def forget_clients() -> None:
    """Lets the next look into a bucket connect anew."""
    _client.cache_clear()


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns errors of the libraries into OSError with a message of one line."""
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import InvalidResponse
    from requests import RequestException

    try:
        yield
    except (GoogleAPIError, GoogleAuthError, InvalidResponse, RequestException) as error:
        said = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        kind = FileNotFoundError if isinstance(error, NotFound) else OSError
        raise kind(said) from error


def remove(uri: str) -> None:
    """Removes an object, if it exists."""
    from google.api_core.exceptions import NotFound
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, name = located(uri)
    with suppress(NotFound):  # two runs may tidy up at once
        bucket.blob(name).delete(retry=DEFAULT_RETRY)


_SENT_AT_ONCE = 16 * 1024 * 1024


@contextmanager
def uploading(uri: str) -> Iterator[Callable[[bytes], object]]:
    """Gives a function that adds to an object, which appears when the upload is complete."""
    bucket, name = located(uri)
    with (
        plain_errors(),
        bucket.blob(name).open(
            "wb", chunk_size=_SENT_AT_ONCE, content_type="application/octet-stream"
        ) as file,
    ):
        yield file.write


def located(uri: str) -> tuple[Any, str]:
    """The bucket and the name in it. Raises OSError for a URI of another store."""
    if not uri.startswith("gs://"):
        raise OSError(f"{uri}: of all URIs only gs:// is understood")
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return storage_client().bucket(bucket), name


def object_named(uri: str) -> Any:
    """An object's size, generation and checksum, by one request; None if there is none."""
    bucket, name = located(uri)
    with plain_errors():
        return bucket.get_blob(name)


def list_objects(prefix: str, at_most: int | None = None) -> Iterator[Any]:
    """The objects with a prefix, in order of their names, a thousand a request."""
    bucket, name = located(prefix)
    with plain_errors():
        yield from bucket.list_blobs(prefix=name, max_results=at_most)


def list_level(prefix: str) -> Any:
    """The objects directly in a folder. After iteration its folders are in ``prefixes``."""
    bucket, name = located(prefix)
    return bucket.list_blobs(prefix=name, delimiter="/")


def uri_of(blob: Any) -> str:
    """An object's name with its bucket."""
    return f"gs://{blob.bucket.name}/{blob.name}"


def folders_of(folder: str) -> list[str]:
    """Names of the folders in a folder, sorted."""
    level = list_level(f"{folder}/")
    for _ in level.pages:  # each page adds prefixes
        pass
    return sorted(prefix.rstrip("/").rpartition("/")[2] for prefix in level.prefixes)


class ObjectFile(SeekableFile):
    """A bucket object as a file that can seek. Reads stay with the object's generation at opening.

    google-cloud-storage repeats requests after 429, 5xx and broken connections for up to two
    minutes.

    Args:
        uri: for example ``gs://bucket/night/a.wav``.
        generation: from a listing; by default the newest.
        size: of that generation, from the listing; saves a request.
        at_once: fetch the whole object with the first request.

    Attributes:
        requests, fetched_bytes: cost of reading so far.
        is_at_hand: the first request fetches all of it.

    Raises:
        OSError: the object does not exist (any more), or is out of reach.
    """

    def __init__(
        self, uri: str, generation: str = "", size: int = -1, *, at_once: bool = False
    ) -> None:
        super().__init__()
        self._uri, self._generation = uri, generation
        self.requests = self.fetched_bytes = 0
        bucket, name = located(uri)
        if generation and size >= 0:
            self._blob = bucket.blob(name, generation=int(generation))
            self._size = size
        else:
            asked = {"generation": int(generation)} if generation else {}
            self._blob = self._ask(lambda: bucket.get_blob(name, **asked))
            if self._blob is None:
                raise FileNotFoundError(self._absent())
            self._size = self._blob.size or 0
        self.is_at_hand = at_once
        self._first_bytes = max(self._size, 1) if at_once else FIRST_RANGE_BYTES
        self._head = b""
        self._range_start, self._range = 0, b""

    def read(self, n_bytes: int | None = -1) -> bytes:
        end = self._size
        if n_bytes is not None and n_bytes >= 0:
            end = min(end, self._position + n_bytes)
        pieces = []
        while self._position < end:
            start, content = self._fetched_at(self._position)
            piece = content[self._position - start : end - start]
            pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _fetched_at(self, position: int) -> tuple[int, bytes]:
        """The start and content of a fetched range with ``position``. The first range stays."""
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
        self.requests += 1
        try:
            with plain_errors():
                return request()
        except FileNotFoundError:
            raise FileNotFoundError(self._absent()) from None

    def _absent(self) -> str:
        changed = ", or it was overwritten after it was listed; run it again"
        return f"no such object any more: {self._uri}{changed if self._generation else ''}"
