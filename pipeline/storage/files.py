"""Files here and in buckets by one name: a path or a URI such as ``gs://bucket/night/a.wav``.

``storage.buckets`` reaches buckets. The standard library handles local files: it knows relative
patterns and atomic renames.
"""

from __future__ import annotations

import base64
import glob
import os
import posixpath
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import IO, TypeVar
from uuid import uuid4

from model.audio.decoders import AudioError
from model.audio.recording import AUDIO_EXTENSIONS
from model.audio.system import replace
from pipeline.options.paths import as_path, as_text, slashed
from pipeline.storage import buckets
from pipeline.storage.passed_over import below, in_words, is_put_aside, is_system_folder, kind_of

_READS_AT_ONCE = 16
_COUNTED_IN_SYSTEM_FOLDERS = 1000  # a file server's snapshots hold all there ever was

_Read = TypeVar("_Read")


def is_local(name: str) -> bool:
    """Whether ``name`` is a path on this machine rather than a URI, which must be ``gs://…``."""
    return "://" not in name


def join(folder: str, name: str) -> str:
    """The name of a file in a folder, here or in a bucket."""
    return posixpath.join(folder, name)


def identity(name: str) -> str:
    """One string for all the ways to write a path, so that no recording is counted twice."""
    return as_text(slashed(os.path.abspath(name))) if is_local(name) else name


def expand(pattern: str, others: Counter[str] | None = None) -> list[str]:
    """The recordings of a file name, a folder or a pattern on this machine, sorted.

    An existing name is that file, even with brackets in it. In a folder, with or without ``/**``
    behind it, the function takes audio files of all levels except those that ``passed_over`` tells
    by their names (macOS leaves ``._`` files beside recordings, Windows deleted ones).

    Args:
        pattern: name, folder or pattern.
        others: counts the files that this passes over, by kind.

    Raises:
        OSError: a folder cannot be listed.
    """
    others = Counter() if others is None else others
    pattern = slashed(as_path(pattern))
    folder = pattern.removesuffix("/**")
    if not glob.has_magic(folder) and os.path.isdir(folder):
        pattern = folder
    if os.path.isdir(pattern):
        paths = _audio_in_folder(pattern, others)
    elif os.path.exists(pattern):
        paths = iter([pattern])
    else:
        matched = sorted({*map(slashed, filter(os.path.isfile, _glob_with_brackets(pattern)))})
        paths = (path for path in matched if is_meant(path, pattern, others))
    return sorted({as_text(slashed(os.path.normpath(path))) for path in paths})


def is_meant(name: str, pattern: str, others: Counter[str] | None = None) -> bool:
    """Whether a pattern that matches a file means it.

    Two stars at its end mean recordings only. Any other means whatever matches, but nothing that is
    hidden, deleted or unfinished, unless it says so; and nothing that only marks a folder.

    Args:
        name: of the file.
        pattern: matches it.
        others: counts the files that this passes over, by kind.
    """
    base, last = posixpath.basename(name), posixpath.basename(pattern)
    if not base:
        return False
    kind = kind_of(below(name, pattern))
    is_passed = bool(kind) if last == "**" else is_put_aside(kind)
    is_named = last.startswith(".") or posixpath.splitext(last)[1] == kind
    if is_passed and (last == "**" or not is_named):
        if others is not None:
            others[kind] += 1
        return False
    return True


def _glob_with_brackets(pattern: str) -> list[str]:
    """What a pattern matches; brackets in the names of its folders need no escape.

    A folder that is called so is that folder. Brackets that match nothing mean themselves.
    """
    parts = pattern.split("/")
    for n, part in enumerate(parts[:-1]):
        if glob.has_magic(part):
            if not os.path.isdir("/".join(pattern.split("/")[: n + 1])):
                break
            parts[n] = glob.escape(part)
    return list(_glob("/".join(parts))) or list(_glob(pattern.replace("[", "[[]")))


def _glob(pattern: str) -> Iterator[str]:
    """Like ``glob`` with ``recursive``, but each folder once, whatever links lead to it."""
    parts = pattern.split("/")
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    star = parts.index("**")
    rest = parts[star + 1 :] or ["*"]
    for top in glob.iglob("/".join([*parts[:star], ""])) if star else [""]:
        for folder in _folders(top):
            yield from _glob(os.path.join(glob.escape(folder), *rest))


