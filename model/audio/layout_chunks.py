"""Files of chunks: WAV, RF64, W64, AIFF, CAF and AU, for ``model.audio.layout``.

A chunk says how long it is. Where the chunk of sound says less than there is, what follows it is no
chunk. Its sound then reaches to the chunks that close the file, or to the end of the file, provided
that the bytes look like samples.

Sources: Multimedia Programming Interface 1.0 (RIFF), EBU Tech 3306 (RF64), Sony's Wave64 white
paper, AIFF 1.3, Apple's CAF specification 1.0.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from model.audio.layout_base import (
    LONGER,
    SHORTER,
    Stream,
    ViewPart,
    Walker,
    skip_tags,
    tags_before,
)
from model.audio.seekable import Source

_MARKS = re.compile(
    rb"RIFF|RF64|FORM|riff|fLaC|OggS|caff|\.snd|....ftyp|"
    rb"\xff[\xe2-\xff]..(?:.{9}|.{17}|.{32})(?:Xing|Info)",
    re.DOTALL,
)
_MOST_CHUNKS = 4096
_TAIL_BYTES = 1 << 18
_HEAD_BYTES = 1 << 20
_UNKNOWN_BYTES = 0x7FFF_F000  # recorders that stream write "unknown" as a size near 2 or 4 GiB
_WRAPPED = 1 << 32
_STUB_BYTES = 4096
"""So little sound in front of more is a header that was never filled in."""
_CLOSING = re.compile(
    rb"(?=LIST|list|guan|wamd|bext|iXML|_PMX|id3 |ID3 |cue |smpl|inst|axml|umid|minf|elm1|regn|ovwf"
    rb"|acid|DISP|JUNK|junk|PAD |FLLR|fact|afsp|NAME|AUTH|ANNO|COMT|MARK|INST|APPL|free|info|strg"
    rb"|midi|PEAK|levl|plst)"
)
"""Where a chunk may begin that closes a file behind sound whose length is wrong."""
_MOST_PLACES = 2560


@dataclass(frozen=True)
class Chunk:
    """A chunk: its kind, where its content begins, and how long that is said to be."""

    kind: bytes
    begin: int
    size: int


@dataclass(frozen=True)
class Family:
    """How a container writes chunks.

    Attributes:
        head_bytes: of the file, before its first chunk.
        read: the chunk at an offset; None if none begins there.
        step: chunks begin at multiples of so many bytes.
        sound: the kind that holds samples, and how many bytes of its content come before them.
        patched: the file up to where sound ends, with sizes that say so.
    """

    head_bytes: int
    read: Callable[[Source, int], Chunk | None]
    step: int
    sound: tuple[bytes, int]
    patched: Callable[[_Walk, int], tuple[ViewPart, ...]]


def _is_kind(kind: bytes) -> bool:
    return len(kind) == 4 and all(32 <= byte < 127 for byte in kind) and kind.strip() != b""


def _read_riff(source: Source, at: int, order: str = "<") -> Chunk | None:
    head = source.read(at, 8)
    if len(head) < 8 or not _is_kind(head[:4]):
        return None
    return Chunk(head[:4], at + 8, struct.unpack(order + "I", head[4:])[0])


def _read_w64(source: Source, at: int) -> Chunk | None:
    head = source.read(at, 24)
    if len(head) < 24 or head[4:16] not in (_W64_GUID, _W64_LIST[4:]):
        return None
    return Chunk(head[:4], at + 24, max(0, int.from_bytes(head[16:], "little") - 24))


_W64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64_LIST = bytes.fromhex("6c6973742f91cf11a5d628db04c10000")


def _read_caf(source: Source, at: int) -> Chunk | None:
    head = source.read(at, 12)
    if len(head) < 12 or not _is_kind(head[:4]):
        return None
    size = struct.unpack(">q", head[4:])[0]
    return Chunk(head[:4], at + 12, source.size - at - 12 if size == -1 else max(0, size))


def _riff_pieces(walk: _Walk, end: int) -> tuple[ViewPart, ...]:
    """libsndfile takes a WAV whose sizes are 8 and 0 to be as long as its file, however long."""
    start, begin = walk.start, walk.begin
    is_short = end - start - 8 < _UNKNOWN_BYTES
    whole, sound = (end - start - 8, end - begin) if is_short else (8, 0)
    head = b"RIFF" + struct.pack("<I", whole)
    return head, (start + 8, begin - 4), struct.pack("<I", sound), (begin, end)


def _aiff_pieces(walk: _Walk, end: int) -> tuple[ViewPart, ...]:
    start, sound = walk.start, walk.chunks[b"SSND"]
    frames = (end - walk.begin) // walk.block_bytes
    frames_at = walk.chunks[b"COMM"].begin + 2
    return (
        b"FORM" + struct.pack(">I", min(end - start - 8, 0xFFFF_FFFF)),
        (start + 8, frames_at),
        struct.pack(">I", min(frames, 0xFFFF_FFFF)),
        (frames_at + 4, sound.begin - 4),
        struct.pack(">I", min(end - sound.begin, 0xFFFF_FFFF)),
        (sound.begin, end),
    )


def _w64_pieces(walk: _Walk, end: int) -> tuple[ViewPart, ...]:
    start, begin = walk.start, walk.begin
    riff, data = struct.pack("<Q", end - start), struct.pack("<Q", end - begin + 24)
    return (start, start + 16), riff, (start + 24, begin - 8), data, (begin, end)


def _caf_pieces(walk: _Walk, end: int) -> tuple[ViewPart, ...]:
    begin = walk.chunks[b"data"].begin
    return (walk.start, begin - 8), struct.pack(">q", end - begin), (begin, end)


_RIFF = Family(12, _read_riff, 2, (b"data", 0), _riff_pieces)
_AIFF = Family(12, lambda source, at: _read_riff(source, at, ">"), 2, (b"SSND", 8), _aiff_pieces)
_W64 = Family(40, _read_w64, 8, (b"data", 0), _w64_pieces)
_CAF = Family(8, _read_caf, 1, (b"data", 4), _caf_pieces)


def _walker(family: Family) -> Walker:
    return lambda source, start: _Walk(family, source, start).stream()


@dataclass
class _Walk:
    """A recording in a file.

    Attributes:
        start: where it begins.
        chunks: the first of each kind, up to that of sound.
        begin: where its samples begin.
    """

    family: Family
    source: Source
    start: int
    chunks: dict[bytes, Chunk] = field(default_factory=dict)
    begin: int = 0

    def stream(self) -> Stream | None:
        """The recording; None where no sound is found."""
        family, source = self.family, self.source
        at, sound, lead = self.start + family.head_bytes, *family.sound
        for _ in range(_MOST_CHUNKS):
            chunk = family.read(source, at)
            if not chunk or at > source.size:
                break
            self.chunks.setdefault(chunk.kind, chunk)
            if sound in self.chunks and (sound != b"SSND" or b"COMM" in self.chunks):
                break
            at = self._behind(chunk)
        if sound not in self.chunks:
            place = source.read(self.start, _HEAD_BYTES).find(sound, family.head_bytes)
            chunk = family.read(source, self.start + place) if place > 0 else None
            if not chunk or family is _AIFF:
                return None
            self.chunks[sound] = chunk
        chunk = self.chunks[sound]
        self.begin = chunk.begin + lead
        stated = max(0, chunk.size - lead)
        if family is _RIFF and b"ds64" in self.chunks:
            ds64 = int.from_bytes(source.read(self.chunks[b"ds64"].begin + 8, 8), "little")
            stated = ds64 if chunk.size == 0xFFFF_FFFF else ds64 or stated
        return self._sound(stated)

    def _behind(self, chunk: Chunk) -> int:
        """Where the chunk behind one begins."""
        end, step = chunk.begin + chunk.size, self.family.step
        return end + (self.start - end) % step if step > 2 else end + chunk.size % step

    def _sound(self, stated: int) -> Stream:
        """The recording, whose sound is said to be so long."""
        family, source, start, begin = self.family, self.source, self.start, self.begin
        there = source.size - begin
        if stated >= there:
            end = source.size
            if stated > there > 0 and source.is_small:  # cut off, and another one behind it
                end = _next_recording(source, begin, end, end)
            pieces: tuple[ViewPart, ...] = ((start, end),)
            if stated > there > 0 and family is _CAF:  # libsndfile reads none that is cut off
                pieces = family.patched(self, end)
            absent = stated - (end - begin) if stated < _UNKNOWN_BYTES else 0
            return Stream(pieces, end, 0, (), max(0, end - begin), absent)
        for size in range(stated, there + 1, _WRAPPED if family is _RIFF else there + 1):
            end = self._end_of_chunks(begin + size)
            if end and size == stated:
                return Stream(((start, end),), end)
            if end:
                return self._longer(begin + size, end)
        if source.is_small:  # the length is wrong: another recording may lie within it
            end = _next_recording(source, begin, source.size, source.size)
            if end < begin + stated:
                return Stream(family.patched(self, end), end, 0, (SHORTER,))
        sound_end, end = self._closing(begin + stated)
        rest = begin + stated, sound_end
        if width := self.width:
            is_sound = _plausible(source, *rest, width, family)
        else:
            is_sound = stated < _STUB_BYTES and _varies(source, *rest)
        if is_sound:
            return self._longer(sound_end, end)
        return Stream(((start, end),), end, sound_end - begin - stated)

    def _longer(self, sound_end: int, end: int) -> Stream:
        if self.width:
            sound_end -= (sound_end - self.begin) % self.block_bytes
        return Stream(self.family.patched(self, sound_end), end, 0, (LONGER,))

    def _end_of_chunks(self, at: int) -> int:
        """Where a row of chunks ends that begins behind sound; 0 if there is none.

        It ends with the file or where another recording begins. The byte that pads an odd length
        may have been left out.
        """
        source, step = self.source, self.family.step
        odd = (at - self.start) % step
        for first in (at + (step - odd) % step, at):
            end = first
            for _ in range(_MOST_CHUNKS):
                if end >= source.size:
                    return source.size if first - at < step else 0
                passed = skip_tags(source, end)
                if passed >= source.size or (passed > end and _begins(source, passed)):
                    return passed
                if _begins(source, end):
                    return end
                chunk = self.family.read(source, end)
                if not chunk or chunk.begin + chunk.size > source.size:
                    break
                end = self._behind(chunk)
        return 0

    def _closing(self, least: int) -> tuple[int, int]:
        """Where sound of unstated length ends, and where the recording does.

        Before another recording, or before the chunks and tags that close the file.
        """
        source, limit = self.source, self.source.size
        end = tags_before(source, least, limit)
        if source.is_small:
            limit = _next_recording(source, least, end, limit)
            end = min(end, limit)
        at = max(least, end - _TAIL_BYTES)
        marks = _CLOSING.finditer(source.read(at, end - at))
        for match in itertools.islice(marks, _MOST_PLACES):
            place = at + match.start()
            if replace(self, start=place)._end_of_chunks(place):
                return place, limit
        return end, limit

    def _format(self) -> tuple[int, int, int, int]:
        """Of a WAV: kind, channels, bytes of a block, bits of a sample."""
        chunk = self.chunks.get(b"fmt ")
        head = self.source.read(chunk.begin, 26) if chunk else b""
        if len(head) < 16:
            return 0, 1, 1, 0
        kind, channels, _, _, block, bits = struct.unpack("<HHIIHH", head[:16])
        if kind == 0xFFFE and len(head) == 26:
            kind = int.from_bytes(head[24:26], "little")
        return kind, max(1, channels), max(1, block), bits

    @property
    def block_bytes(self) -> int:
        """Bytes of a frame of plain samples."""
        if self.family is _AIFF:
            channels = int.from_bytes(self.source.read(self.chunks[b"COMM"].begin, 2), "big")
            return max(1, channels * self.width)
        if self.family is _CAF:
            at = self.chunks[b"desc"].begin + 16
            return max(1, int.from_bytes(self.source.read(at, 4), "big"))
        return self._format()[2]

    @property
    def width(self) -> int:
        """Bytes of a sample: negative for floating-point ones, 0 where they are encoded further."""
        is_float = False
        if self.family is _AIFF:
            common = self.source.read(self.chunks[b"COMM"].begin, 22)
            is_plain = self.chunks[b"COMM"].size < 22 or common[18:] in (b"NONE", b"sowt")
            bits = int.from_bytes(common[6:8], "big")
        elif self.family is _CAF:
            chunk = self.chunks.get(b"desc")
            desc = self.source.read(chunk.begin, 32) if chunk else b""
            is_plain, is_float = desc[8:12] == b"lpcm", bool(desc[15:16] and desc[15] & 1)
            bits = int.from_bytes(desc[28:32], "big")
        else:
            kind, _, _, bits = self._format()
            is_plain, is_float = kind in (1, 3), kind == 3
        if not is_plain or bits > 64 or (is_float and bits not in (32, 64)):
            return 0
        return -(bits // 8) if is_float else -(-bits // 8)


def _begins(source: Source, at: int) -> bool:
    """Whether another recording begins here."""
    head = source.read(at, 40)
    if head[:1] == b"\xff":
        return b"Xing" in head or b"Info" in head
    if head[4:8] == b"ftyp":
        return head[:3] == b"\0\0\0"
    return (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE") or (
        (head[:4] == b"FORM" and head[8:11] == b"AIF")
        or (head[:4] == b"riff" and head[24:28] == b"wave")
        or head.startswith((b"fLaC\0", b"OggS\0\x02", b"caff\0\x01", b".snd\0\0\0"))
    )


def _next_recording(source: Source, first: int, end: int, otherwise: int) -> int:
    """Where another recording begins in a range, of which all is looked at."""
    places = (first + match.start() for match in _MARKS.finditer(source.read(first, end - first)))
    return next((place for place in places if _begins(source, place)), otherwise)


def _places(source: Source, begin: int, end: int, width: int) -> Iterator[bytes]:
    """A few stretches of a range, in whole samples from its beginning."""
    step = max(1, abs(width)) * 4096
    last = max(0, (end - begin) // step - 1)
    for first in sorted({last * k // 7 for k in range(8)}):
        at = begin + first * step
        yield source.read(at, min(2 * step if first == last else step, end - at))


def _varies(source: Source, begin: int, end: int) -> bool:
    return any(len(set(data)) > 1 for data in _places(source, begin, end, 1))


def _plausible(source: Source, begin: int, end: int, width: int, family: Family) -> bool:
    """Whether bytes look like samples: not all the same, and nowhere as loud as random bytes."""
    places = list(_places(source, begin, end, width))
    return any(len(set(data)) > 1 for data in places) and all(
        _is_quiet(data, width, family) for data in places
    )


def _is_quiet(data: bytes, width: int, family: Family) -> bool:
    whole = data[: len(data) // abs(width) * abs(width)]
    if not whole:
        return False
    if width < 0:
        kind = np.dtype(f"{'>' if family is _AIFF else '<'}f{-width}")
        return bool(np.all(np.abs(np.frombuffer(whole, kind)) < _LOUDEST_FLOAT))
    tops = np.frombuffer(whole, np.uint8).reshape(-1, width)
    options = [tops[:, 0], tops[:, -1]] if family in (_AIFF, _CAF) else [tops[:, -1]]
    for top in options:
        signed = top - np.float64(128) if width == 1 and family is _RIFF else top.view(np.int8)
        if np.sqrt(np.mean(np.square(signed, dtype=np.float64))) < _LOUDEST * 128:
            return True
    return False


_LOUDEST_FLOAT = 100.0
_LOUDEST = 0.5
"""Root mean square of samples, of full scale; that of bytes drawn at random is 0.577."""


def _walk_au(source: Source, start: int) -> Stream | None:
    head = source.read(start, 24)
    if len(head) < 24:
        return None
    at, size, encoding = struct.unpack(">III", head[4:16])
    begin = start + at
    if size >= _UNKNOWN_BYTES or begin + size >= source.size:
        there = max(0, source.size - begin)
        absent = size - there if size < _UNKNOWN_BYTES else 0
        return Stream(((start, source.size),), source.size, 0, (), there, absent)
    end = begin + size
    if _begins(source, end) or skip_tags(source, end) >= source.size:
        return Stream(((start, end),), end)
    width = {2: 1, 3: 2, 4: 3, 5: 4}.get(encoding, 0)
    limit = source.size
    if source.is_small:
        limit = _next_recording(source, begin, limit, limit)
    pieces = (start, start + 8), b"\xff" * 4, (start + 12, limit)
    if limit < end:
        return Stream(pieces, limit, 0, (SHORTER,))
    if not _plausible(source, end, limit, width or 1, _AIFF):
        return Stream(((start, limit),), limit, limit - end)
    return Stream(pieces, limit, 0, (LONGER,))


CHUNKED: dict[bytes, Walker] = {
    b"RIFF": _walker(_RIFF),
    b"RF64": _walker(_RIFF),
    b"BW64": _walker(_RIFF),
    b"riff": _walker(_W64),
    b"FORM": _walker(_AIFF),
    b"caff": _walker(_CAF),
    b".snd": _walk_au,
}
"""Walkers by the mark of their container."""
