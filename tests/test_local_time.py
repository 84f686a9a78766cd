"""Clocks that change: local time follows from the instant, hours stand in their rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inputs.deployments import when_and_where, where_and_when_called
from pipeline.inputs.local_time import SiteClock, full_hour
from pipeline.records import Place, RecorderNote, RecordingCount
from pipeline.survey.histories import time_shares
from pipeline.survey.recorders import recorders
from pipeline.tables.activity import activity
from tests.test_histories import recording


def made(clock: str, zone: str, hours: float = 1.0, offset: str = "") -> RecordingCount:
    """A recording, from what its recorder and a table say."""
    when = when_and_where(Place("Ridge", time_zone=zone), RecorderNote(clock, offset, "file_name"))
    row = recording(f"{clock}{offset}.wav", when["recorded_local"], site="Ridge", recorder="A")
    return replace(row, **when, duration_s=hours * 3600, heard_s=hours * 3600)


@pytest.mark.parametrize(
    ("clock", "zone", "seconds", "at", "local"),
    [
        ("2024-03-10T01:59:40", "America/New_York", 22.4,
         "2024-03-10T03:00:02.400-04:00", "2024-03-10T03:00:02.400"),
        ("2024-03-10T01:59:40", "America/New_York", 12.5,
         "2024-03-10T01:59:52.500-05:00", "2024-03-10T01:59:52.500"),
        ("2024-11-03T00:59:30", "America/New_York", 3700,
         "2024-11-03T01:01:10.000-05:00", "2024-11-03T01:01:10.000"),
        ("2024-03-31T01:59:00", "Europe/Paris", 90,
         "2024-03-31T03:00:30.000+02:00", "2024-03-31T03:00:30.000"),
        ("2024-04-07T01:29:00", "Australia/Lord_Howe", 3600,
         "2024-04-07T01:59:00.000+10:30", "2024-04-07T01:59:00.000"),
        ("2024-03-10T01:59:40", "-05:00", 22.4,
         "2024-03-10T02:00:02.400-05:00", "2024-03-10T02:00:02.400"),
        ("2024-03-10T01:59:40", "", 22.4, "", "2024-03-10T02:00:02.400"),
    ],
)  # fmt: skip
def test_a_call_after_the_clock_was_changed(
    clock: str, zone: str, seconds: float, at: str, local: str
) -> None:
    called = where_and_when_called(made(clock, zone), seconds)
    assert (called["called_at"], called["called_local"]) == (at, local)


def hours_by_hand(row: RecordingCount, zone: str) -> Counter[tuple[str, int]]:
    """Seconds by date and hour, each second by itself."""
    start = datetime.fromisoformat(row.recorded_at).astimezone(UTC)
    moments = (start + timedelta(seconds=n) for n in range(round(row.heard_s or 0)))
    shown = (moment.astimezone(ZoneInfo(zone)) for moment in moments)
    return Counter((moment.date().isoformat(), moment.hour) for moment in shown)


@given(
    st.sampled_from(
        [
            ("America/New_York", datetime(2024, 3, 10, 7)),
            ("America/New_York", datetime(2024, 11, 3, 6)),
            ("Australia/Lord_Howe", datetime(2024, 4, 6, 15)),
            ("Asia/Gaza", datetime(2016, 3, 25, 23)),
            ("America/St_Johns", datetime(2010, 11, 7, 2, 31)),  # at one minute past midnight
            ("America/Cayenne", datetime(2024, 6, 1, 6)),
        ]
    ),
    st.integers(-3 * 3600, 3600),
    st.integers(1, 5 * 3600),
)
def test_hours_stand_in_their_rows(
    change: tuple[str, datetime], begin_s: int, length_s: int
) -> None:
    zone, moment = change
    start = moment.replace(tzinfo=UTC) + timedelta(seconds=begin_s)
    row = made(start.replace(tzinfo=None).isoformat(), zone, length_s / 3600, "+00:00")
    by_row = {(hour.date, hour.hour): round(hour.recorded_h * 3600) for hour in activity([row], [])}
    assert by_row == hours_by_hand(row, zone)


def test_two_hours_in_the_hour_that_comes_twice() -> None:
    row = made("2024-11-03T00:00:00", "America/New_York", 4)
    hours = [(hour.hour, hour.recorded_h) for hour in activity([row], [])]
    assert hours == [(0, 1.0), (1, 2.0), (2, 1.0)]
    row = made("2024-03-10T00:00:00", "America/New_York", 4)
    assert [hour.hour for hour in activity([row], [])] == [0, 1, 3, 4]


def test_visits_are_cut_at_the_clock_that_people_see() -> None:
    row = made("2024-03-09T20:00:00", "America/New_York", 20)  # to 17:00 on the next day
    assert [ms / 3.6e6 for _, ms, _ in time_shares(row, "night")] == [6, 9, 5]
    assert sum(ms for visit, ms, _ in time_shares(row, "day") if visit.day == 10) / 3.6e6 == 16


def test_spans_cover_the_time_once() -> None:
    clock = SiteClock.of(made("2024-11-03T00:30:00", "America/New_York"))
    assert clock
    spans = list(clock.spans(timedelta(hours=3), full_hour))
    assert [begin for _, begin, _ in spans[1:]] == [end for _, _, end in spans[:-1]]
    assert [local.hour for local, _, _ in spans] == [0, 1, 1, 2]


def warnings_of(rows: list[RecordingCount]) -> str:
    (line,) = recorders(rows)
    return line.warnings


def test_the_hour_that_comes_twice_is_no_overlap() -> None:
    stated = [
        made(f"2024-11-03T0{hour}:30:00", "America/New_York", 1, "+00:00") for hour in range(3, 9)
    ]
    assert warnings_of(stated) == ""  # by their local times, two begin at 01:30
    named = [
        made(f"2024-11-03T{clock}:00", "America/New_York", 1.5) for clock in ("00:00", "01:30")
    ]
    after = made("2024-11-03T02:00:00", "America/New_York", 1)
    assert not named[1].recorded_at
    assert "begin before" not in warnings_of([*named, after])
    again = replace(named[0], recording="again.wav")
    assert "1 recordings begin before" in warnings_of([*named, again])


def test_a_skipped_hour_is_no_gap_and_hides_no_overlap() -> None:
    rows = [made(f"2024-03-10T0{hour}:00:00", "America/New_York", 1) for hour in (0, 1, 3, 4)]
    assert "begin before" not in warnings_of(rows)
    (line,) = recorders([made("2024-03-10T01:00:00", "America/New_York", 2)])
    assert line.last_local == "2024-03-10T04:00:00"
    long = made("2024-03-10T01:00:00", "America/New_York", 1.9)
    assert "begin before" in warnings_of([long, *rows[2:]])