def _folders(top: str) -> Iterator[str]:
    """A folder and all below it, each once. What lies there itself comes before links to it."""
    seen: set[tuple[int, int]] = set()
    tops = [top]
    while tops:
        links: list[str] = []
        for parent, names, _ in os.walk(tops.pop(0) or ".", onerror=_refuse):
            names[:] = sorted(name for name in names if not is_system_folder(name))
            status = os.stat(parent)
            if (status.st_dev, status.st_ino) in seen:
                names.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            yield parent
            paths = (os.path.join(parent, name) for name in names)
            links += (path for path in paths if os.path.islink(path))
        tops += links


def _audio_in_folder(folder: str, others: Counter[str]) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        for name in filter(is_system_folder, folders):
            lie_there = (1 for _, _, some in os.walk(os.path.join(parent, name)) for _ in some)
            others[f"{name}/"] += sum(islice(lie_there, _COUNTED_IN_SYSTEM_FOLDERS))
        folders[:] = [name for name in folders if not is_system_folder(name)]
        for name in names:
            if kind := kind_of(name):
                others[kind] += 1
            else:
                yield os.path.join(parent, name)


def _refuse(error: OSError) -> None:
    """What a search that comes upon a folder does which it may not read: all or nothing."""
    if not isinstance(error, FileNotFoundError):
        raise OSError(
            f"{as_text(str(error.filename))}: this folder cannot be listed ({error.strerror}), so "
            "its recordings would be passed over; change its permissions, or name the others only"
        ) from None


def why_nothing(pattern: str) -> str:
    """Why a pattern matches no recording, and a remedy."""
    if not (is_local(pattern) and os.path.isdir(pattern)):
        return "matches no file; check the spelling, and quote patterns"
    if links := linked_folders(pattern):
        return f"holds only links to folders ({links[0]}), which are not followed; name them"
    kinds = ", ".join(sorted(kind.removeprefix(".") for kind in AUDIO_EXTENSIONS))
    others: Counter[str] = Counter()
    for _ in _audio_in_folder(pattern, others):
        pass
    what, *remedies = in_words(others) or ["no other files"]
    return "; ".join([f"holds no recording ({what})", *remedies, f"recordings end in {kinds}"])


def linked_folders(pattern: str) -> list[str]:
    """Links to folders below a folder. Following them could count a recording under two names."""
    if not (is_local(pattern) and os.path.isdir(pattern)):
        return []
    paths = (os.path.join(up, name) for up, names, _ in os.walk(pattern) for name in names)
    return sorted(path for path in paths if os.path.islink(path))


@contextmanager
def open_to_read(
    name: str, generation: str = "", size: int = -1, *, at_once: bool = False
) -> Iterator[str | IO[bytes]]:
    """Yields input for ``model.audio``: the path itself, or a bucket object as a seekable file.

    Args:
        name: a path or URI.
        generation: of an object in Google Cloud Storage; another one is an error.
        size: of that generation, from a listing; saves a request.
        at_once: fetch the whole object with the first request.
    """
    if is_local(name):
        if "\\udc" in name and not os.path.exists(name):
            raise AudioError(f"{name}: its name is not valid UTF-8; rename the file")
        yield name
        return
    with buckets.ObjectFile(name, generation, size, at_once=at_once) as bucket_object:
        yield bucket_object  # type: ignore[misc]


def read_bytes(name: str) -> bytes:
    """All of a small file. Raises OSError, here and for buckets."""
    return read_beginning(name, -1)


def read_beginning(name: str, n_bytes: int = 64 * 1024) -> bytes:
    """The first bytes of a file, however large it is. Raises OSError."""
    with open_to_read(name) as source:
        if isinstance(source, str):
            with open(source, "rb") as file:
                return file.read(n_bytes)
        return source.read(n_bytes)


def read_ahead(read: Callable[[str], _Read], names: Iterable[str]) -> Iterator[_Read]:
    """Applies ``read`` to files in their order, and reads the next ones meanwhile.

    In a bucket the latency of a request dominates, however small the file.

    >>> list(read_ahead(len, ["a", "bb", "ccc"]))
    [1, 2, 3]
    """
    coming: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        for name in names:
            coming.append(pool.submit(read, name))
            if len(coming) == _READS_AT_ONCE:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def checksum(pieces: Iterable[bytes]) -> str:
    """CRC-32C of a content in base64, as buckets state it.

    >>> checksum([])
    'AAAAAA=='
    """
    import google_crc32c

    crc = google_crc32c.Checksum()
    for piece in pieces:
        crc.update(piece)
    return base64.b64encode(crc.digest()).decode()


