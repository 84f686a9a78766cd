"""Which recorders caught the same call, in simulated arrays where it is known."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.survey.captures import (
    ONSET_ERROR_S,
    SOUND_M_PER_S,
    Trap,
    captures,
    match,
    traps_of,
)
from pipeline.survey.findings import Survey, findings_of
from tests.test_histories import call, recording, write_results

PLACES = {"A": (4.5, -52.5), "B": (4.5027, -52.5), "C": (4.5, -52.4973), "Far": (4.6, -52.5)}


def survey_of(calls: dict[str, list[float]], **more: Any) -> Survey:
    rows, made = [], []
    for site, (latitude, longitude) in PLACES.items():
        row = recording(
            f"{site}.wav", "2024-06-11T20:00:00", site=site, latitude=latitude,
            longitude=longitude, **more,
        )  # fmt: skip
        rows.append(row)
        made += [call(row, start_s) for start_s in calls.get(site, ())]
    return Survey(tuple(rows), tuple(findings_of(rows, made, {})))


def test_recorders_within_earshot_are_an_array() -> None:
    traps = traps_of(survey_of({}), 500)
    assert [(trap.array, trap.number, trap.site) for trap in traps] == [
        (1, 1, "A"),
        (1, 2, "B"),
        (1, 3, "C"),
        (2, 1, "Far"),
    ]
    assert (traps[1].x_m, traps[1].y_m) == pytest.approx((0, 300.2), abs=0.1)
    assert (traps[2].x_m, traps[2].y_m) == pytest.approx((299.3, 0), abs=0.1)


def test_one_call_at_three_recorders_is_one_and_two_calls_at_one_are_two() -> None:
    survey = survey_of({"A": [10, 13], "B": [10.8], "C": [10.4], "Far": [10.5]})
    caught = captures(survey, traps_of(survey, 500), 500, 0.2)
    assert [(one.session, one.call, one.trap.site) for one in caught] == [
        (1, 1, "A"),
        (1, 1, "C"),
        (1, 1, "B"),
        (1, 2, "A"),
        (2, 1, "Far"),
    ]
    assert not any(one.is_ambiguous for one in caught)
    assert (
        captures(
            survey_of({"A": [10]}, recorded_at="", time_zone=""), traps_of(survey, 500), 500, 0.2
        )
        == []
    )


def test_what_could_be_of_two_calls_is_said() -> None:
    survey = survey_of({"A": [10], "C": [11], "B": [10.9, 11.5]})
    caught = captures(survey, traps_of(survey, 500), 500, 0)
    assert {(one.trap.site, one.finding.start_s): one.is_ambiguous for one in caught} == {
        ("A", 10): True,
        ("B", 10.9): True,
        ("C", 11): True,
        ("B", 11.5): True,
    }


def test_the_command_writes_what_r_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = survey_of({"A": [10, 13], "B": [10.8]})
    write_results(
        tmp_path, list(survey.recordings), [one.call for one in survey.findings if one.call]
    )
    out = tmp_path / "captures"
    arguments = ["captures", str(tmp_path), "--output", str(out)]
    assert main([*arguments, "--range_m", "100"]) == 2
    assert "no two sites with positions lie within 100 m" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "3 detections of 2 calls (1 by 1, 1 by 2 recorders)" in capsys.readouterr().out
    with (out / "captures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [[row[name] for name in ("Session", "ID", "Occasion", "Detector")] for row in rows] == [
        ["1", "1", "1", "1"],
        ["1", "1", "1", "2"],
        ["1", "2", "1", "1"],
    ]
    with (out / "traps.csv").open(newline="") as file:
        traps = list(csv.DictReader(file))
    assert [(row["Detector"], row["site"]) for row in traps] == [("1", "A"), ("2", "B"), ("3", "C")]


@given(
    st.lists(st.tuples(st.floats(0, 60), st.integers(0, 3)), max_size=40),
    st.floats(0, 2),
)
def test_each_detection_is_in_one_call_and_no_call_has_two_of_a_recorder(
    made: list[tuple[float, int]], clock_error_s: float
) -> None:
    traps = [Trap(1, n + 1, str(n), 200.0 * n, 0.0) for n in range(4)]
    detections = [(moment_s, traps[n]) for moment_s, n in sorted(made)]
    groups = match(detections, 1000, clock_error_s)
    assert sorted(index for members, _ in groups for index in members) == [*range(len(made))]
    for members, _ in groups:
        numbers = [detections[member][1].number for member in members]
        assert len(set(numbers)) == len(numbers)
        for one in members:
            for other in members:
                apart_m = abs(detections[one][1].x_m - detections[other][1].x_m)
                at_most_s = apart_m / SOUND_M_PER_S + clock_error_s + 2 * ONSET_ERROR_S
                assert abs(detections[one][0] - detections[other][0]) <= at_most_s + 1e-9


def lek(seed: int, calls_per_minute: float, clock_error_s: float) -> tuple[int, int]:
    """Calls of a simulated hour, and how many are put together as they were."""
    dice = random.Random(seed)
    traps = [
        Trap(1, n + 1, str(n), 300.0 * (n % 2), 300.0 * (n // 2)) for n in range(4)
    ]  # fmt: skip
    clocks = [dice.uniform(-clock_error_s / 2, clock_error_s / 2) for _ in traps]
    birds = [(dice.uniform(-100, 400), dice.uniform(-100, 400)) for _ in range(4)]
    made: list[tuple[float, Trap, int]] = []
    moment_s, n_calls = 0.0, 0
    while (moment_s := moment_s + dice.expovariate(calls_per_minute / 60)) < 3600:
        x_m, y_m = dice.choice(birds)
        for trap, clock in zip(traps, clocks, strict=True):
            apart_m = math.hypot(trap.x_m - x_m, trap.y_m - y_m)
            if dice.random() < math.exp(-((apart_m / 400) ** 2)):
                jitter = dice.uniform(-0.1, 0.1)
                made.append((moment_s + apart_m / SOUND_M_PER_S + clock + jitter, trap, n_calls))
        n_calls += 1
    made.sort(key=lambda one: one[0])
    groups = match([(at, trap) for at, trap, _ in made], 1000, clock_error_s)
    truth: dict[int, set[int]] = {}
    for index, (_, _, number) in enumerate(made):
        truth.setdefault(number, set()).add(index)
    matched = {frozenset(members) for members, _ in groups}
    return len(truth), sum(frozenset(members) in matched for members in truth.values())


if __name__ == "__main__":
    for rate in (2, 8, 16):
        for error in (0.0, 0.5, 1.0):
            totals = [lek(seed, rate, error) for seed in range(20)]
            print(rate, error, round(sum(r for _, r in totals) / sum(n for n, _ in totals), 3))
