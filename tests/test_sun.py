"""Sunrise and sunset, against an almanac."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import RecordingCount
from pipeline.report.sun import rise_and_set, sun_times


def hours(clock: str) -> float:
    hour, minute = clock.split(":")
    return int(hour) + int(minute) / 60


@pytest.mark.parametrize(
    ("day", "latitude", "longitude", "zone", "rise", "set_"),
    [  # as the astral library has them
        ("2024-06-21", 51.5, -0.1167, "Europe/London", "4:43", "21:21"),
        ("2024-12-21", 51.5, -0.1167, "Europe/London", "8:04", "15:53"),
        ("2024-06-11", 4.0851, -52.6744, "America/Cayenne", "6:20", "18:41"),
        ("2024-03-20", -33.8688, 151.2093, "Australia/Sydney", "6:58", "19:07"),
    ],
)
def test_the_sun_is_where_an_almanac_has_it(
    day: str, latitude: float, longitude: float, zone: str, rise: str, set_: str
) -> None:
    found = rise_and_set(date.fromisoformat(day), latitude, longitude, zone)
    assert found is not None
    assert found == pytest.approx((hours(rise), hours(set_)), abs=3 / 60)


@given(st.dates(date(1990, 1, 1), date(2060, 1, 1)), st.floats(-60, 60), st.floats(-7.5, 7.5))
def test_days_are_long_in_summer_and_twelve_hours_at_the_equator(
    day: date, latitude: float, longitude: float
) -> None:
    found = rise_and_set(day, latitude, longitude, "+00:00")
    assert found is not None
    length = found[1] - found[0]
    assert 5 < length < 19.5
    at_equator = rise_and_set(day, 0.0, longitude, "+00:00")
    assert at_equator is not None
    assert at_equator[1] - at_equator[0] == pytest.approx(12.12, abs=0.05)


def test_recordings_without_place_time_or_zone_say_nothing() -> None:
    def row(**changes: object) -> RecordingCount:
        given_ = {
            "recording": "a", "outcome": "ok", "latitude": 4.1, "longitude": -52.7,
            "recorded_local": "2024-06-11T05:30:00", "time_zone": "America/Cayenne",
            "counting": "calls", "threshold": 0.5, "hop_s": 1.0, "model_version": "m",
            "run_id": "r", "schema_version": 2,
        }  # fmt: skip
        return RecordingCount(**{**given_, **changes})  # type: ignore[arg-type]

    found = sun_times([row(), row(latitude=None), row(time_zone=""), row(recorded_local="")])
    assert found is not None
    assert found.words == "sunrise 6:20, sunset 18:41"
    assert found.hours == {6: "sunrise", 18: "sunset"}
    assert sun_times([row(latitude=None)]) is None
    assert sun_times([row(outcome="failed")]) is None
