"""Detection histories: visits, effort, detection, and what R and Python make of them."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pandas
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.commands.histories import main as make_histories
from pipeline.options import UsageError
from pipeline.records import DetectedCall, Place, RecordingCount, column_names
from pipeline.survey.findings import Survey, findings_of, placed_again, read_survey, verdicts_of
from pipeline.survey.histories import (
    VisitKind,
    bounds,
    histories,
    left_out,
    time_shares,
    visit_of,
)
from pipeline.survey.labels import (
    LABEL_COLUMNS,
    STRATUM,
    Answer,
    Label,
    label_lines,
    pooled,
    read_labels,
)
from pipeline.tables.csv_text import csv_line
from pipeline.tables.schema import cells

ROOT = Path(__file__).resolve().parents[1]


def recording(
    name: str, began: str, hours: float = 1.0, site: str = "Ridge", **more: object
) -> RecordingCount:
    """A recording that was heard in full."""
    values: dict[str, object] = {
        "recording": name,
        "outcome": "no_calls",
        "call_count": 0,
        "duration_s": hours * 3600,
        "heard_s": hours * 3600,
        "site": site,
        "latitude": 4.5,
        "longitude": -52.5,
        "recorded_local": began,
        "recorded_at": f"{began}-03:00" if began else "",
        "time_zone": "-03:00" if began else "",
        "counting": "calls",
        "threshold": 0.5,
        "hop_s": 0.128,
        "model_version": "onset-1",
        "run_id": "20240612T050000.000000Z-fixed0",
        "schema_version": 2,
    }
    return RecordingCount(**{**values, **more})  # type: ignore[arg-type]


def call(row: RecordingCount, start_s: float, score: float = 0.9) -> DetectedCall:
    return DetectedCall(
        recording=row.recording,
        start_s=start_s,
        end_s=start_s + 3.5,
        score=score,
        windows=3,
        label="Perissocephalus tricolor",
        model_version="onset-1",
        run_id=row.run_id,
        schema_version=2,
    )


def label(row: RecordingCount, start_s: float, answer: Answer, observer: str = "Ana") -> Label:
    told = "2024-07-01T10:00:00+00:00"
    return Label(
        row.recording,
        start_s,
        start_s + 3.5,
        0.4,
        row.site,
        "s1",
        answer,
        1,
        observer,
        told,
    )


def survey(
    rows: list[RecordingCount], calls: list[DetectedCall], labels: list[Label] | None = None
) -> Survey:
    found = findings_of(rows, calls, verdicts_of(labels or []))
    return Survey(tuple(rows), tuple(found), has_labels=labels is not None)


EVENING = recording("a_evening.wav", "2024-06-10T22:00:00", hours=4)
DAWN = recording("b_dawn.wav", "2024-06-11T05:00:00")
NOON = recording("c_noon.wav", "2024-06-11T11:30:00")
ELSEWHERE = recording("d_other.wav", "2024-06-12T05:00:00", site="Creek")


def test_a_night_runs_from_noon_to_noon() -> None:
    rows = histories(
        survey([EVENING, DAWN, NOON, ELSEWHERE], [call(DAWN, 10), call(NOON, 1900)]), "night"
    )
    told = [(r.site, r.visit, r.recorded_h, r.valid_h, r.detected, r.calls) for r in rows]
    assert told == [
        ("Creek", "2024-06-10", 0.0, 0.0, None, None),
        ("Creek", "2024-06-11", 1.0, 1.0, 0, 0),
        ("Ridge", "2024-06-10", 5.5, 5.5, 1, 1),
        ("Ridge", "2024-06-11", 0.5, 0.5, 1, 1),
    ]
    assert (rows[2].starts_local, rows[2].ends_local) == (
        "2024-06-10T12:00:00",
        "2024-06-11T12:00:00",
    )


def test_days_and_weeks() -> None:
    found = survey([EVENING, DAWN, ELSEWHERE], [])
    assert [(r.site, r.visit, r.valid_h) for r in histories(found, "day")] == [
        ("Creek", "2024-06-10", 0.0),
        ("Creek", "2024-06-11", 0.0),
        ("Creek", "2024-06-12", 1.0),
        ("Ridge", "2024-06-10", 2.0),
        ("Ridge", "2024-06-11", 3.0),
        ("Ridge", "2024-06-12", 0.0),
    ]
    assert [(r.site, r.visit, r.valid_h) for r in histories(found, "week")] == [
        ("Creek", "2024-06-10", 1.0),
        ("Ridge", "2024-06-10", 5.0),
    ]


def test_silence_failures_and_short_visits_are_not_absence() -> None:
    silent = replace(DAWN, silent_share=0.5)
    failed = replace(ELSEWHERE, outcome="failed", call_count=None, heard_s=None)
    cut = replace(NOON, outcome="truncated", heard_s=900.0)
    rows = histories(survey([silent, failed, cut], []), "day")
    told = {(r.site, r.visit): (r.recorded_h, r.valid_h, r.detected) for r in rows}
    assert told["Ridge", "2024-06-11"] == (2.0, 0.75, 0)
    assert told["Creek", "2024-06-12"] == (1.0, 0.0, None)
    stricter = histories(survey([silent, cut], []), "day", min_valid_h=0.8)
    assert [(r.valid_h, r.detected, r.calls) for r in stricter] == [(0.75, None, None)]


def test_labels_take_away_confirm_and_add() -> None:
    calls = [call(DAWN, 10), call(DAWN, 100), call(ELSEWHERE, 10), call(EVENING, 50)]
    labels = [
        label(DAWN, 10, "yes"),
        label(DAWN, 100, "no"),
        label(DAWN, 200, "yes"),  # below the threshold: no call of the model
        label(ELSEWHERE, 10, "no"),
    ]
    rows = histories(survey([EVENING, DAWN, ELSEWHERE], calls, labels), "day")
    told = {(r.site, r.visit): (r.calls, r.detected, r.verified_calls, r.verified) for r in rows}
    assert told["Ridge", "2024-06-11"] == (2, 1, 2, 1)
    assert told["Creek", "2024-06-12"] == (0, 0, 0, 0)
    assert told["Ridge", "2024-06-10"] == (1, 1, 0, None)  # nobody has listened
    assert told["Creek", "2024-06-10"] == (None, None, None, None)


def test_people_who_differ_are_unsure() -> None:
    (verdict,) = verdicts_of([label(DAWN, 10, "yes"), label(DAWN, 10, "no", "Bo")])[DAWN.recording]
    assert (verdict.answer, verdict.observers, verdict.n_birds) == ("unsure", ("Ana", "Bo"), 1)
    (verdict,) = verdicts_of([label(DAWN, 10, "yes"), label(DAWN, 10, "unsure", "Bo")])[
        DAWN.recording
    ]
    assert verdict.answer == "yes"


def test_a_missed_call_that_two_tables_tell_is_one() -> None:
    of_review = [label(DAWN, 10, "yes"), label(DAWN, 200, "yes"), label(DAWN, 300, "no")]
    of_annotations = [
        replace(label(DAWN, start_s, "yes", observer), stratum=STRATUM)
        for start_s, observer in (
            (10, "Bo"),  # a call of the model
            (11, "Bo"),  # another bird, a second later
            (203, "Bo"),  # the call below the threshold begins in the clip
            (203, "Cy"),
            (300.5, "Bo"),
        )
    ]
    (verdict,) = verdicts_of(pooled([of_review, of_annotations])).values()
    assert [(one.start_s, one.answer, one.observers) for one in verdict] == [
        (10, "yes", ("Ana", "Bo")),
        (11, "yes", ("Bo",)),
        (203, "yes", ("Ana", "Bo", "Cy")),
        (300, "no", ("Ana",)),
        (300.5, "yes", ("Bo",)),
    ]
    (row,) = histories(survey([DAWN], [call(DAWN, 10)], pooled([of_review, of_annotations])), "day")
    assert row.verified_calls == 4


def test_labels_of_several_observers_go_in_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, [DAWN], [call(DAWN, 10), call(DAWN, 100)])
    flags = []
    for name, labels in (
        ("ana", [label(DAWN, 10, "yes"), label(DAWN, 100, "no")]),
        ("bo", [label(DAWN, 100, "yes", "Bo")]),
    ):
        table = tmp_path / f"labels-{name}.csv"
        table.write_text("".join(label_lines(labels)), "utf-8")
        flags += ["--labels", str(table)]
    output = str(tmp_path / "histories")
    assert main(["histories", str(tmp_path), "--output", output, *flags]) == 0
    rows = (tmp_path / "histories/history.csv").read_text("utf-8").splitlines()
    (told,) = csv.DictReader(rows)
    assert (told["calls"], told["verified_calls"]) == ("2", "1")  # they differ about the second
    capsys.readouterr()
    flags = ["--title", "Birds", "--author", "Ana Silva <a@example.org>", *flags]
    output = str(tmp_path / "published")
    published = ["publish-data", str(tmp_path), "--output", output, "--licence", "CC0-1.0", *flags]
    assert main(published) == 0
    assert "1 calls (1 confirmed by people)" in capsys.readouterr().out


STARTS = st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 31))


@given(STARTS, st.integers(0, 9 * 86_400_000), st.sampled_from(get_args(VisitKind)))
def test_no_time_is_lost_or_told_twice(start: datetime, length_ms: int, kind: VisitKind) -> None:
    start = start.replace(microsecond=0)
    row = recording("x.wav", start.isoformat(), hours=length_ms / 3_600_000)
    shares = list(time_shares(row, kind))
    assert sum(recorded for _, recorded, _ in shares) == length_ms
    is_stub = length_ms < 1000
    assert all(valid == (0 if is_stub else recorded) for _, recorded, valid in shares)
    visits = [visit for visit, _, _ in shares]
    assert visits == sorted(set(visits))


@given(STARTS, st.sampled_from(get_args(VisitKind)))
def test_a_moment_lies_in_its_visit(moment: datetime, kind: VisitKind) -> None:
    begins, ends = bounds(visit_of(moment, kind), kind)
    assert begins <= moment < ends


def test_what_is_left_out_is_said() -> None:
    rows = [DAWN, replace(NOON, site=""), recording("x.wav", "")]
    assert len(histories(survey(rows, []), "day")) == 1
    first, second = left_out(survey(rows, []))
    assert "1 of 3 recordings have no site" in first
    assert "1 of 3 recordings have no time" in second


def test_a_table_of_deployments_gives_sites_and_zones(tmp_path: Path) -> None:
    write_results(tmp_path, [recording("n/a.wav", "2024-06-11T05:00:00", site="")], [])
    table = tmp_path / "sites.csv"
    table.write_text("folder,site,lat,lon,time_zone\nn,North,3.5,-53,America/Belem\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        (row,) = read_survey(".", "sites.csv").recordings
    assert (row.site, row.latitude, row.time_zone) == ("North", 3.5, "America/Belem")
    assert (row.recorded_at, row.recorded_local) == (
        "2024-06-11T05:00:00-03:00",
        "2024-06-11T05:00:00",
    )
    unzoned = replace(row, recorded_at="", time_zone="", time_source="file_name")
    again = placed_again(unzoned, Place(time_zone="-04:00"))
    assert (again.recorded_at, again.time_source) == ("2024-06-11T05:00:00-04:00", "file_name")


def write_results(folder: Path, rows: list[RecordingCount], calls: list[DetectedCall]) -> None:
    """The tables of a run."""
    for name, kind, those in (
        ("counts.csv", RecordingCount, rows),
        ("calls.csv", DetectedCall, calls),
    ):
        lines = [csv_line(column_names(kind)), *(csv_line(cells(row)) for row in those)]
        (folder / name).write_text("".join(lines), encoding="utf-8")


def test_labels_as_a_spreadsheet_saves_them(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(
        "\ufeff" + ";".join(LABEL_COLUMNS) + "\n"
        "night/a.wav;1,5;5,0;0,93;Saül;s1;YES;2;Ana;2024-07-01T10:00:00\n"
    )
    (found,) = read_labels(str(table))
    assert (found.start_s, found.end_s, found.score, found.label) == (1.5, 5.0, 0.93, "yes")
    assert (found.site, found.n_birds, found.observer) == ("Saül", 2, "Ana")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.wav,1,5,maybe", "row 2: label 'maybe': write yes, no or unsure"),
        ("a.wav,5,1,yes", "row 2: 5 to 1 s is no stretch"),
        ("a.wav,one,5,yes", "row 2: could not convert"),
    ],
)
def test_labels_that_cannot_be_right(tmp_path: Path, line: str, reason: str) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(f"recording,start_s,end_s,label\n{line}\n")
    with pytest.raises(ValueError, match=reason):
        read_labels(str(table))


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Histories of three sites over a fortnight, made by the command."""
    rows, calls = [], []
    for n, site in enumerate(("Creek", "Ridge", "Saül, nord")):
        for night in range(14):
            if site == "Creek" and night == 3:
                continue  # nothing was recorded there
            began = datetime(2024, 6, 1, 5) + timedelta(days=night)
            row = recording(f"{n}/{night:02d}.wav", began.isoformat(), site=site)
            rows.append(row)
            calls += [call(row, 60.0 * k) for k in range((night * (n + 1)) % 3)]
    (tmp_path / "results").mkdir()
    write_results(tmp_path / "results", rows, calls)
    output = tmp_path / "histories"
    assert main(["histories", str(tmp_path / "results"), "--output", str(output)]) == 0
    assert "3 sites × 14 nights; recorded in 41, calls in 18" in capsys.readouterr().out
    return output


