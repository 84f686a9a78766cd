"""What a recorder noted about a recording: in its file's header or, failing that, its name.

Headers are chunks of a RIFF file: GUANO (``guan``, text), Wildlife Acoustics' ``wamd`` (Song Meter)
and the comment that AudioMoth writes (``LIST``/``ICMT``). Names are Song Meter's
``NAME_YYYYMMDD_HHMMSS`` and AudioMoth's ``YYYYMMDD_HHMMSS``, ``HHMMSS`` in a folder of the date
``YYYYMMDD``, or eight hexadecimal digits.
"""

from __future__ import annotations

import os
import posixpath
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO

from pipeline.inputs.times import parse_moment
from pipeline.records import RecorderNote

_LONGEST_NOTE_BYTES = 256 * 1024
_MOST_CHUNKS = 64


def read_note(source: str | IO[bytes], name: str) -> RecorderNote:
    """The recorder's note on a recording; empty fields where it says nothing.

    Args:
        source: a path, or a binary file object that can seek.
        name: the recording's name.
    """
    if isinstance(source, str):
        with open(source, "rb") as file:
            chunks = dict(_note_chunks(file))
    else:
        chunks = dict(_note_chunks(source))
    found = [
        _guano(chunks.get(b"guan", b"")),
        _wamd(chunks.get(b"wamd", b"")),
        _audiomoth(chunks.get(b"LIST", b"")),
        note_from_name(name),
    ]
    timed = next((note for note in found if note.clock), RecorderNote())
    placed = next((note for note in found if note.latitude is not None), RecorderNote())
    dropped = " ".join(sorted({word for note in found for word in note.dropped.split()}))
    return replace(timed, latitude=placed.latitude, longitude=placed.longitude, dropped=dropped)


def _note_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Notes among the chunks of a RIFF or RF64 file, also those after the audio.

    A damaged header ends the search: the decoder is who says what is wrong with a file.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return
    position, long_data_bytes = 12, 0
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


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace").strip(" \0\r\n\t")


def _note(timestamp: str, source: str) -> RecorderNote:
    """A note of an ISO 8601 time; empty when it is none.

    >>> _note("2024-06-11T05:30:00-03:00", "guano")
    RecorderNote(clock='2024-06-11T05:30:00', utc_offset='-03:00', source='guano', latitude=None, \
longitude=None, dropped='')
    >>> _note("0001-01-01T00:00:00Z", "guano").dropped
    'invalid_time'
    """
    try:
        datetime.fromisoformat(timestamp)
    except ValueError:
        return RecorderNote()
    try:
        moment = parse_moment(timestamp)
    except ValueError:
        return RecorderNote(dropped="invalid_time")
    offset = moment.isoformat()[-6:] if moment.tzinfo else ""
    return RecorderNote(moment.replace(tzinfo=None).isoformat(), offset, source)


def _placed(note: RecorderNote, latitude: float, longitude: float) -> RecorderNote:
    """With a position, unless it is none: recorders write 0, 0 when they have no fix."""
    if (latitude, longitude) == (0, 0):
        return note
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # also what is not a number
        return replace(note, dropped=f"{note.dropped} invalid_position".strip())
    return replace(note, latitude=latitude, longitude=longitude)


def _guano(content: bytes) -> RecorderNote:
    """https://guano-md.org: lines ``Key: value``, time in ISO 8601 with or without an offset."""
    fields = {}
    for line in _text(content).splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    note = _note(fields.get("Timestamp", ""), "guano")
    try:
        latitude, longitude = map(float, fields.get("Loc Position", "").split())
    except ValueError:
        return note
    return _placed(note, latitude, longitude)


_WAMD_START, _WAMD_POSITION = 0x05, 0x06
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
    note = _note(entries.get(_WAMD_START, ""), "song_meter_header")
    if match := _WAMD_DEGREES.search(entries.get(_WAMD_POSITION, "")[:_POSITION_CHARACTERS]):
        latitude = float(match[1]) * (1 if match[2] == "N" else -1)
        longitude = float(match[3]) * (1 if match[4] == "E" else -1)
        return _placed(note, latitude, longitude)
    return note


_AUDIOMOTH = re.compile(
    r"Recorded at (\d{2}:\d{2}:\d{2})(?:\.\d+)? (\d{2})/(\d{2})/(\d{4}) "
    r"\(UTC(?:([+-])(\d{1,2})(?::(\d{2}))?)?\)"
)


def _audiomoth(content: bytes) -> RecorderNote:
    """AudioMoth's comment: ``Recorded at 10:25:00 04/04/2020 (UTC-3) by AudioMoth …``."""
    match = _AUDIOMOTH.search(_text(content))
    if not match:
        return RecorderNote()
    clock, day, month, year, sign, hours, minutes = match.groups()
    offset = f"{sign or '+'}{int(hours or 0):02d}:{minutes or '00'}"
    return _note(f"{year}-{month}-{day}T{clock}{offset}", "audiomoth_header")


_NAME = re.compile(r"(?<!\d)(\d{8})[_T](\d{6})(?!\d)(Z|[+-]\d{4}(?!\d))?")
_DATE_FOLDER, _CLOCK_NAME = re.compile(r"\d{8}"), re.compile(r"\d{6}T?")  # T: triggered
_HEX_NAME = re.compile(r"[0-9A-F]{8}")
_FIRST_AUDIOMOTH, _END_OF_32_BITS = datetime(2015, 1, 1, tzinfo=UTC), 0x7FFF_FFFF


def note_from_name(name: str) -> RecorderNote:
    """Times in names are the recorder's clock; only hexadecimal ones are UTC by definition.

    >>> note_from_name("card/20240601/050000.WAV").clock
    '2024-06-01T05:00:00'
    """
    stem, extension = os.path.splitext(posixpath.basename(name))
    if match := _NAME.search(stem):
        return _note(f"{match[1]}T{match[2]}{match[3] or ''}", "file_name")
    date = posixpath.basename(posixpath.dirname(name))
    if _CLOCK_NAME.fullmatch(stem) and _DATE_FOLDER.fullmatch(date):
        return _note(f"{date}T{stem[:6]}", "file_name")
    if _HEX_NAME.fullmatch(stem) and extension.lower() == ".wav":
        seconds = int(stem, 16)
        if _FIRST_AUDIOMOTH.timestamp() <= seconds <= _END_OF_32_BITS:
            return _note(datetime.fromtimestamp(seconds, UTC).isoformat(), "file_name")
    return RecorderNote()
