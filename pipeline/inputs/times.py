"""Moments as tables and recorders write them, checked once: where they enter."""

from __future__ import annotations

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
