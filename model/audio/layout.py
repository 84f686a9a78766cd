"""Which bytes of a file hold sound, and which nothing accounts for.

A header may promise less than the file holds: sizes that wrapped at 4 GiB, that a recorder left at
zero when its power failed, or that state the first of several recordings one after the other.
Decoders believe headers. Here the file itself is walked, container by container, and the result
says what to give a decoder so that it decodes all of it, and how many bytes remain.

Up to ``WHOLE_BYTES`` a file is walked from end to end. In a longer one beginning, end and a few
places between are looked at; if these do not agree, it is walked, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.audio.layout_base import JOINED, MOST_STREAMS, Stream, skip_tags
from model.audio.layout_chunks import CHUNKED
from model.audio.layout_flac import walk_flac
from model.audio.layout_frames import walk_mp3, walk_mp4, walk_ogg
from model.audio.seekable import Source

_SEARCHED_BYTES = 1 << 20
"""How far to look for a container behind bytes that are none."""


@dataclass(frozen=True)
class Layout:
    """What a file consists of.

    Attributes:
        streams: recordings in it, one after the other.
        unaccounted: bytes that are no part of any of them, and no tag.
        size: of the file in bytes.
        is_mp3: it is taken for an MP3, which has no mark of its own: what a decoder says counts.
    """

    streams: tuple[Stream, ...]
    unaccounted: int
    size: int
    is_mp3: bool

    @property
    def is_plain(self) -> bool:
        """Whether a decoder that gets the file as it is hears all of it."""
        return len(self.streams) == 1 and self.streams[0].pieces == ((0, self.size),)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the file."""
        several = (JOINED,) if len(self.streams) > 1 else ()
        return tuple(sorted({*several, *(r for stream in self.streams for r in stream.remarks)}))


def layout_of(source: Source) -> Layout | None:
    """What a file consists of; None where its container is not known here."""
    walkers = {**CHUNKED, b"fLaC": walk_flac, b"OggS": walk_ogg, b"ftyp": walk_mp4}
    at, unaccounted, is_mp3 = 0, 0, False
    streams: list[Stream] = []
    while at < source.size and len(streams) < MOST_STREAMS:
        begin = skip_tags(source, at)
        head = source.read(begin, 12)
        walk = next((w for m, w in walkers.items() if head.startswith(m)), None)
        if head[4:8] == b"ftyp":
            walk = walkers[b"ftyp"]
        stream = walk(source, begin) if walk else None
        if not stream and (not streams or is_mp3 or head[:1] == b"\xff"):
            stream = walk_mp3(source, at)
            is_mp3 |= stream is not None and not streams
        if stream:
            streams.append(stream)
            at = max(stream.end, at + 1)
        elif begin == source.size:
            at = begin
        elif not streams:
            return None
        else:
            next_at = _next_container(source, begin + 1, set(walkers) - {b"ftyp"})
            unaccounted += (next_at or source.size) - begin
            at = next_at or source.size
    if not streams:
        return None
    unaccounted += sum(stream.unaccounted for stream in streams)
    unaccounted += max(0, source.size - at)
    return Layout(tuple(streams), unaccounted, source.size, is_mp3)


def _next_container(source: Source, at: int, marks: set[bytes]) -> int:
    """Where another recording may begin; 0 if nowhere."""
    data = source.read(at, _SEARCHED_BYTES)
    places = [data.find(mark) for mark in marks]
    return min((at + place for place in places if place >= 0), default=0)
