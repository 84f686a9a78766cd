"""Traces of contents, by which a run recognises an archive that was moved.

For three recordings of a part there is an empty file, named after the content and the part. A part
that is new asks for its own three, so that what this costs does not grow with the archive.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.storage import files
from pipeline.store import parts

PER_PART = 3


@dataclass(frozen=True)
class Content:
    """Properties of a recording that do not depend on its folder.

    Attributes:
        name: its base name.
        size: bytes.
        version: its checksum; of a long file on a disk, its time of change.
    """

    name: str
    size: int
    version: str


def few(recordings: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Of recordings by identity and size those that stand for all: the same wherever they lie.

    >>> here = [(f"/a/{n}.wav", n) for n in range(9)]
    >>> there = [(f"/b/{n}.wav", n) for n in reversed(range(9))]
    >>> [size for _, size in few(here)] == [size for _, size in few(there)]
    True
    """

    def drawn(recording: tuple[str, int]) -> str:
        identity, size = recording
        return _digest(posixpath.basename(identity), str(size))

    return sorted(recordings, key=drawn)[:PER_PART]


def leave_traces(output: str, part: str, contents: Iterable[Content]) -> None:
    """Notes that these contents lie in a part."""
    for content in contents:
        files.write_atomically(files.join(_folder(output, content), part), [b""])


def seen(output: str, content: Content) -> list[str]:
    """The parts in which a content was seen."""
    return [posixpath.basename(name) for name in files.list_folder(_folder(output, content), "")]


def are_kept(output: str) -> bool:
    """Whether there are any."""
    return bool(files.folders_in(_top(output)))


def _top(output: str) -> str:
    return files.join(parts.ledger(output), "traces")


def _folder(output: str, content: Content) -> str:
    digest = _digest(content.name, str(content.size), content.version)
    return files.join(files.join(_top(output), digest[:2]), digest[2:20])


def _digest(*words: str) -> str:
    return hashlib.sha256("/".join(words).encode("utf-8", "backslashreplace")).hexdigest()
