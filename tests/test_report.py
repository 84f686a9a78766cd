"""The report: what it shows, of how much, and what it says when something is missing."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import combinations, permutations
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model.calls import log_odds
from model.spectrogram import spectrogram_db
from pipeline import launch, options
from pipeline.__main__ import main
from pipeline.commands import rescore
from pipeline.inputs.deployments import where_and_when_called
from pipeline.records import ActivityHour, DetectedCall, RecordingCount, VerifiedCount
from pipeline.report.activity import (
    Activity,
    by_hour,
    by_site,
    expected_total,
    heat_map,
    shade,
    shown_hours,
)
from pipeline.report.charts import (
    LETTER_PERCENT,
    LINE_PERCENT,
    STRIP_COLUMNS,
    Dot,
    geojson,
    score_bars,
    site_map,
    strip_code,
)
from pipeline.report.choose import choose_calls, choose_recordings, choose_strips, rank_calls
from pipeline.report.headline import headline
from pipeline.report.html import clock
from pipeline.report.page import CallGroup, _pictured, render_page, write_page
from pipeline.report.spectrograms import TOP_HZ, picture_call
from pipeline.report.verified import VerifiedFigures
from pipeline.run import run_of
from pipeline.tables.activity import activity
from pipeline.tables.read import RunResults, WindowScores, read_results, read_scores
from pipeline.tables.rows import valid_s
from pipeline.tables.score_scale import HIGHEST, LOWEST, score_place
from tests import fakes
from tests.fixed_run import RATE_HZ, write_recording

pytestmark = pytest.mark.usefixtures("plain_loop")

PROVENANCE: dict[str, Any] = {"model_version": "m-1", "run_id": "run", "schema_version": 1}


def recording(
    name: str = "a.wav",
    calls: int | None = 1,
    heard_s: float = 3600.0,
    began: str = "",
    site: str = "",
) -> RecordingCount:
    return RecordingCount(
        recording=name,
        outcome="failed" if calls is None else "ok" if calls else "no_calls",
        call_count=calls,
        max_score=None if calls is None else 0.9,
        duration_s=heard_s,
        heard_s=heard_s,
        error="open: cannot" if calls is None else "",
        counting="calls",
        threshold=0.5,
        hop_s=0.5,
        site=site,
        recorded_local=began,
        **PROVENANCE,
    )


def call_at(name: str, start_s: float, end_s: float, score: float) -> DetectedCall:
    return DetectedCall(
        recording=name,
        start_s=start_s,
        end_s=end_s,
        score=score,
        windows=1,
        label="Perissocephalus tricolor",
        **PROVENANCE,
    )


def test_activity_shares_time_out_over_hours_and_dates() -> None:
    night = recording("n.wav", 2, 7200, "2024-06-11T22:30:00")
    failed = recording("f.wav", None, 0, "2024-06-12T03:00:00")
    unknown = recording("u.wav", 5, 3600)
    calls = [
        replace(call_at("n.wav", s, s + 4, 0.9), **where_and_when_called(night, s))
        for s in (60, 6000)
    ]
    rows = activity([night, failed, unknown], calls)
    hours = by_hour(rows)
    heard = {a.label: (a.calls, a.valid_s) for a in hours if a.valid_s or a.calls}
    assert heard == {"22": (1, 1800.0), "23": (0, 3600.0), "00": (1, 1800.0)}
    assert {a.label: a.calls_per_hour for a in hours}["22"] == 2.0
    assert [a.label for a in hours] == ["22", "23", "00"]
    found = heat_map(rows)
    assert found
    assert found.unit == "night"
    assert [(a.label, a.calls, a.valid_s) for a in found.columns] == [("2024-06-11", 2, 7200.0)]
    rates = [(hour, [a.calls_per_hour for a in row]) for hour, row in found.rows]
    assert rates == [(22, [2.0]), (23, [0.0]), (0, [2.0])]
    assert found.busiest[1].calls_per_hour == 2.0
    assert heat_map([]) is None


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ({5}, [5]),
        ({5, 6, 17}, [*range(5, 18)]),
        ({18, 23, 4}, [18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4]),
        ({*range(24)}, [*range(24)]),
        ({0, 12}, [*range(13)]),
    ],
)
def test_hours_are_shown_from_the_first_recorded_to_the_last(
    recorded: set[int], shown: list[int]
) -> None:
    rows = [
        ActivityHour(site="", date="2024-06-11", hour=hour, recorded_h=hour in recorded, calls=0)
        for hour in range(24)
    ]
    assert list(shown_hours(rows)) == shown


def test_hours_in_which_the_recorder_was_deaf_do_not_count() -> None:
    deaf = replace(
        recording("a.wav", 3, 7200, "2024-06-11T05:00:00", "Ridge"),
        silent_share=0.3,
        dropout_share=0.2,
    )
    assert [a.valid_s for a in by_hour(activity([deaf], [])) if a.valid_s] == [1800.0, 1800.0]
    assert by_site([deaf])[0].calls_per_hour == 3.0


def test_many_dates_become_months() -> None:
    found = [recording("a.wav", 0, 10, "2024-01-31T00:00:00")]
    found += [recording("b.wav", 0, 10, "2024-12-01T00:00:00")]
    rows = activity(found, [])
    found_map = heat_map(rows)
    assert found_map
    assert [a.label for a in found_map.columns] == [f"2024-{month:02d}" for month in range(1, 13)]


def test_sites_need_no_times() -> None:
    found = [
        recording("a.wav", 3, 1800, site="Ridge"),
        recording("b.wav", 0, 1800, site="Ridge"),
        recording("c.wav", None, 0, site="Creek"),
    ]
    assert [(a.label, a.calls_per_hour) for a in by_site(found)] == [("Ridge", 3.0)]


def test_shades_tell_no_recording_from_no_call() -> None:
    silent, absent = Activity("05", 0, 60.0), Activity("06", 0, 0.0)
    assert (shade(silent, 10.0), shade(absent, 10.0), shade(silent, 0.0)) == ("l0", "absent", "l0")
    rates = [Activity("05", n, 3600.0) for n in (1, 5, 10)]
    assert [shade(activity, 10.0) for activity in rates] == ["l1", "l3", "l5"]


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.floats(0.01, 1e6)), min_size=1, max_size=20),
)
def test_the_highest_rate_has_the_darkest_shade(parts: list[tuple[int, float]]) -> None:
    every = [Activity(str(n), *part) for n, part in enumerate(parts)]
    rates = [one.calls_per_hour or 0.0 for one in every]
    shades = [shade(one, max(rates)) for one in every]
    assert set(shades) <= {f"l{level}" for level in range(6)}
    assert [one == "l0" for one in shades] == [rate == 0 for rate in rates]
    if max(rates):
        assert shades[rates.index(max(rates))] == "l5"
    ordered = sorted(zip(rates, shades, strict=True))
    assert [one for _, one in ordered] == sorted(shades)


def test_a_rate_whose_fivefold_is_rounded_up_is_drawn() -> None:
    rate = 31 / 59.7 * 3600
    assert 5 * rate / rate > 5
    assert shade(Activity("Lek", 31, 59.7), rate) == "l5"


def test_a_strip_keeps_the_highest_score_of_a_long_recording() -> None:
    scores = np.zeros(40_000, np.float32)
    scores[31_234] = 1.0
    code = strip_code(20_000, WindowScores(np.arange(40_000.0) / 2, scores))
    assert len(code) == STRIP_COLUMNS
    assert set(code) == {"0", "z"}
    assert code.index("z") == 31_234 * STRIP_COLUMNS // 40_000


def test_a_strip_shows_what_was_not_heard_as_a_gap() -> None:
    starts_s = np.concatenate((np.arange(0, 10), np.arange(50, 60))).astype(float)
    code = strip_code(62, WindowScores(starts_s, np.full(20, 0.4, np.float32)))
    assert re.fullmatch("b{12} {38}b{12}", code)


def test_a_map_has_its_distances_right() -> None:
    rows = [
        replace(recording(site="N"), latitude=5.0, longitude=-53.0),
        replace(recording(site="S"), latitude=4.0, longitude=-53.0),
        recording(site="nowhere"),
    ]
    found = site_map(rows, by_site(rows))
    assert found
    north, south = found.dots
    assert north.y > south.y
    assert north.x == south.x == 50
    km = (north.y - south.y) * found.bar_km / found.bar_percent
    assert km == pytest.approx(111.2)
    assert site_map(rows[1:], by_site(rows)) is None
    features = json.loads(geojson(rows, by_site(rows)))["features"]
    assert [one["properties"]["site"] for one in features] == [
        dot.activity.label for dot in found.dots
    ]
    assert all(-180 <= one["geometry"]["coordinates"][0] < 0 for one in features)


def boxes(dots: Sequence[Dot]) -> list[tuple[float, float, float, float]]:
    """Left, bottom, right and top of dots and names, in percent of the map."""
    found = [(dot.x - 2, dot.y - 2, dot.x + 2, dot.y + 2) for dot in dots]
    for dot in dots:
        width = len(dot.activity.label) * LETTER_PERCENT
        left = {"right": dot.x + 3.4, "left": dot.x - 3.4 - width}.get(dot.name_side)
        if left is not None:
            half = LINE_PERCENT / 2
            found.append((left, dot.name_y - half, left + width, dot.name_y + half))
    return found


@given(st.lists(st.tuples(st.floats(3, 6), st.floats(-54, -51)), min_size=2, max_size=30))
def test_names_on_the_map_never_lie_over_each_other(places: list[tuple[float, float]]) -> None:
    rows = [
        replace(recording(site=f"Site number {n}"), latitude=north, longitude=east)
        for n, (north, east) in enumerate(places)
    ]
    found = site_map(rows, by_site(rows))
    if found is None:  # all at one place
        return
    names = boxes(found.dots)[len(found.dots) :]
    for a, b in combinations(names, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert all(left >= 0 and right <= 100 for left, _, right, _ in names)


def test_two_sites_beside_each_other_both_have_their_names() -> None:
    places = {"Inselberg": (4.08, -52.68), "Crique": (4.085, -52.674), "Kaw": (4.55, -52.2)}
    rows = [
        replace(recording(site=site), latitude=north, longitude=east)
        for site, (north, east) in places.items()
    ]
    found = site_map(rows, by_site(rows))
    assert found
    assert all(dot.name_side for dot in found.dots)


def page_of(rows: Sequence[RecordingCount]) -> str:
    return render_page(RunResults(tuple(rows), (), {}), rows, [], {}, "results")


@pytest.mark.parametrize(("days", "is_wide"), [(5, False), (30, True)])
def test_a_map_of_few_dates_leaves_room_beside_it(days: int, is_wide: bool) -> None:
    rows = [recording(f"{n}.wav", 0, 60, f"2024-06-{n + 1:02d}T05:00:00") for n in range(days)]
    page = page_of(rows)
    assert ('<div class="panel whole wide">' in page) == is_wide


def test_an_hour_that_was_not_recorded_has_no_bar_but_a_mark() -> None:
    began = "2024-06-11T05:00:00", "2024-06-11T08:00:00"
    page = page_of([recording(f"{n}.wav", 3, 1800, at) for n, at in enumerate(began)])
    assert page.count('<i class="absent"></i>') == 2
    assert "0 calls in 30 min" in page


def test_a_reason_does_not_repeat_the_name_beside_it() -> None:
    failed = replace(recording("a/b.wav", None, 0), error="open: a/b.wav: cannot be opened")
    assert '<td class="line">open: cannot be opened</td>' in page_of([failed])


def test_the_interval_of_all_recordings_is_narrower_than_the_sum_of_theirs() -> None:
    row = replace(recording(), expected_calls=2.0, expected_low=1, expected_high=3)
    total = expected_total([row] * 100)
    assert total
    assert total.calls == 200
    assert total.low == pytest.approx(190.0)
    assert total.high == pytest.approx(210.0)
    assert expected_total([recording()]) is None


def test_cards_say_where_and_when() -> None:
    call = call_at("a/1.wav", 12, 15, 0.9)
    known = replace(call, site="Ridge", called_local="2024-06-11T05:30:12.500")
    assert _pictured(known, "1.wav").title == "Ridge · 2024-06-11 05:30:12"
    assert _pictured(call, "a/1.wav").title == "a/1.wav"
    no_site = replace(call, called_local="2024-06-11T05:30:12.500")
    assert _pictured(no_site, "1.wav").title == "1.wav · 2024-06-11 05:30:12"
    shown = _pictured(replace(known, recording="a/1.wav"), "1.wav")
    assert shown.alt == (
        "Spectrogram of a call, Ridge · 2024-06-11 05:30:12: 3.0 s long from 0:12 in the "
        "recording, score 0.90"
    )


def test_times_are_written_as_clocks_show_them() -> None:
    assert [clock(s) for s in (0, 59.6, 3599, 86_399)] == ["0:00", "1:00", "59:59", "23:59:59"]


def test_calls_are_chosen_for_what_the_headings_say() -> None:
    calls = [call_at(f"{n % 10}.wav", n, n + 3, n / 100) for n in range(100)]
    groups = dict(choose_calls(calls, {}, each=3))
    strongest, weakest, drawn = groups.values()
    assert [c.score for c in strongest] == [0.99, 0.98, 0.97]
    assert [c.score for c in weakest] == [0.0, 0.01, 0.02]
    assert len({*strongest, *weakest, *drawn}) == 9
    one = [call_at("a.wav", n, n + 3, n / 100) for n in range(100)]
    other = [call_at("b.wav", 1, 4, 0.5)]
    strongest = choose_calls([*one, *other], {}, each=3)[0][1]
    assert [(c.recording, c.score) for c in strongest] == [
        ("a.wav", 0.99),
        ("a.wav", 0.98),
        ("b.wav", 0.5),
    ]


def test_calls_of_equal_scores_are_ranked_by_what_is_around_them() -> None:
    """A call raises several scores in a row, a click one; all are as high as scores can be."""
    starts_s = np.arange(0, 60, 0.128)
    values = np.full(len(starts_s), 0.0003, np.float32)
    for call_s, width in ((10.0, 2), (20.0, 1), (30.0, 3)):
        first = int((call_s + 1.5) / 0.128)
        values[first : first + width] = 0.99966
    scores = {"a.wav": WindowScores(starts_s, values, 0.128)}
    calls = [call_at("a.wav", start_s, start_s + 3.9, 0.99966) for start_s in (10.0, 20.0, 30.0)]
    for order in permutations(calls):
        assert [call.start_s for call in rank_calls(order, scores)] == [30.0, 10.0, 20.0]
    higher = replace(calls[1], score=0.9997)
    assert rank_calls([*calls, higher], scores)[0] == higher


@given(st.lists(st.integers(0, 9), max_size=30), st.randoms())
def test_ranks_do_not_depend_on_the_order_of_the_table(starts: list[int], chance: Random) -> None:
    calls = [call_at("a.wav", s, s + 3, 0.9997) for s in starts]
    mixed = list(calls)
    chance.shuffle(mixed)
    assert rank_calls(calls, {}) == rank_calls(mixed, {})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_every_call_has_its_bar(scores: list[float]) -> None:
    bars = score_bars([call_at("a.wav", 0, 3, score) for score in scores])
    assert sum(bar.calls for bar in bars) == len(scores)
    assert log_odds([bars[0].low, bars[-1].high]) == pytest.approx([LOWEST, HIGHEST])
    assert [low.high for low in bars[:-1]] == [high.low for high in bars[1:]]
    inner = bars[1:-1]
    for bar in inner:
        assert bar.calls <= sum(bar.low - 1e-9 <= score <= bar.high + 1e-9 for score in scores)


def test_bars_tell_certain_calls_apart() -> None:
    bars = score_bars([call_at("a.wav", 0, 3, score) for score in (0.9, 0.99, 0.999)])
    assert [bar.calls for bar in bars if bar.calls] == [1, 1, 1]


def test_the_page_says_what_stricter_thresholds_leave() -> None:
    scores = (0.99, 0.995, 0.997, 0.9995)
    calls = tuple(call_at("a.wav", 9 * n, 9 * n + 3, score) for n, score in enumerate(scores))
    rows = [replace(recording(calls=4), threshold=0.989)]
    groups = [CallGroup("All", tuple(_pictured(call, "a.wav") for call in calls))]
    for own, words in ((0.989, ", the model's own"), (0.5, "; the model's own is 0.50")):
        run = {
            "counting": {"rule": {"threshold": 0.989}},
            "contract": {"rule": {"threshold": own}},
        }
        page = render_page(RunResults(tuple(rows), calls, run), rows, groups, {}, "results")
        assert f"the threshold of the last run, 0.989{words}." in page
        left = "0.9959 would leave 2, 0.9985 would leave 1, 0.99945 would leave 1 of 4 calls"
        assert left in page
        assert "score 0.99950" in page


EMPTY: dict[str, Any] = {f.name: "" if f.type == "str" else 0 for f in fields(VerifiedCount)}
VERIFIED = replace(
    VerifiedCount(**EMPTY),
    scope="all",
    recorded_h=2.0,
    labelled=80,
    verified_calls=219.6,
    verified_low=196.0,
    verified_high=242.0,
)


@pytest.mark.parametrize(
    ("rows", "is_of_now", "sentence", "next_step"),
    [
        ([], None, "Nothing was counted.", ""),
        ([(None, "")], None, "Nothing was counted.", "1 recording failed and is in none"),
        ([(0, "A")], None, "No call in 60 min at A: counted by the model, not verified", "review"),
        ([(6, "A")], None, "6.0 calls an hour in 60 min at A: counted", "Next: label a sample"),
        ([(6, "A"), (12, "B")], None, "9.0 calls an hour in 2.0 h at 2 sites: counted", "review"),
        ([(6, "")], False, "6.0 calls an hour in 60 min: counted by the model", "verify again"),
        (
            [(6, "A")],
            True,
            "110 calls an hour [98, 121] in 2.0 h at A: verified by ear with 80",
            "",
        ),
        ([(6, "A"), (None, "A")], True, "110 calls an hour", "publish it (capuchinbird publish"),
    ],
)
def test_the_page_begins_with_what_to_report(
    rows: list[tuple[int | None, str]], is_of_now: bool | None, sentence: str, next_step: str
) -> None:
    recordings = [recording(f"{i}.wav", calls, site=site) for i, (calls, site) in enumerate(rows)]
    verified = None if is_of_now is None else VerifiedFigures(VERIFIED, (), is_of_now, ())
    shown = headline(recordings, verified)
    assert shown.sentence.startswith(sentence)
    assert next_step in shown.next_step
    page = render_page(RunResults(tuple(recordings), (), {}), recordings, [], {}, "results")
    assert headline(recordings, None).sentence in page


def test_an_interval_is_stated_where_the_count_lies_in_it() -> None:
    row = replace(
        recording(calls=6, heard_s=600), expected_calls=6.2, expected_low=5, expected_high=8
    )
    sentence = headline([row], None).sentence
    assert sentence == "6 calls [5, 8] in 10 min: counted by the model, not verified by ear."
    outside = replace(row, call_count=3)
    assert "3 calls in 10 min" in headline([outside], None).sentence
    assert "outside its own interval" in headline([outside], None).sentence


def test_few_calls_are_all_shown_once() -> None:
    calls = tuple(call_at("a.wav", n, n + 3, 0.5) for n in range(5))
    ((_, shown),) = choose_calls(calls, {}, each=3)
    assert set(shown) == set(calls)
    assert choose_calls([], {}) == []


def test_of_many_recordings_those_with_most_calls_are_listed() -> None:
    many = [recording(f"{n:05d}.wav", n % 100) for n in range(5000)]
    listed = choose_recordings(many, 100)
    assert len(listed) == len({r.recording for r in listed}) == 100
    assert {r.recording for r in many if r.call_count == 99} <= {r.recording for r in listed}
    assert listed == choose_recordings(many, 100)


@pytest.mark.slow
def test_a_page_of_twenty_thousand_recordings_is_small() -> None:
    many = tuple(
        recording(f"archive/Ridge/20240611/053000_{n:05d}.wav", n % 4, 60, "2024-06-11T05:30:00")
        for n in range(25_000)
    )
    listed = choose_recordings(many)
    rng = np.random.default_rng(0)
    scores = {
        name: WindowScores(np.arange(0.0, 57.5, 1.25), rng.random(46, np.float32))
        for name in choose_strips(listed)
    }
    calls = tuple(
        call_at(r.recording, 9.0 * n, 9.0 * n + 4, 0.9)
        for r in many
        for n in range(r.call_count or 0)
    )
    page = render_page(RunResults(many, calls, {}), listed, [], scores, "results")
    assert len(page) < 3_500_000  # which leaves 1.5 MB to pictures and sounds
    assert "20,000 of 25,000 are listed" in page
    assert "2,000 recordings with the most calls and the highest scores" in page


def test_a_spectrogram_shows_a_tone_where_it_is() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    levels = spectrogram_db(np.concatenate((np.zeros_like(tone), tone)))
    frequencies_hz = np.arange(len(levels)) * RATE_HZ / 1024
    assert frequencies_hz[levels[:, 90].argmax()] == 1000
    assert frequencies_hz[-1] < TOP_HZ
    loud = levels.max(axis=0) > levels.max() - 6
    assert not loud[:60].any()
    assert loud[66:120].all()


def test_a_picture_reads_only_the_seconds_around_a_call(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.wav", 30, {1: 0.05})
    picture = picture_call(str(tmp_path / "a.wav"), 1.0, 4.0)
    assert (picture.begin_s, picture.end_s) == (0.0, 6.0)
    clip, rate = soundfile.read(io.BytesIO(picture.mp3))
    assert rate == RATE_HZ
    assert len(clip) / rate == pytest.approx(6.0, abs=0.15)
    assert np.abs(clip).max() == pytest.approx(0.8, abs=0.1)
    long = picture_call(str(tmp_path / "a.wav"), 5.0, 29.0)
    assert (long.begin_s, long.end_s) == (3.0, 15.0)
    assert len(long.jpeg) + len(long.mp3) < 150_000


AWKWARD = "<img src=x onerror=alert(1)> & \"co'.wav"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole command over a few recordings, with its report."""
    folder = tmp_path_factory.mktemp("report")
    for n in range(4):
        write_recording(folder / f"night/REC_{n}.wav", 24, {3 + n: 0.6, 13 + n: 0.9 - n / 10})
    write_recording(folder / "night" / AWKWARD, 10, {})
    (folder / "night/damaged.wav").write_text("not audio")
    fakes.write_model(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
        patch.chdir(folder)
        arguments = ["--input", "night", "--model", "model", "--output", "out"]
        assert launch.launch(run_of(options.parse(arguments))) == 0
    return folder / "out"


def table_data(page: str) -> dict[str, Any]:
    """What the page's script reads the table of recordings from."""
    text = page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    return dict(json.loads(text))


@pytest.mark.slow
def test_the_run_makes_a_page_that_needs_nothing_else(output: Path) -> None:
    page = (output / "report.html").read_text("utf-8")
    assert page.count("<figure") == 8
    rows = table_data(page)["rows"]
    assert [row[1] for row in rows].count("ok") == 4
    assert [bool(row[-1]) for row in rows].count(True) == 5  # one for each that was heard
    assert rows[0][2] == max(row[2] or 0 for row in rows)  # those with most calls first
    assert "cannot be opened as audio" in page
    assert AWKWARD in {row[0] for row in rows}
    assert "<img src=x" not in page
    names = page.replace("http://www.w3.org/2000/svg", "")  # of a kind of element, no address
    fetched = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\(|@import|https?://', names)
    tables = ("counts", "calls", "activity", "failures")  # lie beside it, for whoever clicks
    assert fetched == [f'href="{name}.csv"' for name in tables]


@pytest.mark.slow
def test_the_model_and_the_rule_are_on_the_page(output: Path) -> None:
    page = (output / "report.html").read_text("utf-8")
    assert "<dt>front end</dt><dd>none</dd>" in page
    assert {row[9] for row in table_data(page)["rows"]} == {round(float(score_place(0.5)), 3)}
    assert "<dt>min separation s</dt><dd>4.5</dd>" in page


@pytest.mark.slow
def test_counting_again_renews_the_page(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(output.parent)
    for threshold, calls in (("0.85", 1), ("0.5", 8)):
        arguments = ["--output", "out", "--model", "model", "--threshold", threshold]
        assert rescore.main(arguments) == 0
        assert Path("out/report.html").read_text("utf-8").count("<figure") == calls


def test_no_report_on_request(tmp_path: Path) -> None:
    arguments = ["--input", "a.wav", "--output", str(tmp_path)]
    assert options.parse(arguments).report
    assert not options.parse([*arguments, "--no_report"]).report


@pytest.mark.slow
def test_recordings_that_have_gone_leave_a_word_instead_of_a_picture(
    output: Path, tmp_path: Path
) -> None:
    for name in ("counts.csv", "calls.csv", "run.json"):
        (tmp_path / name).write_bytes((output / name).read_bytes())
    page = Path(write_page(str(tmp_path))).read_text("utf-8")  # from another folder
    assert "<figure" not in page
    assert page.count("No picture: night/REC_") == 8
    assert "No recording says when it began" in page  # and how it could be known
    assert "run again with --manifest" in page


def test_scores_are_read_as_they_are_kept(tmp_path: Path) -> None:
    rows = [
        {"recording": "=a.wav", "run_id": "2", "starts": [16_000], "scores": [0.5]},
        {"recording": "=a.wav", "run_id": "2", "starts": [0], "scores": [0.25]},
        {"recording": "=a.wav", "run_id": "1", "starts": [0], "scores": [1.0]},
        {"recording": "b.wav", "run_id": "2", "starts": [0], "scores": [1.0]},
    ]
    folder = tmp_path / "scores" / "a" / "1"
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist([{**row, "score_samples": 48_000} for row in rows])
    for some in (table.slice(0, 1), table.slice(1)):
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(some, sink)
        content = sink.getvalue().to_pybytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        (folder / f"1-{digest}.parquet").write_bytes(content)
    (folder / "3.parquet").write_bytes(b"PAR1, cut off")  # as a full disk may leave one
    found = read_scores(str(tmp_path), {"./=a.wav"})
    assert list(found) == ["./=a.wav"]
    assert found["./=a.wav"].starts_s.tolist() == [0.0, 1.0]
    assert found["./=a.wav"].scores.tolist() == [0.25, 0.5]
    assert read_scores(str(tmp_path / "nowhere"), {"./=a.wav"}) == {}


def test_optional_columns_are_read_when_they_are_there(tmp_path: Path) -> None:
    header = ["recording", "outcome", "call_count", "max_score", "duration_s", "heard_s", "error"]
    header += ["site", "recorded_local", "quality_flags", "silent_share", "dropout_share"]
    with open(tmp_path / "counts.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        row = ["a.wav", "ok", 1, 0.9, 60, 60, "", "'-7", "2024-06-11T05:30:00"]
        rows.writerow([*row, "clipped silent", 0.25, 0.05])
    (tmp_path / "calls.csv").write_text("recording,start_s,end_s,score\na.wav,1,4,0.9\n")
    (found,) = read_results(str(tmp_path)).recordings
    assert (found.site, found.recorded_local) == ("-7", "2024-06-11T05:30:00")
    assert found.rms_dbfs is None
    assert found.model_version == ""
    page = Path(write_page(str(tmp_path))).read_text("utf-8")
    assert "By hour of the day" in page
    assert table_data(page)["rows"][0][6] == "clipped, silent"
    assert valid_s(found) == pytest.approx(42)


@pytest.mark.slow
def test_the_command_makes_the_page_and_says_where(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(output.parent)
    before = (output / "report.html").read_bytes()
    (output / "report.html").unlink()
    assert main(["report", "out"]) == 0
    assert capsys.readouterr().out == "out/report.html\n"
    assert (output / "report.html").read_bytes() == before


@pytest.mark.parametrize("counts", [None, "name,calls\na.wav,1\n", "recording,windows\na.wav,x\n"])
def test_a_folder_without_tables_is_one_clear_line(
    counts: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if counts:
        (tmp_path / "counts.csv").write_text(counts)
    assert main(["report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("capuchinbird report: ")
    assert "counts.csv" in line


def test_every_colour_that_a_page_uses_is_defined() -> None:
    root = Path(__file__).parents[1]
    text = "".join(
        path.read_text("utf-8")
        for folder in ("model", "pipeline/report")
        for path in (root / folder / "templates").iterdir()
        if path.suffix in (".css", ".html")
    )
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert used
    assert used <= set(re.findall(r"(--\w+):", text))