def test_long_and_wide_say_the_same(made: Path) -> None:
    with (made / "history.csv").open(encoding="utf-8", newline="") as file:
        long = {(r["site"], r["visit"]): r for r in csv.DictReader(file)}
    assert len(long) == 42
    parquet = pyarrow.parquet.read_table(made / "history.parquet").to_pylist()
    for name, value in (("detected", "detected"), ("calls", "calls"), ("valid_hours", "valid_h")):
        with (made / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            wide = list(csv.DictReader(file))
        assert [row.pop("site") for row in wide] == ["Creek", "Ridge", "Saül, nord"]
        cells_of = [cell for row in wide for cell in row.values()]
        assert cells_of == [row[value] for row in long.values()]
        told = [None if cell == "NA" else float(cell) for cell in cells_of]
        assert told == [row[value] for row in parquet]
    assert long["Creek", "2024-06-03"]["detected"] == "NA"
    assert not (made / "verified.csv").exists()


def test_no_site_at_all_is_refused(tmp_path: Path) -> None:
    write_results(tmp_path, [replace(DAWN, site="")], [])
    with pytest.raises(UsageError, match="no site"):
        make_histories([str(tmp_path), "--output", str(tmp_path / "out")])


def vignette(language: str) -> list[str]:
    """The blocks of code in that language in the chapter on histories."""
    text = (ROOT / "docs" / "histories.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_vignette_in_python(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.parent)
    space: dict[str, float] = {}
    (code,) = vignette("python")
    exec(code, space)
    detected = pandas.read_csv(made / "detected.csv", index_col="site")
    assert space["psi"] == pytest.approx(2 / 3, abs=0.01)  # nothing calls at the third site
    expected = detected.loc[["Creek", "Ridge"]].stack().mean()
    assert space["p"] == pytest.approx(float(expected), abs=0.01)


def in_r(code: str, folder: Path) -> str:
    """What R prints; skips where R or a package is not installed."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("R is not installed (Debian: r-base-core)")
    done = subprocess.run(
        [rscript, "--vanilla", "-e", code],
        cwd=folder,
        env={**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"},
        check=False,
        capture_output=True,
        text=True,
    )
    if missing := re.search("there is no package called .*", done.stderr):
        pytest.skip(f"R: {missing[0]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_vignette_in_r(made: Path) -> None:
    printed = in_r(vignette("r")[0], made.parent)
    assert printed.splitlines() == ["sites: 3, visits: 14, NA: 1", "seen at 2 of 3 sites"]


def test_the_vignette_in_r_with_unmarked(made: Path) -> None:
    reading, models, _ = vignette("r")
    printed = in_r(reading + models, made.parent)
    assert "Backtransformed linear combination(s) of Occupancy estimate(s)" in printed
    assert "0.667" in printed


@pytest.mark.parametrize("package", ["arrow", "nanoparquet"])
def test_r_reads_the_parquet(made: Path, package: str) -> None:
    lines = vignette("r")[2].splitlines(keepends=True)
    reading = [line for line in lines if package in line or "stopifnot" in line]
    assert len(reading) == 2
    counted = "cat(nrow(history), sum(is.na(history$detected)))"
    assert in_r("".join([*reading, counted]), made.parent) == "42 1"


def test_stubs_are_no_effort() -> None:
    """A recorder that fails to start leaves files of a millisecond: nothing could be heard."""
    stub = recording("s", "2024-06-05T18:00:00", hours=0.001 / 3600)
    whole = recording("w", "2024-06-06T18:00:00")
    nights = histories(survey([stub, whole], []), "day")
    assert [(one.valid_h, one.detected, one.calls) for one in nights] == [
        (0.0, None, None),
        (1.0, 0, 0),
    ]
    almost = replace(stub, duration_s=0.99, heard_s=0.99)
    assert histories(survey([almost], []), "day")[0].detected is None
    assert histories(survey([replace(stub, heard_s=1.0)], []), "day")[0].detected == 0
