"""FLAC files, for ``layout``: their last frame says how long they are. See RFC 9639."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from model.audio.layout_base import (
    LONGER,
    SHORTER,
    Stream,
    ViewPart,
    skip_tags,
    tags_before,
)
from model.audio.seekable import Source

_PLACES = 16
"""Places that are looked at in a long file."""
_PIECE_BYTES = 1 << 22
_FLAC_SAMPLES = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(256 << n for n in range(8)))
_FLAC_BLOCKS = 128
_FLAC_MARK = re.compile(rb"fLaC[\0\x80]\0\0\x22")
_FLAC_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_FLAC_TAIL_BYTES = 1 << 15
_MOST_TAIL_BYTES = 1 << 22


def _crc_table(polynomial: int, bits: int) -> list[int]:
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
        table.append(value)
    return table


_CRC_8, _CRC_16 = _crc_table(0x07, 8), _crc_table(0x8005, 16)


@dataclass(frozen=True)
class _FlacHeader:
    """A FLAC's STREAMINFO: where it lies, where frames begin, and what it says."""

    at: int
    audio: int
    most_block: int
    most_frame_bytes: int
    channels: int
    total: int


@dataclass(frozen=True)
class _FlacFrame:
    """A frame: its offset in the bytes looked at, its number or first sample, its samples."""

    at: int
    number: int
    samples: int
    is_variable: bool


def walk_flac(source: Source, start: int) -> Stream | None:
    """The recording that begins at an offset; None if its header is not whole."""
    header = _flac_header(source, start)
    if not header:
        return None
    limit = source.size
    if source.is_small:
        limit = _next_flac(source, start + 4)
        stream = _flac_stream(source, start, header, limit)
    else:
        stream = _flac_stream(source, start, header, limit)
        is_odd = stream.pieces != ((start, limit),) or bool(stream.unaccounted)
        if is_odd or not _grows(source, header, limit):
            limit = _next_flac(source, start + 4)
            stream = _flac_stream(source, start, header, limit)
    return stream


def _flac_header(source: Source, start: int) -> _FlacHeader | None:
    at, info = start + 4, b""
    info_at = 0
    for _ in range(_FLAC_BLOCKS):
        head = source.read(at, 4)
        if len(head) < 4:
            return None
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 0 and not info:
            info, info_at = source.read(at + 4, 34), at + 4
        at += 4 + size
        if head[0] & 0x80:
            break
    if len(info) < 34:
        return None
    packed = int.from_bytes(info[10:18], "big")
    return _FlacHeader(
        info_at,
        at,
        int.from_bytes(info[2:4], "big"),
        int.from_bytes(info[7:10], "big"),
        (packed >> 41 & 7) + 1,
        packed & (1 << 36) - 1,
    )


def _flac_stream(source: Source, start: int, header: _FlacHeader, limit: int) -> Stream:
    """The recording between two offsets, its length corrected to what its last frame says."""
    end = tags_before(source, header.audio, limit)
    frame, data, base = _last_frame(source, header, end)
    if not frame:
        return Stream(((start, limit),), limit, max(0, end - header.audio))
    at = base + frame.at
    first = frame.number * (1 if frame.is_variable else header.most_block)
    is_last = first + frame.samples == header.total
    length = _frame_bytes_of(data[frame.at :], is_last)
    if length:
        frames = first + frame.samples
        unaccounted = max(0, end - skip_tags(source, at + length))
    else:
        frames = first
        # A frame that was cut off is missing where more than it is promised.
        unaccounted = 0 if first + frame.samples < header.total else end - at
    if frames == header.total or (frames < header.total and not length):
        return Stream(((start, limit),), limit, unaccounted)
    remark = () if header.total == 0 else (SHORTER if frames < header.total else LONGER,)
    return Stream(_with_total(source, start, header, limit, frames), limit, unaccounted, remark)


def _with_total(
    source: Source, start: int, header: _FlacHeader, limit: int, frames: int
) -> tuple[ViewPart, ...]:
    at = header.at + 10
    packed = int.from_bytes(source.read(at, 8), "big")
    packed = packed >> 36 << 36 | min(frames, (1 << 36) - 1)
    return (start, at), packed.to_bytes(8, "big"), (at + 8, limit)


