"""Times, zones, positions and serial numbers in recorders' file names: one grammar, no I/O.

A stamp is a date, a time of day, perhaps a fraction of a second, perhaps a zone. Of several stamps
the first possible one is the start. What is written outside the stamps may be a position.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.inputs.times import parse_moment
from pipeline.records import RecorderNote

_ZONE = r"""
    Z (?![a-z])
  | [+-] \d\d :? \d\d (?! \d | \.\d )
  | [+-] \d\d (?! [\d:] | \.\d | [+-]\d{3} )
  | [_ ] [+-] \d{4} (?! \d | \.\d )
  | [_ ]? \(? (?:UTC|GMT) (?: [+-] \d{1,2} (?: :? \d\d )? (?!\d) )? \)?
"""
_STAMP = re.compile(
    rf"""
    (?<! \d )
    (?P<year> \d{{4}} ) (?P<dash> [-_.]? ) (?P<month> \d\d ) (?P=dash) (?P<day> \d\d )
    (?P<between> [T_$ -]? )
    (?P<hour> \d\d ) (?P<colon> [-_.:]? ) (?P<minute> \d\d ) (?P=colon) (?P<second> \d\d )
    (?: \. (?P<fraction> \d{{1,9}} ) (?= [Z+_ \[(-] | $ ) | (?P<millis> \d{{3}} ) )?
    (?! \d )
    (?P<zone> {_ZONE} )?
    """,
    re.VERBOSE,
)
_SOUNDTRAP = re.compile(r"\d{3,10}\.(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(Z?)")
_DATE_FOLDER = re.compile(r"(\d{4})(-?)(\d\d)\2(\d\d)")
_CLOCK_NAME = re.compile(r"(\d\d)(\d\d)(\d\d)T?")  # T: triggered
_HEX_NAME = re.compile(r"[0-9A-F]{8}T?")
_FIRST_AUDIOMOTH, _END_OF_32_BITS = datetime(2015, 1, 1, tzinfo=UTC), 0x7FFF_FFFF

_DEGREES = r"\d{1,3}(?:\.\d{1,9})?"
_FINE = r"\d{1,3}\.\d{1,9}"
DEGREES_PAIR = re.compile(rf"([+-]?{_DEGREES})[ ,]{{0,2}}([+-]{_FINE}|{_FINE})")
"""Latitude and longitude, with signs, a blank or a comma between them."""
_POSITIONS = (
    re.compile(rf"\[{DEGREES_PAIR.pattern}\]"),
    re.compile(rf"_([+-]?{_FINE})[ ,]{{1,2}}([+-]?{_FINE})(?=_|$)"),
    # ISO 6709: what has no fraction has two digits for the latitude and three for the longitude.
    re.compile(
        r"(?:^|[_ ])([+-]\d{1,2}\.\d{1,9}|[+-]\d\d)_?([+-]\d{1,3}\.\d{1,9}|[+-]\d{3})"
        r"(?:[+-][\d.]{1,9})?(?:CRS\w{1,20})?(?=[_ ]|$)"
    ),
    re.compile(rf"(?<![A-Za-z])([NS]{_FINE})[_ ]?([EW]{_FINE})(?![\d.])"),
)
_SERIAL = re.compile(
    r"(S4[A-Z]\d{5}|SM[A-Z3]\d{5}|SMM\d{5}|2M[A-Z]\d{5}|[0-9A-F]{16})_(?:[-+0-9AB]{1,3}_)?"
    r"\d{8}[_T$]\d{6}"
)


def note_from_name(name: str) -> RecorderNote:
    """What a recording's name, or its folder's, states.

    Times are the recorder's clock; only hexadecimal ones are UTC by definition.

    >>> note_from_name("card/20240601/050000.WAV").clock
    '2024-06-01T05:00:00'
    >>> note_from_name("20190412T054500.250+0930_00600.wav").utc_offset
    '+09:30'
    """
    stem, extension = os.path.splitext(posixpath.basename(name))
    note = _time_in_name(name, stem, extension)
    if match := _SERIAL.match(stem):
        note = replace(note, recorder=match[1])
    beside = _STAMP.sub("_", stem)
    for pattern in _POSITIONS:
        if match := pattern.search(beside):
            return with_position(note, _degrees(match[1]), _degrees(match[2]))
    return note


def _degrees(text: str) -> float:
    """Degrees with a sign, or with a letter for one.

    >>> _degrees("S3.5"), _degrees("+052.5")
    (-3.5, 52.5)
    """
    sign = -1 if text[0] in "SW" else 1
    return sign * float(text.lstrip("NSEW"))


def _time_in_name(name: str, stem: str, extension: str) -> RecorderNote:
    for stamp in _STAMP.finditer(stem):
        if note := _of_stamp(stamp):
            return note
    if match := _SOUNDTRAP.fullmatch(stem):
        year, month, day, *clock, zone = match.groups()
        return note_of_time(f"20{year}-{month}-{day}T{':'.join(clock)}{zone}", "file_name")
    date = _DATE_FOLDER.fullmatch(posixpath.basename(posixpath.dirname(name)))
    if (match := _CLOCK_NAME.fullmatch(stem)) and date:
        iso = f"{'-'.join(date.group(1, 3, 4))}T{':'.join(match.groups())}"
        return note_of_time(iso, "file_name")
    # A number that is not a recorder's WAV is somebody's catalogue number.
    is_stamp = extension.lower() == ".wav" or re.search("[A-F]", stem)
    if _HEX_NAME.fullmatch(stem) and is_stamp:
        seconds = int(stem[:8], 16)
        if _FIRST_AUDIOMOTH.timestamp() <= seconds <= _END_OF_32_BITS:
            return note_of_time(datetime.fromtimestamp(seconds, UTC).isoformat(), "file_name")
    return RecorderNote()


def _of_stamp(match: re.Match[str]) -> RecorderNote | None:
    """A stamp's time; None if there is no such time of day, or the digits are no stamp."""
    part = match.groupdict()
    if part["millis"] and part["between"] != "T":
        return None
    plain = "{year}-{month}-{day}T{hour}:{minute}:{second}".format(**part)
    try:
        datetime.fromisoformat(plain)
    except ValueError:
        return None
    fraction = part["fraction"] or part["millis"]
    plain += f".{fraction[:6]:0<6}" if fraction else ""
    try:
        zone = _zone(part["zone"] or "")
        parse_moment(plain + zone)
    except ValueError:
        return RecorderNote(dropped="invalid_time")
    return note_of_time(plain + zone, "file_name")


def _zone(text: str) -> str:
    """A zone as ISO 8601 has it; empty for none.

    >>> [_zone(text) for text in ("-09", "+0930", "_UTC-3", "Z", "")]
    ['-09:00', '+09:30', '-03:00', '+00:00', '']
    """
    if not text:
        return ""
    digits = re.sub(r"\D", "", text)
    if not digits:
        return "+00:00"
    hours, minutes = (digits, "00") if len(digits) <= 2 else (digits[:-2], digits[-2:])
    return f"{'-' if '-' in text else '+'}{int(hours):02d}:{minutes}"


def note_of_time(timestamp: str, source: str) -> RecorderNote:
    """A note of an ISO 8601 time; empty when it is none, and without it if it is impossible.

    >>> note = note_of_time("2024-06-11T05:30:00-03:00", "guano")
    >>> note.clock, note.utc_offset, note.source
    ('2024-06-11T05:30:00', '-03:00', 'guano')
    >>> note_of_time("0001-01-01T00:00:00Z", "guano").dropped
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


def with_position(note: RecorderNote, latitude: float, longitude: float) -> RecorderNote:
    """Adds a position unless it is invalid; recorders write 0, 0 without a fix."""
    if (latitude, longitude) == (0, 0):
        return note
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # also what is not a number
        return replace(note, dropped=f"{note.dropped} invalid_position".strip())
    return replace(note, latitude=latitude, longitude=longitude)
