"""A recorder's note about a recording, in its file's header or its name.

Headers are chunks of a RIFF file: GUANO (``guan``, text), Wildlife Acoustics' ``wamd`` (Song Meter)
and AudioMoth's comment (``LIST``/``ICMT``); or the comments of a FLAC file by Frontier Labs'
recorders. Names: see ``recorder_names``.

If header and name state different times, the header's counts and the other one is a conflict. A
header that states no zone takes the one that a name states for the same time.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO

from pipeline.inputs.recorder_names import (
    DEGREES_PAIR,
    note_from_name,
    note_of_time,
    with_position,
)
from pipeline.inputs.times import Clock, parse_moment
from pipeline.records import RecorderNote

_LONGEST_NOTE_BYTES = 256 * 1024
_MOST_CHUNKS = 64


def read_note(source: str | IO[bytes], name: str) -> RecorderNote:
    """The recorder's note on a recording; fields without a value are empty.

    Args:
        source: a path, or a binary file object that can seek.
        name: the recording's name.
    """
    if isinstance(source, str):
        with open(source, "rb") as file:
            return note_of_chunks(list(_note_chunks(file)), name)
    return note_of_chunks(list(_note_chunks(source)), name)


def note_of_chunks(chunks: Sequence[tuple[bytes, bytes]], name: str) -> RecorderNote:
    """The note in these chunks of a file's header, and in its name.

    Args:
        chunks: kind (``guan``, ``wamd``, ``LIST``, or ``fLaC`` for its comments) and content.
        name: the recording's name.
    """

    def of(kind: bytes) -> Iterator[bytes]:
        return (content for name, content in chunks if name == kind)

    comments = _flac_comments(next(of(b"fLaC"), b""))
    notes = [
        *(_guano(_text(content)) for content in of(b"guan")),
        *map(_wamd, of(b"wamd")),
        *(_audiomoth(_text(content)) for content in of(b"LIST")),
        *(_guano(text) for text in comments.values() if text.startswith("GUANO|")),
        *map(_audiomoth, comments.values()),
        _frontier_labs(comments),
        note_from_name(name),
    ]
    return _joined(notes)


def _joined(notes: list[RecorderNote]) -> RecorderNote:
    """Joins notes; the first note with a value for a field wins."""
    timed = [note for note in notes if note.clock]
    placed = next((note for note in notes if note.latitude is not None), RecorderNote())
    clocks = [(note.source, _clock_of(note)) for note in timed]
    others = {f"{source} says {c}": None for source, c in clocks[1:] if not clocks[0][1].may_be(c)}
    first = timed[0] if timed else RecorderNote()
    if not first.utc_offset:
        same = (n for n in timed[1:] if n.utc_offset and _is_one_clock(first, n))
        first = replace(first, utc_offset=next((note.utc_offset for note in same), ""))
    return replace(
        first,
        latitude=placed.latitude,
        longitude=placed.longitude,
        dropped=" ".join(sorted({word for note in notes for word in note.dropped.split()})),
        conflict="; ".join(others),
        recorder=next((note.recorder for note in notes if note.recorder), ""),
        firmware=next((note.firmware for note in notes if note.firmware), ""),
        gain=next((note.gain for note in notes if note.gain), ""),
        battery_v=next((n.battery_v for n in notes if n.battery_v is not None), None),
        temperature_c=next((n.temperature_c for n in notes if n.temperature_c is not None), None),
    )


def _is_one_clock(note: RecorderNote, other: RecorderNote) -> bool:
    clocks = (Clock.of(parse_moment(one.clock)) for one in (note, other))
    return next(clocks).may_be(next(clocks))  # type: ignore[union-attr]


def _clock_of(note: RecorderNote) -> Clock:
    clock = Clock.of(parse_moment(note.clock + note.utc_offset))
    assert clock
    return clock


def _note_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Notes among the chunks of a RIFF or RF64 file, also those after the audio, or of a FLAC file.

    A tag (ID3) may stand in front. A damaged header ends the search: the decoder reports damage.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    start, head = 0, file.read(12)
    if head[:3] == b"ID3" and len(head) == 12:
        start = 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        file.seek(min(start, size_bytes))
        head = file.read(12)
    if head[:4] == b"fLaC":
        yield from _flac_blocks(file, start + 4)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return
    position, long_data_bytes = start + 12, 0
    for _ in range(_MOST_CHUNKS):
        if position > size_bytes:  # by more, perhaps, than a file can be long
            return
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, size = struct.unpack("<4sI", head)
        if kind in (b"guan", b"wamd", b"LIST") and size <= _LONGEST_NOTE_BYTES:
            content = file.read(size)
            if kind != b"LIST" or content[:4] == b"INFO":
                yield kind, content
        elif kind == b"ds64":
            ds64 = file.read(16)
            if len(ds64) == 16:
                long_data_bytes = struct.unpack("<8xQ", ds64)[0]
        elif kind == b"data" and size == 0xFFFF_FFFF:
            size = long_data_bytes
        position += 8 + size + size % 2


_VORBIS_COMMENT, _LAST_BLOCK = 4, 0x80


def _flac_blocks(file: IO[bytes], position: int) -> Iterator[tuple[bytes, bytes]]:
    """The block of comments of a FLAC file, https://xiph.org/flac/format.html."""
    for _ in range(_MOST_CHUNKS):
        file.seek(position)
        head = file.read(4)
        if len(head) < 4:
            return
        size = int.from_bytes(head[1:], "big")
        if head[0] & ~_LAST_BLOCK == _VORBIS_COMMENT and size <= _LONGEST_NOTE_BYTES:
            yield b"fLaC", file.read(size)
        if head[0] & _LAST_BLOCK:
            return
        position += 4 + size


