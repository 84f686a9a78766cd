"""Sunrise and sunset by the clock on site.

The equations of NOAA's solar calculator (after Meeus 1998, Astronomical Algorithms), good to a
minute or two away from the poles; refraction and the sun's radius are those of a sea horizon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pipeline.inputs.times import parse_zone
from pipeline.records import RecordingCount
from pipeline.tables.rows import local_start, was_counted

_HORIZON_DEG = -0.833


@dataclass(frozen=True)
class SunTimes:
    """Sunrise and sunset over the dates and places of some recordings, hours of the day.

    Attributes:
        rise, set: earliest and latest, 0 to 24.
    """

    rise: tuple[float, float]
    set: tuple[float, float]

    @property
    def hours(self) -> dict[int, str]:
        """The hours of the day in which the sun rises and sets, in the middle of all dates."""
        return {int(sum(self.rise) / 2): "sunrise", int(sum(self.set) / 2): "sunset"}

    @property
    def words(self) -> str:
        """Both for people."""
        return f"sunrise {_span(self.rise)}, sunset {_span(self.set)}"


def _span(hours: tuple[float, float]) -> str:
    """A time of the day, or two.

    >>> _span((6.25, 6.26)), _span((17.9999, 18.5))
    ('6:15', '18:00 to 18:30')
    """
    minutes = [round(hour * 60) for hour in hours]
    texts = [f"{minute // 60 % 24}:{minute % 60:02d}" for minute in minutes]
    return texts[0] if minutes[1] - minutes[0] < 2 else " to ".join(texts)


def sun_times(recordings: Iterable[RecordingCount]) -> SunTimes | None:
    """Range of sunrise and sunset over recordings; None without place, date and zone in any."""
    asked = {
        (started.date(), round(row.latitude, 1), round(row.longitude, 1), row.time_zone)
        for row in recordings
        if was_counted(row)
        and row.latitude is not None
        and row.longitude is not None
        and row.time_zone
        and (started := local_start(row))
    }
    days = [times for at in asked if (times := rise_and_set(*at))]
    if not days:
        return None
    rises, sets = zip(*days, strict=True)
    return SunTimes((min(rises), max(rises)), (min(sets), max(sets)))


def rise_and_set(
    day: date, latitude: float, longitude: float, time_zone: str
) -> tuple[float, float] | None:
    """Sunrise and sunset as hours of the day by a zone's clock.

    Args:
        day: by the clock on site.
        latitude, longitude: degrees north and east.
        time_zone: a name such as ``America/Cayenne``, or an offset such as ``-03:00``.

    Returns:
        None where the sun does not rise or does not set that day.

    Raises:
        ValueError: the zone is unknown.

    >>> rise_and_set(date(2024, 6, 11), 4.09, -52.68, "America/Cayenne")
    (6.3..., 18.6...)
    >>> rise_and_set(date(2024, 6, 21), 70.0, 25.0, "+02:00") is None
    True
    """
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=parse_zone(time_zone))
    offset = noon.utcoffset() or timedelta()
    # Centuries since noon of 1 January 2000.
    t = (noon.astimezone(UTC) - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=36525)
    mean_longitude = (280.46646 + t * (36000.76983 + t * 0.0003032)) % 360
    anomaly = math.radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = (
        math.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * t)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * t)
    apparent = math.radians(mean_longitude + centre - 0.00569 - 0.00478 * math.sin(node))
    tilt = math.radians(23.439291 - 0.0130042 * t + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(tilt) * math.sin(apparent))
    y, longitude_2 = math.tan(tilt / 2) ** 2, 2 * math.radians(mean_longitude)
    equation_of_time_h = (
        math.degrees(
            y * math.sin(longitude_2)
            - 2 * eccentricity * math.sin(anomaly)
            + 4 * eccentricity * y * math.sin(anomaly) * math.cos(longitude_2)
            - 0.5 * y**2 * math.sin(2 * longitude_2)
            - 1.25 * eccentricity**2 * math.sin(2 * anomaly)
        )
        / 15
    )
    phi = math.radians(latitude)
    cosine = math.sin(math.radians(_HORIZON_DEG)) / (
        math.cos(phi) * math.cos(declination)
    ) - math.tan(phi) * math.tan(declination)
    if not -1 < cosine < 1:
        return None
    half_day_h = math.degrees(math.acos(cosine)) / 15
    transit_h = 12 - longitude / 15 - equation_of_time_h + offset / timedelta(hours=1)
    return (transit_h - half_day_h) % 24, (transit_h + half_day_h) % 24