def list_folder(folder: str, suffix: str) -> list[str]:
    """Files directly in a folder with a suffix, sorted; none if the folder is missing."""
    return sorted(list_versions(folder, suffix))


def list_versions(folder: str, suffix: str) -> dict[str, str]:
    """Files directly in a folder with a suffix; values change whenever someone writes the file."""
    versions: dict[str, str] = {}
    if not is_local(folder):
        blobs = buckets.list_level(f"{folder}/")
        versions = {buckets.uri_of(b): str(b.generation) for b in blobs if not b.name.endswith("/")}
    else:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as listed:
            for item in listed:
                if not item.name.startswith(".") and not item.is_dir():
                    status = item.stat()
                    versions[slashed(item.path)] = f"{status.st_mtime_ns}-{status.st_ino}"
    return {name: version for name, version in versions.items() if name.endswith(suffix)}


def list_below(folder: str, suffix: str) -> Iterator[str]:
    """Files in a folder and below it with a suffix, in no order."""
    if not is_local(folder):
        blobs = buckets.list_objects(f"{folder}/")
        names = (buckets.uri_of(blob) for blob in blobs if not blob.name.endswith("/"))
    else:
        names = (
            slashed(os.path.join(parent, name))
            for parent, _, base_names in os.walk(folder)
            for name in base_names
        )
    for name in names:
        if name.endswith(suffix) and not posixpath.basename(name).startswith("."):
            yield name


@dataclass(frozen=True)
class Stored:
    """A file's metadata.

    Attributes:
        written_s: time of the last change, in seconds since 1970.
        checksum: as from ``checksum``; empty on a disk.
    """

    size: int
    written_s: float
    checksum: str


def stored_below(folder: str) -> Iterator[tuple[str, Stored]]:
    """Files in a folder on a disk or in Google Cloud Storage, and below it; none if there is none.

    A request to a bucket lists a thousand objects.
    """
    if not is_local(folder):
        for blob in buckets.list_objects(f"{folder.rstrip('/')}/"):
            stored = Stored(blob.size or 0, blob.updated.timestamp(), blob.crc32c or "")
            yield buckets.uri_of(blob), stored
        return
    for name in list_below(folder, ""):
        with suppress(FileNotFoundError):
            status = os.stat(name)
            yield name, Stored(status.st_size, status.st_mtime, "")


def folders_in(folder: str) -> list[str]:
    """Names of the folders in a folder, sorted."""
    if not is_local(folder):
        return buckets.folders_of(folder)
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as listed:
        return sorted(item.name for item in listed if item.is_dir())
    return []


def holds_files(folder: str) -> bool:
    """Whether a folder or a folder below it holds a file."""
    if is_local(folder):
        return any(names for _, _, names in os.walk(folder))
    return next(list_below(folder, ""), None) is not None


def exists(name: str) -> bool:
    """Whether a file is there."""
    if is_local(name):
        return os.path.exists(name)
    return buckets.object_named(name) is not None


def write_atomically(name: str, chunks: Iterable[bytes]) -> None:
    """Writes a file that nobody can see before it is complete."""
    with writing(name) as write:
        for chunk in chunks:
            write(chunk)


@contextmanager
def writing(name: str) -> Iterator[Callable[[bytes], object]]:
    """Gives a function that adds to a file, which nobody can see before this ends without an error.

    Locally through a temporary file beside it, renamed at the end. An object in a bucket appears
    only when its upload is complete.
    """
    if not is_local(name):
        with buckets.uploading(name) as write:
            yield write
        return
    folder = os.path.dirname(name) or "."
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".{os.path.basename(name)}.{uuid4().hex[:8]}")
    # The system applies the process's umask: to ask for it, Python must change it for a moment, in
    # which other threads would write files that anybody may change.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, name)
    except BaseException:
        os.unlink(temporary)
        raise


def delete_if_there(name: str) -> None:
    """Removes a file, if it exists."""
    if is_local(name):
        with suppress(FileNotFoundError):  # two runs may tidy up at once
            os.unlink(name)
    else:
        buckets.remove(name)