def _last_frame(
    source: Source, header: _FlacHeader, end: int
) -> tuple[_FlacFrame | None, bytes, int]:
    """The last frame before an offset, the bytes that hold it, and where they lie.

    A header in the midst of samples by chance does not continue the one before.
    """
    n_bytes = max(_FLAC_TAIL_BYTES, 2 * header.most_frame_bytes + 64)
    while True:
        base = max(header.audio, end - n_bytes)
        data = source.read(base, end - base)
        frames = list(_flac_frames(data, header.channels))
        for frame, before in itertools.pairwise([*reversed(frames), None]):
            assert frame
            is_first = base + frame.at == header.audio
            if is_first or (before and _follows(before, frame)):
                return frame, data, base
        if base == header.audio or n_bytes >= _MOST_TAIL_BYTES:
            return None, data, base
        n_bytes *= 4


def _follows(before: _FlacFrame, frame: _FlacFrame) -> bool:
    step = before.samples if before.is_variable else 1
    return before.is_variable == frame.is_variable and frame.number == before.number + step


def _flac_frames(data: bytes, channels: int) -> Iterator[_FlacFrame]:
    """Frames whose headers are sound."""
    for match in _FLAC_SYNC.finditer(data):
        frame = _flac_frame(data, match.start(), channels)
        if frame:
            yield frame


def _flac_frame(data: bytes, at: int, channels: int) -> _FlacFrame | None:
    head = data[at : at + 16]
    if len(head) < 7 or head[3] & 1:
        return None
    size_code, rate_code, channel_code = head[2] >> 4, head[2] & 15, head[3] >> 4
    if size_code == 0 or rate_code == 15 or channel_code > 10:
        return None
    if (channel_code + 1 if channel_code < 8 else 2) != channels:
        return None
    lead = head[4]
    n_more = 0 if lead < 0x80 else max(0, 8 - (lead ^ 0xFF).bit_length() - 1)
    if lead >= 0x80 and not 1 <= n_more <= 6:
        return None
    number = lead if n_more == 0 else lead & (0x3F >> n_more)
    for byte in head[5 : 5 + n_more]:
        number = number << 6 | byte & 0x3F
    position = 5 + n_more
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    if size_bytes:
        samples = int.from_bytes(head[position : position + size_bytes], "big") + 1
    else:
        samples = _FLAC_SAMPLES[size_code]
    position += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    crc = 0
    for byte in head[:position]:
        crc = _CRC_8[crc ^ byte]
    if position >= len(head) or crc != head[position]:
        return None
    return _FlacFrame(at, number, samples, bool(head[1] & 1))


def _frame_bytes_of(data: bytes, is_last: bool) -> int:
    """Length of the frame that begins here, at the end of a file; 0 if it is cut off.

    Its checksum holds where it ends, and as long as only zeros follow. Where ``is_last``, the
    header says that no further frame is due, so what follows is no sound.
    """
    ends, crc = [0], 0
    for place, byte in enumerate(data, 1):
        before, crc = crc, (crc << 8 & 0xFFFF) ^ _CRC_16[crc >> 8 ^ byte]
        if crc == 0 and before:
            ends.append(place)
    if crc == 0 and len(data) - ends[-1] <= _CHECKSUM_BYTES:
        return len(data)
    return ends[-1] if crc == 0 or is_last else 0


_CHECKSUM_BYTES = 2
"""So many zeros at the end may be the checksum's own."""


def _grows(source: Source, header: _FlacHeader, limit: int) -> bool:
    """Whether frames are numbered in order at a few places of a long file."""
    step = (limit - header.audio) // _PLACES
    last = -1
    for k in range(_PLACES if source.is_at_hand else 0):
        data = source.read(header.audio + k * step, _FLAC_TAIL_BYTES)
        frames = list(_flac_frames(data, header.channels))
        sure = [b for a, b in itertools.pairwise(frames) if _follows(a, b)]
        if sure and sure[0].number <= last:
            return False
        last = sure[-1].number if sure else last
    return True


def _next_flac(source: Source, at: int) -> int:
    """Where the next recording begins, by looking everywhere; the end of the file if nowhere."""
    while at < source.size:
        data = source.read(at, _PIECE_BYTES)
        place = data.find(b"fLaC")
        while place >= 0:
            if _FLAC_MARK.match(data, place):
                return at + place
            place = data.find(b"fLaC", place + 1)
        at += _PIECE_BYTES - 8
    return source.size
