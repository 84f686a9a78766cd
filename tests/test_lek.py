"""Bouts, turns and the least number of males; the tables and the page of ``lek``."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands import lek
from pipeline.lek.bouts import DEFAULT_GAP_S, find_gap, rate_in, split
from pipeline.lek.males import TYPICAL, Calls, least_males
from pipeline.lek.season import Bout, Lek, season
from pipeline.lek.stretches import overlapping_s, stretches_of
from pipeline.lek.turns import turns
from pipeline.records import DetectedCall, RecordingCount, column_names
from pipeline.tables.csv_text import csv_line
from pipeline.tables.schema import cells, columns_of
from tests.test_histories import call, label, recording, survey


def voiced(row: RecordingCount, start_s: float, spacing_hz: float | None) -> DetectedCall:
    error_hz = None if spacing_hz is None else 0.2
    found = call(row, start_s)
    return replace(found, spacing_hz=spacing_hz, spacing_error_hz=error_hz, moo_s=2.0)


def calls_of(begin_s: list[float], spacing_hz: list[float]) -> Calls:
    return Calls(np.array(begin_s), np.array(spacing_hz), np.full(len(begin_s), 0.2))


@given(
    st.lists(st.floats(5.0, 30.0), min_size=1, max_size=40),
    st.floats(110, 160),
    st.data(),
)
def test_one_bird_is_never_two(gaps_s: list[float], lowest_hz: float, data: st.DataObject) -> None:
    n = len(gaps_s)
    above = data.draw(st.lists(st.floats(0, TYPICAL.spread_hz), min_size=n, max_size=n))
    calls = calls_of(np.cumsum(gaps_s).tolist(), [lowest_hz + hz for hz in above])
    assert least_males(calls) == 1


@pytest.mark.parametrize(
    ("begin_s", "spacing_hz", "least"),
    [
        ([], [], 0),
        ([0, 2, 4], [130, 130, 130], 3),  # at once
        ([0, 10, 20, 30], [130, 136, 130, 136], 2),  # voices
        ([0, 10, 20], [130, 136, 130], 1),  # what was measured once may be a mistake
        ([0, 2, 20, 22], [130, 130, 136, 136], 4),  # two of each voice
        ([0, 2, 20, 22], [130, 130.5, 131, 130], 2),
    ],
)
def test_least_males(begin_s: list[float], spacing_hz: list[float], least: int) -> None:
    assert least_males(calls_of(begin_s, spacing_hz)) == least


def test_the_gap_between_bouts_is_found() -> None:
    rng = np.random.default_rng(0)
    within = rng.lognormal(np.log(6), 0.4, 400)
    between = rng.lognormal(np.log(500), 0.8, 60)
    gap = find_gap(np.concatenate([within, between]), rng)
    assert gap.source == "found"
    assert gap.low is not None
    assert gap.high is not None
    assert 15 < gap.low <= gap.seconds <= gap.high < 150


def test_gaps_of_one_kind_hold_no_gap_between_bouts() -> None:
    rng = np.random.default_rng(0)
    assert find_gap(rng.lognormal(2, 0.5, 400), rng).seconds == DEFAULT_GAP_S
    assert find_gap(np.array([3.0, 800.0]), rng).source == "default"


@given(st.lists(st.floats(0, 1e4), max_size=30), st.floats(1, 1e3))
def test_bouts_hold_every_call_once(times_s: list[float], gap_s: float) -> None:
    begin_s = np.sort(np.array(times_s))
    bouts = [begin_s[bout] for bout in split(begin_s, gap_s)]
    assert np.concatenate([np.zeros(0), *bouts]).tolist() == begin_s.tolist()
    assert all((np.diff(bout) <= gap_s).all() for bout in bouts)


def test_a_rate_has_the_interval_of_its_gaps() -> None:
    assert rate_in(np.array([0.0, 5.0, 10.0])) is None
    assert rate_in(np.array([0.0, 10.0, 20.0, 30.0])) == pytest.approx((6.0, 6.0, 6.0))


def test_turns_are_told_from_chance() -> None:
    rng = np.random.default_rng(3)
    by_turns = np.cumsum(rng.uniform(3.6, 4.4, 60))
    voices = np.where(np.arange(60) % 2, 130.0, 136.0)
    result = turns([(by_turns, voices)], rng)
    assert result is not None
    assert result.overlaps == 0
    assert result.p < 0.02
    apart = [np.sort(rng.uniform(0, 600, 40)) for _ in range(2)]
    times = np.concatenate(apart)
    order = np.argsort(times)
    independent = turns([(times[order], np.repeat([130.0, 136.0], 40)[order])], rng)
    assert independent is not None
    assert independent.p > 0.05
    assert turns([(by_turns, np.full(60, 130.0))], rng) is None


def nights() -> tuple[list[RecordingCount], list[DetectedCall]]:
    """Two files of an hour without a break on five evenings; two voices by turns in the first."""
    rows, calls = [], []
    for day in range(10, 15):
        first = recording(f"a/{day}.wav", f"2024-06-{day}T17:00:00", 1)
        second = recording(f"b/{day}.wav", f"2024-06-{day}T18:00:00", 1)
        rows += [first, second]
        times = [3560.0 + 4 * k for k in range(10)]
        calls += [voiced(first, t, 130.0 + 6 * (k % 2)) for k, t in enumerate(times)]
        calls.append(voiced(second, 2.0, 130.0))
    return rows, calls


def test_a_bout_goes_on_in_the_next_file() -> None:
    rows, calls = nights()
    result = season(stretches_of(survey(rows, calls), "night"), 60.0)
    site, *periods = result.rows
    assert (site.scope, site.calls, site.recorded_h, site.periods) == ("site", 55, 10.0, 5)
    assert [(row.period, row.bouts, row.least_males) for row in periods] == [
        (f"2024-06-{day}", 1, 2) for day in range(10, 15)
    ]
    assert {(bout.recording, bout.calls, bout.is_cut) for bout in result.bouts} == {
        (f"a/{day}.wav", 11, 0) for day in range(10, 15)
    }
    assert site.minutes_with_calls == 10
    assert site.max_per_min == 10
    assert (site.cv, site.periods_needed) == (0.0, 1)


def test_rows_do_not_depend_on_the_order_of_recordings() -> None:
    rows, calls = nights()
    once = season(stretches_of(survey(rows, calls), "night"))
    again = season(stretches_of(survey(rows[::-1], calls[::-1]), "night"))
    assert once == again


def test_halves_part_dawn_from_dusk() -> None:
    row = recording("a.wav", "2024-06-10T11:00:00", 2)
    found = [call(row, 10.0), call(row, 4000.0)]
    rows = season(stretches_of(survey([row], found), "half"), 60.0).rows
    assert [(row.period, row.calls) for row in rows] == [
        ("", 2),
        ("2024-06-10 evening", 1),
        ("2024-06-10 morning", 1),
    ]


def test_refuted_calls_take_no_part() -> None:
    row = recording("a.wav", "2024-06-10T17:00:00", 1)
    found = survey([row], [call(row, 10.0), call(row, 90.0)], [label(row, 10.0, "no")])
    assert season(stretches_of(found, "night"), 60.0).rows[0].calls == 1


def test_recordings_at_once_are_told_of() -> None:
    rows = [recording(f"{n}.wav", f"2024-06-10T17:0{n}:00", 1 / 6) for n in range(2)]
    assert overlapping_s(stretches_of(survey(rows, []), "night")) == 540


def test_the_command_writes_tables_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, calls = nights()
    run = tmp_path / "results"
    run.mkdir()
    for name, kind, table in (
        ("counts.csv", RecordingCount, rows),
        ("calls.csv", DetectedCall, calls),
    ):
        lines = [csv_line(column_names(kind)), *(csv_line(cells(row)) for row in table)]
        (run / name).write_text("".join(lines), encoding="utf-8")
    output = tmp_path / "lek"
    lek.main([str(run), "--output", str(output)])
    assert "Ridge" in capsys.readouterr().out
    with (output / "lek.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["scope"] for row in written] == ["site", *["period"] * 5]
    assert written[0]["least_males"] == "2"
    with (output / "bouts.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 5
    page = (output / "lek.html").read_text(encoding="utf-8")
    assert "males at least" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_guide_explains_every_column() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "lek.md").read_text(encoding="utf-8")
    for kind in (Lek, Bout):
        for column in columns_of(kind):
            assert f"| `{column.name}` | {column.doc} |" in guide
