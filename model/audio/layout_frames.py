"""Ogg, MP3 and MP4 files, for ``model.audio.layout``: rows of pages, of frames and of boxes.

Sources: RFC 3533, ``model.audio.mp3``, ISO/IEC 14496-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, cast

from model.audio.layout_base import (
    LONGER,
    NO_END,
    Stream,
    View,
    skip_tags,
    tag_bytes,
    tags_before,
)
from model.audio.mp3 import Mp3Stream, is_layer_3, is_run
from model.audio.seekable import Source

_PLACES = 16
"""Places that are looked at in a long file."""
_PIECE_BYTES = 1 << 22
_TAIL_BYTES = 1 << 17
_HEAD_BYTES = 1 << 14
_OGG_HEAD_BYTES = 27
_OGG_FIRST, _OGG_LAST = 2, 4


@dataclass(frozen=True)
class _Page:
    """An Ogg page: first byte, end, flags, position, serial number of its stream."""

    begin: int
    end: int
    flags: int
    granule: int
    serial: int


def walk_ogg(source: Source, start: int) -> Stream | None:
    """Pages, up to those that begin another stream; None if none of them holds sound."""
    if not source.is_small and _is_plain_ogg(source, start):
        return Stream(((start, source.size),), source.size)
    unaccounted, end, last_page = 0, start, None
    has_sound = False
    for page in _pages(source, start):
        if page.flags & _OGG_FIRST and has_sound:
            unaccounted += page.begin - end
            return _ogg_stream(source, start, page.begin, last_page, unaccounted)
        unaccounted += page.begin - end
        has_sound |= not page.flags & _OGG_FIRST
        last_page, end = page, page.end
    if not has_sound:
        return None
    close = tags_before(source, end, source.size)
    unaccounted += close - end if not tag_bytes(source.read(end, 32), source.size - end) else 0
    return _ogg_stream(source, start, source.size, last_page, unaccounted)


def _ogg_stream(
    source: Source, start: int, end: int, last: _Page | None, unaccounted: int
) -> Stream:
    is_closed = last is not None and last.flags & _OGG_LAST
    return Stream(((start, end),), end, unaccounted, () if is_closed else (NO_END,))


def _page(data: bytes, at: int, base: int) -> _Page | None:
    head = data[at : at + _OGG_HEAD_BYTES]
    if len(head) < _OGG_HEAD_BYTES or head[:5] != b"OggS\0":
        return None
    lacing = data[at + _OGG_HEAD_BYTES : at + _OGG_HEAD_BYTES + head[26]]
    if len(lacing) < head[26]:
        return None
    end = at + _OGG_HEAD_BYTES + head[26] + sum(lacing)
    granule, serial = int.from_bytes(head[6:14], "little"), int.from_bytes(head[14:18], "little")
    return _Page(base + at, base + end, head[5], granule, serial)


def _pages(source: Source, start: int) -> Iterator[_Page]:
    """Whole pages from an offset on; what lies between them is passed over.

    A page that is not followed by another one has lost bytes, or a recording begins within it.
    """
    base = start
    data = source.read(base, _PIECE_BYTES)
    at = 0
    while base + at < source.size:
        if len(data) - at < 1 << 17 and base + len(data) < source.size:
            base, at = base + at, 0
            data = source.read(base, _PIECE_BYTES)
        page = _page(data, at, base)
        after = page.end - base if page else 0
        if page and (data[after : after + 4] == b"OggS" or page.end == source.size):
            yield page
            at = after
            continue
        next_at = data.find(b"OggS", at + 1)
        if page and next_at < 0 and page.end < source.size and base + len(data) >= source.size:
            yield page  # the last one, and something behind it
            return
        if page and next_at > after:
            yield page
        at = next_at if next_at >= 0 else max(at + 1, len(data) - 3)


def _is_plain_ogg(source: Source, start: int) -> bool:
    """Whether a long file is one stream, as far as a few places show."""
    first = _page(source.read(start, 1 << 16), 0, start)
    last_bytes = min(source.size - start, _TAIL_BYTES)
    tail = list(_pages(_stretch(source, source.size - last_bytes), 0))
    if not first or not tail or not tail[-1].flags & _OGG_LAST or tail[-1].end != last_bytes:
        return False
    if tail[-1].serial != first.serial:
        return False
    step, before = (source.size - start) // _PLACES, -1
    for k in range(1, _PLACES if source.is_at_hand else 1):
        near = next(_pages(_stretch(source, start + k * step, 1 << 18), 0), None)
        if not near or near.serial != first.serial:
            return False
        if near.granule < 1 << 63:
            if near.granule < before:
                return False
            before = near.granule
    return before <= tail[-1].granule


def _stretch(source: Source, start: int, most: int = 1 << 62) -> Source:
    """A stretch of a file as a file of its own."""
    end = min(source.size, start + most)
    return Source(cast(IO[bytes], View(source, ((start, end),))))


_MP3_SYNC = re.compile(rb"\xff[\xe2-\xff]|ID3[\2-\4]")


def walk_mp3(source: Source, start: int) -> Stream | None:
    """A row of frames, as far as a tag among them that begins another recording."""
    if not source.is_small:
        return _long_mp3(source, start)
    data = source.read(start, source.size)
    first = skip_tags(source, start) - start
    at = _find_run(data, first)
    while 0 <= at < len(data) and data[at] != 0xFF:
        at = _find_run(data, at + tag_bytes(data[at : at + 32], len(data) - at))
    if at < 0:
        return None
    form = Mp3Stream(int.from_bytes(data[at : at + 4], "big"), 0)
    stated = _stated_frames(form, data, at)
    end, frames, unaccounted, partial = _frames_from(data, at, form)
    if stated is not None and stated > frames - 1:
        unaccounted -= partial  # the frame that was cut off is promised, and missing
    if stated is None or stated >= frames - 1:
        return Stream(((start, start + end),), start + end, unaccounted + at - first)
    tag_at = start + at + 12 + form.side_bytes
    count = (frames - 1).to_bytes(4, "big")
    pieces = (start, tag_at), count, (tag_at + 4, start + end)
    return Stream(pieces, start + end, unaccounted + at - first, (LONGER,))


def _frames_from(data: bytes, first: int, form: Mp3Stream) -> tuple[int, int, int, int]:
    """Where a row of frames of a form ends, how many they are, and how many bytes are none.

    Last, how many of these are of a frame that the end of the file cuts off.

    It ends where a frame with a tag, or frames of another form, begin another recording.
    """
    at, before, frames, unaccounted, partial = first, first, 0, 0, 0
    tagged = _tagged_frames(data, form)
    lengths, is_mono, last = form.lengths, form.channels == 1, len(data) - 4
    while at < len(data):
        length = at <= last and lengths.get(data[at + 1] << 8 | data[at + 2])
        if length and data[at] == 0xFF and (data[at + 3] >= 0xC0) == is_mono:
            if at in tagged and frames:
                break
            if at + length > len(data):
                partial = len(data) - at
                unaccounted += partial
                at = len(data)
                break
            frames, before, at = frames + 1, at, at + length
            continue
        if tag := tag_bytes(data[at : at + 32], len(data) - at):
            before = at = min(at + tag, len(data))
            continue
        # Where the next frame should be and is not, the last one may have lost bytes.
        next_at = _find_run(data, before + 4 if before < at else at)
        next_at = len(data) if next_at < 0 else next_at
        if before < next_at < at:
            frames -= 1
            unaccounted += next_at - before
        else:
            unaccounted += next_at - at
        before = at = next_at
        if at < len(data) and data[at] == 0xFF and not _frame_bytes(form, data, at):
            break
    return at, frames, unaccounted, partial


def _tagged_frames(data: bytes, form: Mp3Stream) -> set[int]:
    """Where frames with a tag would begin."""
    marks = re.finditer(rb"Xing|Info", data)
    return {match.start() - 4 - form.side_bytes for match in marks}


def _frame_bytes(form: Mp3Stream, data: bytes, at: int) -> int:
    """Length of the frame of a form that begins here; 0 if none does."""
    if at + 4 > len(data) or data[at] != 0xFF:
        return 0
    if (data[at + 3] >> 6 == 3) != (form.channels == 1):
        return 0
    return form.lengths.get(data[at + 1] << 8 | data[at + 2], 0)


def _find_run(data: bytes, at: int) -> int:
    """Where frames, or an ID3 tag, begin at an offset or behind it; -1 if nowhere."""
    for match in _MP3_SYNC.finditer(data, at):
        place = match.start()
        if data[place] != 0xFF:
            if tag_bytes(data[place : place + 32], len(data) - place):
                return place
            continue
        header = int.from_bytes(data[place : place + 4], "big")
        if place + 4 > len(data) or not is_layer_3(header):
            continue
        if is_run(data, place, Mp3Stream(header, 0).lengths, True):
            return place
    return -1


def _stated_frames(form: Mp3Stream, data: bytes, at: int) -> int | None:
    """Frames by the tag in the first frame; None where no tag states them."""
    tag = data[at + 4 + form.side_bytes : at + 16 + form.side_bytes]
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 12 or not tag[7] & 1:
        return None
    return int.from_bytes(tag[8:12], "big")


def _long_mp3(source: Source, start: int) -> Stream | None:
    """What the tag in a long file says of frames and bytes, beside what there is.

    Without a tag ``model.audio.decoder_mp3`` counts the frames, or knows where each must lie.
    """
    plain = Stream(((start, source.size),), source.size)
    start = skip_tags(source, start)
    data = source.read(start, _HEAD_BYTES)
    at = _find_run(data, 0)
    if at < 0 or data[at] != 0xFF:
        return None
    form = Mp3Stream(int.from_bytes(data[at : at + 4], "big"), 0)
    tag_at = at + 4 + form.side_bytes
    if _stated_frames(form, data, at) is None or not data[tag_at + 7] & 2:
        return plain
    stated = int.from_bytes(data[tag_at + 12 : tag_at + 16], "big")
    end = tags_before(source, start + at, source.size)
    left = end - (start + at + stated)
    return plain if left <= max(form.lengths.values()) else replace(plain, unaccounted=left)


_MOST_BOXES = 4096
_BOXES = frozenset(
    (b"ftyp", b"styp", b"free", b"skip", b"wide", b"mdat", b"moov", b"moof", b"mfra", b"sidx")
) | {b"ssix", b"meta", b"uuid", b"udta", b"pdin", b"prft", b"emsg", b"pnot"}
"""That lie in no other box."""


def walk_mp4(source: Source, start: int) -> Stream | None:
    """Boxes; the sound of another file of the kind begins with its own ``ftyp``."""
    at = start
    for _ in range(_MOST_BOXES):
        head = source.read(at, 16)
        if head[4:8] not in _BOXES or (at > start and head[4:8] == b"ftyp"):
            break
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 or at + size > source.size:
            at = source.size
        elif size < 8:
            break
        else:
            at += size
    return Stream(((start, at),), at) if at > start else None
