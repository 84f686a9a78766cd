"""What walkers of files work with: streams in a file, tags, and views of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model.audio.seekable import SeekableFile, Source

MOST_STREAMS = 256
"""Of one file. What lies behind is not accounted for."""

LONGER, SHORTER, JOINED, NO_END = (
    "longer_than_header",
    "shorter_than_header",
    "joined_streams",
    "no_end",
)
"""Remarks: the header promises less than there is, or more than a file that is whole; several
recordings lie in one file; a stream breaks off where its container marks the end."""

ViewPart = bytes | tuple[int, int]
"""Bytes that stand instead of a file's own, or the first and the end of a range of it."""


@dataclass(frozen=True)
class Stream:
    """One recording in a file.

    Attributes:
        pieces: what a decoder is to be given.
        end: where in the file it ends.
        unaccounted: bytes between its beginning and its end that hold neither sound nor anything
            else that is known.
        remarks: see ``LONGER`` and the others.
        sound_bytes: that there are.
        absent_bytes: of sound, that the header promises behind the end of the file.
    """

    pieces: tuple[ViewPart, ...]
    end: int
    unaccounted: int = 0
    remarks: tuple[str, ...] = ()
    sound_bytes: int = 0
    absent_bytes: int = 0


Walker = Callable[[Source, int], "Stream | None"]


def skip_tags(source: Source, at: int) -> int:
    """Past the ID3 and APE tags that begin at an offset."""
    for _ in range(MOST_STREAMS):
        head = source.read(at, 32)
        length = tag_bytes(head, source.size - at)
        if not length:
            return at
        at = min(at + length, source.size)
    return at


def tag_bytes(head: bytes, left: int) -> int:
    """Length of the tag that begins with these 32 bytes; 0 if none does.

    https://id3.org and https://wiki.hydrogenaud.io/index.php?title=APEv2_specification.
    """
    if head[:3] == b"ID3" and len(head) >= 10 and head[3] < 0xFF and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 16 else 0)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        has_header = bool(head[23] & 0x20)  # this is the header; the size leaves it out
        return int.from_bytes(head[12:16], "little") + (32 if has_header else 0)
    return min(left, 128) if head[:3] == b"TAG" else 0


def tags_before(source: Source, start: int, end: int) -> int:
    """Where the tags begin that close a file: ID3v1, and APE by its footer."""
    if end - start >= 128 and source.read(end - 128, 3) == b"TAG":
        end -= 128
    if end - start >= 32 and (footer := source.read(end - 32, 32)).startswith(b"APETAGEX"):
        size = int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0)
        end = max(start, end - size)
    return end


class View(SeekableFile):
    """Pieces of a file, and bytes that stand between them, as a file of its own.

    Args:
        source: the file.
        pieces: what the view consists of.
    """

    def __init__(self, source: Source, pieces: tuple[ViewPart, ...]) -> None:
        super().__init__()
        self._source = source
        self._parts: list[tuple[int, int, ViewPart]] = []  # first, end, what
        for piece in pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._parts.append((self._size, self._size + length, piece))
            self._size += length

    def readinto(self, buffer: Any) -> int:
        """Fewer bytes than asked for only at the end."""
        done = 0
        for first, end, piece in self._parts:
            if not first <= self._position < end or done == len(buffer):
                continue
            skip = self._position - first
            n = min(end - self._position, len(buffer) - done)
            if isinstance(piece, bytes):
                content = piece[skip : skip + n]
            else:
                content = self._source.read(piece[0] + skip, n)
            buffer[done : done + len(content)] = content
            done += len(content)
            self._position += len(content)
            if len(content) < n:
                break
        return done