def _flac_comments(block: bytes) -> dict[str, str]:
    """Comments by name in lower case: a maker's name, a number of comments, each ``NAME=value``."""

    def piece(at: int) -> tuple[bytes, int]:
        size = int.from_bytes(block[at : at + 4], "little")
        return block[at + 4 : at + 4 + size], at + 4 + size

    _, position = piece(0)
    count = int.from_bytes(block[position : position + 4], "little")
    position += 4
    comments: dict[str, str] = {}
    for _ in range(min(count, _MOST_CHUNKS)):
        if position + 4 > len(block):
            break
        comment, position = piece(position)
        name, _, value = _text(comment).partition("=")
        comments.setdefault(name.strip().lower(), value.strip())
    return comments


_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?")


def _number(text: str) -> float | None:
    """The first number in a text such as ``23.25C``."""
    match = _NUMBER.search(text[:100])
    return float(match[0]) if match else None


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace").strip(" \0\r\n\t")


def _guano(text: str) -> RecorderNote:
    """https://guano-md.org: lines ``Key: value``, time in ISO 8601 with or without an offset.

    Battery and gain are in makers' namespaces, ``OAD|Battery Voltage``.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
        fields.setdefault(key.rpartition("|")[2].strip(), value.strip())
    note = replace(
        note_of_time(fields.get("Timestamp", ""), "guano"),
        recorder=fields.get("Serial", ""),
        firmware=fields.get("Firmware Version", ""),
        gain=fields.get("Gain", ""),
        battery_v=_number(fields.get("Battery Voltage", "")),
        temperature_c=_number(fields.get("Temperature Int", "")),
    )
    try:
        latitude, longitude = map(float, fields.get("Loc Position", "").split())
    except ValueError:
        return note
    return with_position(note, latitude, longitude)


_WAMD_SERIAL, _WAMD_FIRMWARE, _WAMD_START, _WAMD_POSITION = 0x02, 0x03, 0x05, 0x06
_WAMD_TEMPERATURE = 0x15
_POSITION_CHARACTERS = 100  # a pattern searched for in a long text of digits takes minutes
_WAMD_DEGREES = re.compile(r"(-?\d+(?:\.\d+)?)\s*,\s*([NS])\s*,\s*(-?\d+(?:\.\d+)?)\s*,\s*([EW])")


def _wamd(content: bytes) -> RecorderNote:
    """Wildlife Acoustics: entries of type (2 bytes), size (4 bytes) and text."""
    entries: dict[int, str] = {}
    position = 0
    while position + 6 <= len(content):
        kind, size = struct.unpack_from("<HI", content, position)
        entries.setdefault(kind, _text(content[position + 6 : position + 6 + size]))
        position += 6 + size
    note = replace(
        note_of_time(entries.get(_WAMD_START, ""), "song_meter_header"),
        recorder=entries.get(_WAMD_SERIAL, ""),
        firmware=entries.get(_WAMD_FIRMWARE, ""),
        temperature_c=_number(entries.get(_WAMD_TEMPERATURE, "")),
    )
    if match := _WAMD_DEGREES.search(entries.get(_WAMD_POSITION, "")[:_POSITION_CHARACTERS]):
        latitude = float(match[1]) * (1 if match[2] == "N" else -1)
        longitude = float(match[3]) * (1 if match[4] == "E" else -1)
        return with_position(note, latitude, longitude)
    return note


_AUDIOMOTH = re.compile(
    r"Recorded at (\d{2}:\d{2}:\d{2})(?:\.\d+)? (\d{2})/(\d{2})/(\d{4}) "
    r"(?:\(UTC(?:([+-])(\d{1,2})(?:: ?(\d{1,2}))?)?\)|by AudioMoth )"
)


_AUDIOMOTH_STATE = {
    "recorder": re.compile(r"AudioMoth ([0-9A-F]{16})"),
    "gain": re.compile(r"at (?:gain setting (\d)|([a-z-]{3,11}) gain)"),
    "battery": re.compile(r"battery (?:state )?was (?:less than |greater than |[<>] )?(\d\.\d)V"),
    "temperature": re.compile(r"temperature was (-?\d{1,2}\.\d)C"),
}


def _audiomoth(text: str) -> RecorderNote:
    """AudioMoth's comment, in the words of its firmware since 1.0, whose clock is UTC unsaid.

    ``Recorded at 10:25:00 04/04/2020 (UTC-3) by AudioMoth 24526B065D325963 at medium gain while
    battery was 4.2V and temperature was 24.5C.``
    """
    match = _AUDIOMOTH.search(text)
    if not match:
        return RecorderNote()
    clock, day, month, year, sign, hours, minutes = match.groups()
    offset = f"{sign or '+'}{int(hours or 0):02d}:{int(minutes or 0):02d}"
    states = {name: pattern.search(text) for name, pattern in _AUDIOMOTH_STATE.items()}
    said = {name: next(filter(None, m.groups()), "") if m else "" for name, m in states.items()}
    return replace(
        note_of_time(f"{year}-{month}-{day}T{clock}{offset}", "audiomoth_header"),
        recorder=said["recorder"],
        gain=said["gain"],
        battery_v=_number(said["battery"]),
        temperature_c=_number(said["temperature"]),
    )


_VOLTS = re.compile(r"(\d{1,2}(?:\.\d{1,3})?) ?V\b")


def _frontier_labs(comments: Mapping[str, str]) -> RecorderNote:
    """Comments of Frontier Labs' FLAC files."""
    if "sensoruid" not in comments and "recordingstart" not in comments:
        return RecorderNote()
    volts = _VOLTS.search(comments.get("batterylevel", "")[:100])
    firmware = comments.get("sensorfirmwareversion", "").removeprefix("Firmware:").split()
    note = replace(
        note_of_time(comments.get("recordingstart", ""), "flac_comment"),
        recorder=comments.get("sensoruid", ""),
        firmware=firmware[0].removeprefix("V") if firmware else "",
        gain=comments.get("channelgain", ""),
        battery_v=float(volts[1]) if volts else None,
    )
    if match := DEGREES_PAIR.match(comments.get("sensorlocation", "")[:_POSITION_CHARACTERS]):
        return with_position(note, float(match[1]), float(match[2]))
    return note
