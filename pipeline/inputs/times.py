"""Moments as tables and recorders write them, checked once: where they enter."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

FIRST_YEAR, LAST_YEAR = 1970, 2100
"""Years in which a recording can have been made. 1970 is what a clock that was never set says."""
LARGEST_OFFSET = timedelta(hours=14)


def parse_moment(text: str) -> datetime:
    """A moment in ISO 8601, with or without an offset from UTC.

    Raises:
        ValueError: no such moment, a year in which nothing was recorded, or an offset that no
            place on earth has.

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
    """A moment as people write it: ISO 8601, or the day first as spreadsheets show it.

    Raises:
        ValueError: none of the two; the message says what to write.

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
        known = ("the year must", "the offset must")
        reason = str(error) if any(k in str(error) for k in known) else f"{text!r} is no time"
        raise ValueError(
            f"{reason}; write 2024-06-01 05:45, 2024-06-01T05:45:00-03:00 or, with the day first, "
            "01/06/2024 5:45"
        ) from None
