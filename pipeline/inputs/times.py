"""Parses and checks moments in tables and recorders' notes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Possible years of a recording. 1970 is the year of an unset clock."""
LARGEST_OFFSET = timedelta(hours=14)
FIRST_SET_YEAR = 2001
"""An earlier year means an unset clock: those start in 1970, 1980 or 2000."""
TOLERATED_DIFFERENCE = timedelta(minutes=1)
"""Between two notes of one start: a recorder may name the file before it writes the header."""


def parse_moment(text: str) -> datetime:
    """A moment in ISO 8601, with or without an offset from UTC.

    Raises:
        ValueError: no moment, an impossible year, or an offset of no place on earth.

    >>> parse_moment("2024-06-11T05:30:00-03:00").isoformat()
    '2024-06-11T05:30:00-03:00'
    >>> parse_moment("0001-01-01T00:00:00")
    Traceback (most recent call last):
    ValueError: 0001-01-01T00:00:00: the year must be 1970 to 2100
    """
    moment = datetime.fromisoformat(text)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"{text}: the year must be {FIRST_YEAR} to {LAST_YEAR}")
    offset = moment.utcoffset() or timedelta()
    if abs(offset) > LARGEST_OFFSET or offset % timedelta(minutes=1):
        raise ValueError(f"{text}: the offset must be whole minutes, at most 14 h")
    return moment


_DAY_FIRST = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ T]+(\d{1,2})[:h](\d{2})(?::(\d{2}))?)?"
)
_YEAR_FIRST = re.compile(
    r"(\d{4})[./-](\d{1,2})[./-](\d{1,2})(?:[ T]+(\d{1,2})[:h](\d{2})(?::(\d{2}))?)?"
)


def read_moment(text: str) -> datetime:
    """A moment in ISO 8601, or with the day first as spreadsheets show it.

    Raises:
        ValueError: neither; the message gives examples.

    >>> read_moment("01/06/2024 5:45").isoformat()
    '2024-06-01T05:45:00'
    """
    if match := _DAY_FIRST.fullmatch(text):
        day, month, year, *clock = match.groups()
    elif match := _YEAR_FIRST.fullmatch(text):
        year, month, day, *clock = match.groups()
    else:
        return _as_iso(text, text)
    hour, minute, second = (int(part or 0) for part in clock)
    iso = f"{year}-{int(month):02d}-{int(day):02d}T{hour:02d}:{minute:02d}:{second:02d}"
    return _as_iso(iso, text)


def _as_iso(iso: str, text: str) -> datetime:
    try:
        return parse_moment(iso)
    except ValueError as error:
        explained = ("the year must", "the offset must")
        reason = str(error) if any(k in str(error) for k in explained) else f"{text!r} is no time"
        raise ValueError(
            f"{reason}; write 2024-06-01 05:45, 2024-06-01T05:45:00-03:00 or, with the day first, "
            "01/06/2024 5:45"
        ) from None


_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")


def parse_zone(text: str) -> tzinfo:
    """A zone's name or an offset such as ``-03:00`` as a time zone.

    Raises:
        ValueError: neither.
    """
    if text in ("UTC", "Z"):
        return UTC
    if match := _OFFSET.fullmatch(text):
        delta = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
        if delta < timedelta(hours=24):
            return timezone(delta if match[1] == "+" else -delta)
    try:
        return ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        raise ValueError(
            f"time zone {text!r}: give a name such as America/Cayenne or an offset such as -03:00"
        ) from None


@dataclass(frozen=True)
class Clock:
    """A written moment and its possible meanings.

    Attributes:
        shown: as written, with its offset if there is one.
        readings: by the clock on site and in UTC, as far as each follows; none has an offset. A
            moment without an offset may be either.
    """

    shown: datetime
    readings: tuple[datetime, ...]

    @classmethod
    def of(cls, moment: datetime | None, zone: tzinfo | None = None) -> Clock | None:
        """A clock; None for none.

        Args:
            moment: with or without an offset.
            zone: on site, if it is known.
        """
        if moment is None:
            return None
        plain = moment.replace(tzinfo=None)
        readings = [plain]
        if moment.tzinfo is not None:
            readings.append(moment.astimezone(UTC).replace(tzinfo=None))
        if zone is not None:
            at = moment if moment.tzinfo else moment.replace(tzinfo=zone)
            readings += [at.astimezone(other).replace(tzinfo=None) for other in (zone, UTC)]
        return cls(moment, tuple(dict.fromkeys(readings)))

    def may_be(self, other: Clock | None) -> bool:
        """Whether both can mean one moment."""
        if other is None:
            return True
        if self.shown.tzinfo and other.shown.tzinfo:
            return abs(self.shown - other.shown) <= TOLERATED_DIFFERENCE
        return any(
            abs(one - another) <= TOLERATED_DIFFERENCE
            for one in self.readings
            for another in other.readings
        )

    def __str__(self) -> str:
        return self.shown.isoformat()
