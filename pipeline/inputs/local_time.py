"""The clock on site along a recording: it follows from the instant, also where clocks change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from pipeline.inputs.times import parse_zone
from pipeline.records import RecordingCount

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class SiteClock:
    """The clock on site while a recording was made.

    Attributes:
        local: at its start, without an offset.
        at: the same in UTC; None if no zone is known. Then the clock is taken not to change.
        zone: of the clock; None with ``at``.
    """

    local: datetime
    at: datetime | None = None
    zone: tzinfo | None = None

    @classmethod
    def of(cls, row: RecordingCount) -> SiteClock | None:
        """Of a recording; None if its start is unknown."""
        if not row.recorded_local:
            return None
        local = datetime.fromisoformat(row.recorded_local).replace(tzinfo=None)
        if not row.recorded_at:
            return cls(local)
        at = datetime.fromisoformat(row.recorded_at)
        zone = parse_zone(row.time_zone) if row.time_zone else at.tzinfo
        return cls(local, at.astimezone(UTC), zone)

    def moment(self, passed: timedelta) -> datetime | None:
        """Some time after the start, with its offset; None if no zone is known."""
        return (self.at + passed).astimezone(self.zone) if self.at else None

    def shown(self, passed: timedelta) -> datetime:
        """What the clock shows some time after the start, without an offset."""
        moment = self.moment(passed)
        return moment.replace(tzinfo=None, fold=0) if moment else self.local + passed

    def spans(
        self, length: timedelta, following: Callable[[datetime], datetime]
    ) -> Iterator[tuple[datetime, timedelta, timedelta]]:
        """Cuts the time from the start at moments of the clock, and where the clock is changed.

        Args:
            length: of the time.
            following: what the clock shows → the next moment to cut at.

        Yields:
            What the clock shows at a span's begin, and its begin and end after the start.
        """
        begin = timedelta()
        while begin < length:
            local = self.shown(begin)
            end = self._unchanged(begin, min(begin + (following(local) - local), length))
            yield local, begin, end
            begin = end

    def _unchanged(self, begin: timedelta, end: timedelta) -> timedelta:
        """The end, or where the clock is changed before it."""

        def ahead(passed: timedelta) -> datetime:
            return self.shown(passed) - passed

        if ahead(begin) == ahead(end - _TICK):
            return end
        before, after = begin, end - _TICK
        while after - before > _TICK:
            middle = before + (after - before) // 2
            before, after = (middle, after) if ahead(middle) == ahead(begin) else (before, middle)
        return after


def full_hour(local: datetime) -> datetime:
    """The next full hour."""
    return local.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def called(row: RecordingCount, seconds: float) -> tuple[str, str]:
    """The moment some seconds after a recording's start, ISO 8601 with offset, and what the clock
    on site showed then, or else the recorder's; empty where it is unknown.
    """
    if not (clock := SiteClock.of(row)):
        return "", ""
    passed = timedelta(seconds=seconds)
    moment, local = clock.moment(passed), clock.shown(passed).isoformat(timespec="milliseconds")
    return moment.isoformat(timespec="milliseconds") if moment else "", local
