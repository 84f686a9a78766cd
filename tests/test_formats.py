"""Tables for other programs: golden files, round trips through other readers, awkward names."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.csv
import pyarrow.parquet
import pytest
import soundevent.io
from crowsetta.formats.bbox import AudBBox, Raven
from hypothesis import given
from hypothesis import strategies as st

from model.audio.quality import NOTHING
from model.calls import CountingRule
from model.windows import windows_every
from pipeline import options
from pipeline.exports.species import CALL_HIGH_HZ, CALL_LOW_HZ
from pipeline.exports.tool_formats import (
    AOEF,
    AUDACITY,
    BIRDNET,
    KALEIDOSCOPE,
    LABEL_STUDIO,
    RAVEN,
    TOOL_FORMATS,
    CountedRecording,
    Selection,
    render,
    run_lines,
    selections_of,
    split_folder,
    table_name,
)
from pipeline.inference.count import Counting
from pipeline.records import (
    SCHEMA_VERSION,
    DetectedCall,
    Place,
    RecordingCount,
    RecordingHeader,
    Row,
    SegmentScores,
    column_names,
)
from pipeline.store.entries import Entry
from pipeline.tables.activity import activity
from pipeline.tables.cell_text import encode, guard_path, guard_text, unguard_text
from pipeline.tables.csv_text import csv_line
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.read import read_calls, read_counts
from pipeline.tables.schema import Column, cells, columns_of
from tests.fakes import origin, row_and_calls
from tests.fixed_run import make_recordings, run_in

pytestmark = pytest.mark.usefixtures("plain_loop")

GOLDEN = Path(__file__).parent / "golden"
AWKWARD_NAMES = [
    "two words, and a comma.wav",
    'a "quoted" name.wav',
    '"quoted at the start.wav',
    "=1+1.wav",
    "@SUM(A1).wav",
    "-2+3.wav",
    "+site.wav",
    "tab\there.wav",
    "\ttab first.wav",
    "line\nbreak.wav",
    "'apostrophe.wav",
    "ñandú-カプチン-ночь.wav",
    "100 %.wav",
]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_recordings(folder)
    formats = [f"--format={name}" for name in options.FORMATS]
    return run_in(folder, ["--input", "night1", "night2", *formats])


OWN_TABLES = (
    "counts.csv",
    "calls.csv",
    "activity.csv",
    "failures.csv",
    "run.json",
)  # their columns grow with the project


def tables_of(output: Path) -> dict[str, bytes]:
    """The text tables for other programs, by their names."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.suffix in (".csv", ".txt", ".json")
        and path.name not in OWN_TABLES
        and "ledger" not in path.parts
    }


def test_golden_files(output: Path) -> None:
    written = tables_of(output)
    if os.environ.get("REWRITE_GOLDEN"):
        for name, text in written.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_bytes(text)
    assert written == tables_of(GOLDEN)


def test_every_tool_can_be_asked_for() -> None:
    assert set(options.FORMATS) == {*TOOL_FORMATS, "excel", "parquet", "tutorial"}


def calls_of(output: Path, recording: str) -> list[tuple[float, float]]:
    with open(output / "calls.csv", newline="", encoding="utf-8") as file:
        return [
            (float(row["start_s"]), float(row["end_s"]))
            for row in csv.DictReader(file)
            if row["recording"] == recording
        ]


@pytest.mark.parametrize("recording", ["night1/REC_01.wav", "night2/REC_01.wav"])
def test_crowsetta_reads_raven_and_audacity(output: Path, recording: str) -> None:
    expected = calls_of(output, recording)
    assert expected
    raven = Raven.from_file(output / table_name(recording, RAVEN))
    audacity = AudBBox.from_file(output / table_name(recording, AUDACITY))
    for boxes in (raven.to_bbox(), audacity.to_bbox()):
        assert [(round(box.onset, 6), round(box.offset, 6)) for box in boxes] == expected
        assert {(box.low_freq, box.high_freq) for box in boxes} == {(CALL_LOW_HZ, CALL_HIGH_HZ)}
        assert {box.label for box in boxes} == {"Capuchinbird"}


def test_crowsetta_reads_all_that_lies_in_ravens_folder(output: Path) -> None:
    tables = sorted((output / "raven").rglob("*.txt"))
    read = [box for path in tables for box in Raven.from_file(path).to_bbox()]
    assert len(tables) == 2  # REC_02 has no call
    assert len(read) == len(calls_of(output, "night1/REC_01.wav")) + len(
        calls_of(output, "night2/REC_01.wav")
    )


def test_tables_for_spreadsheets_begin_with_a_mark(output: Path) -> None:
    for name in ("counts.csv", "calls.csv", "activity.csv", "failures.csv"):
        plain = (output / name).read_bytes()
        assert (output / "excel" / name).read_bytes() == b"\xef\xbb\xbf" + plain


def test_the_tutorials_table_tells_recordings_apart(output: Path) -> None:
    with open(output / "tutorial.csv", newline="", encoding="utf-8") as file:
        names = [row["recording"] for row in csv.DictReader(file)]
    assert {"night1/REC_01.wav", "night2/REC_01.wav"} <= set(names)


def test_ravens_table_of_the_run_goes_on_from_file_to_file(output: Path) -> None:
    boxes = Raven.from_file(output / RAVEN.run_file, annot_col="Begin Path").to_bbox()
    begins_s = {"night1/REC_01.wav": 0.0, "night2/REC_01.wav": 30.0}  # after 20 s and 10 s
    expected = [
        (recording, begin_s + start_s, begin_s + end_s)
        for recording, begin_s in begins_s.items()
        for start_s, end_s in calls_of(output, recording)
    ]
    found = [(box.label, round(box.onset, 3), round(box.offset, 3)) for box in boxes]
    assert found == expected


def test_a_recording_without_calls_has_a_table_without_rows_but_none_for_raven(
    output: Path,
) -> None:
    assert not (output / table_name("night1/REC_02.wav", RAVEN)).exists()
    for tool in (AUDACITY, KALEIDOSCOPE, BIRDNET):
        text = (output / table_name("night1/REC_02.wav", tool)).read_text("utf-8")
        assert text == "".join(render(tool, []))
        assert len(text.splitlines()) == tool.header


def test_a_failed_recording_has_no_table(output: Path) -> None:
    assert not list(output.rglob("damaged*"))


@pytest.mark.slow
def test_a_failed_recording_loses_the_table_of_an_earlier_run(tmp_path: Path) -> None:
    make_recordings(tmp_path)
    arguments = ["--input", "night2/REC_01.wav", "--format=raven"]
    output = run_in(tmp_path, arguments)
    table = output / table_name("night2/REC_01.wav", RAVEN)
    assert table.exists()
    (tmp_path / "night2/REC_01.wav").write_bytes(b"")
    run_in(tmp_path, arguments, run_id="20240612T050000Z-fixed1")
    assert not table.exists()


def own_tables(output: Path) -> dict[Path, tuple[int, bytes]]:
    """The tables of single recordings: when each was written, and its content."""
    paths = [path for name in TOOL_FORMATS for path in (output / name).rglob("*.*")]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


@pytest.mark.slow
def test_only_tables_that_change_are_written(tmp_path: Path) -> None:
    make_recordings(tmp_path)
    every = [f"--format={name}" for name in TOOL_FORMATS]
    run_in(tmp_path, ["--input", "night1", *every])
    before = own_tables(tmp_path / "out")
    assert len(before) == 2 * len(TOOL_FORMATS) - 1  # Raven has none without calls

    output = run_in(tmp_path, ["--input", "night1", "night2", *every], "20240612T050000Z-fixed1")
    after = own_tables(output)
    assert {path: after[path] for path in before} == before
    assert len(after) == 3 * len(TOOL_FORMATS) - 1

    # A run that was not asked for these tables leaves them as they were; the next one renews them.
    stricter = ["--input", "night1", "night2", "--threshold=0.7"]
    run_in(tmp_path, stricter, "20240613T050000Z-fixed2")
    assert own_tables(output) == after
    run_in(tmp_path, [*stricter, *every], "20240614T050000Z-fixed3")
    changed = {path for path, table in own_tables(output).items() if table != after[path]}
    with_other_calls = {
        output / table_name("night1/REC_01.wav", tool) for tool in TOOL_FORMATS.values()
    }
    says_the_threshold = {output / table_name("night2/REC_01.wav", BIRDNET)}
    assert changed == with_other_calls | says_the_threshold


def read_alike(path: Path) -> int:
    """The rows of a table that pandas and Arrow both read, with the same names and numbers."""
    by_pandas, by_arrow = pandas.read_csv(path), pyarrow.csv.read_csv(path)
    assert list(by_pandas) == by_arrow.column_names, path
    assert len(by_pandas) == len(by_arrow), path
    for name in by_arrow.column_names:
        of_arrow = [value for value in by_arrow[name].to_pylist() if value is not None]
        of_pandas = by_pandas[name].dropna()
        if of_arrow and pandas.api.types.is_numeric_dtype(of_pandas):
            assert of_pandas.tolist() == pytest.approx(of_arrow), (path, name)
    return len(by_pandas)


def test_pandas_and_arrow_read_every_table_alike(output: Path) -> None:
    tables = [path for path in output.rglob("*.csv") if "ledger" not in path.parts]
    names = {path.name for path in tables}
    assert {"tutorial.csv", "activity.csv", "failures.csv", "birdnet.csv"} <= names
    assert sum(map(read_alike, tables)) > 0
    for folder in output.glob("*.parquet"):
        assert len(pandas.read_parquet(folder)) == read_alike(folder.with_suffix(".csv"))


def test_parquet_has_types_and_the_rows_of_the_csv(output: Path) -> None:
    counts = pyarrow.parquet.read_table(output / "counts.parquet")
    assert counts.schema.metadata[b"schema_version"] == b"3"
    assert str(counts.schema.field("call_count").type) == "int64"
    assert str(counts.schema.field("duration_s").type) == "double"
    assert not counts.schema.field("recording").nullable
    with open(output / "counts.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = counts.to_pylist()
    assert [row["recording"] for row in found] == [row["recording"] for row in rows]
    for row, expected in zip(found, rows, strict=True):
        assert row["call_count"] == (
            int(expected["call_count"]) if expected["call_count"] else None
        )
        assert f"{row['threshold']:.5f}" == expected["threshold"]
    calls = pyarrow.parquet.read_table(output / "calls.parquet").to_pylist()
    assert len(calls) == sum(row["call_count"] or 0 for row in found)
    assert {type(row["start_s"]) for row in calls} == {float}


def counted(recording: str = "night/a.wav", duration_s: float = 86_400.0) -> CountedRecording:
    """A recording with a call in its last seconds."""
    n = round(duration_s * 16_000)
    header = RecordingHeader(16_000, 1, "WAV PCM_16", duration_s, n, 1)
    counting = Counting(
        "calls",
        CountingRule(0.5, 3.0, 0.3, 1.0),
        16_000,
        windows_every(16_000),
        "Capuchinbird",
        "m-1",
        "run",
    )
    starts = np.array([n - 49_600], dtype=np.int64)  # 3.1 s before the end
    scores = SegmentScores(starts, np.array([0.9], dtype=np.float32), n, NOTHING, origin(recording))
    return CountedRecording(*row_and_calls(recording, [header, scores], counting))


def test_times_hold_to_the_millisecond_at_the_end_of_a_day(tmp_path: Path) -> None:
    recording = counted()
    (call,) = recording.calls
    assert (call.start_s, call.end_s) == (86_396.9, 86_399.9)
    raven = tmp_path / "raven.txt"
    raven.write_text("".join(render(RAVEN, selections_of([recording] * 3))))
    boxes = Raven.from_file(raven).to_bbox()
    assert [box.offset for box in boxes] == [86_399.9, 172_799.9, 259_199.9]
    audacity = tmp_path / "audacity.txt"
    audacity.write_text("".join(render(AUDACITY, selections_of([recording]))))
    assert AudBBox.from_file(audacity).to_bbox()[0].offset == 86_399.9
    for tool, start, end in (
        (KALEIDOSCOPE, "OFFSET", None),
        (BIRDNET, "Start (s)", "End (s)"),
    ):
        (row,) = csv.DictReader(io.StringIO("".join(render(tool, selections_of([recording])))))
        assert row[start] == "86396.900"
        assert (row[end] if end else row["DURATION"]) == ("86399.900" if end else "3.000")


def test_many_recordings_do_not_drift() -> None:
    recording = replace(counted(), calls=())
    short = replace(recording.row, duration_s=0.1)
    last = counted()
    recordings = [CountedRecording(short, ())] * 100_000
    (selection,) = selections_of([*recordings, last])
    assert selection.file_begins_s == 10_000.0


def test_soundevent_reads_each_recordings_aoef(output: Path) -> None:
    for recording in ("night1/REC_01.wav", "night1/REC_02.wav", "night2/REC_01.wav"):
        found = soundevent.io.load(output / table_name(recording, AOEF), type="prediction_set")
        (clip,) = found.clip_predictions
        assert str(clip.clip.recording.path) == recording
        assert clip.clip.end_time == clip.clip.recording.duration
        boxes = [one.sound_event.geometry.coordinates for one in clip.sound_events]
        assert [(start, end) for start, _, end, _ in boxes] == calls_of(output, recording)
        tags = {(tag.tag.term.name, tag.tag.value) for one in clip.sound_events for tag in one.tags}
        assert tags <= {("dwc:scientificName", "Perissocephalus tricolor")}
        assert bool(tags) == bool(boxes)


def test_label_studio_has_a_task_for_each_recording(output: Path) -> None:
    tasks = json.loads((output / LABEL_STUDIO.run_file).read_text("utf-8"))
    names = ["night1/REC_01.wav", "night1/REC_02.wav", "night2/REC_01.wav"]
    assert [task["data"]["audio"] for task in tasks] == names
    for task in tasks:
        (prediction,) = task["predictions"]
        values = [one["value"] for one in prediction["result"]]
        times = [(value["start"], value["end"]) for value in values]
        assert times == calls_of(output, task["data"]["audio"])
        own = output / table_name(task["data"]["audio"], LABEL_STUDIO)
        assert json.loads(own.read_text("utf-8")) == [task]
    assert json.loads("".join(run_lines(LABEL_STUDIO, []))) == []


def test_label_studios_own_code_accepts_the_tasks(output: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    view = re.search("<View>.*</View>", LABEL_STUDIO.doc)
    assert view
    labels = interface.LabelInterface(view[0])
    labels.validate()
    for task in json.loads((output / LABEL_STUDIO.run_file).read_text("utf-8")):
        assert labels.validate_task({"data": task["data"]})
        assert all(map(labels.validate_prediction, task["predictions"]))


def test_birdnets_columns_are_those_that_its_readers_look_for(output: Path) -> None:
    header = (output / BIRDNET.run_file).read_text("utf-8").splitlines()[0].split(",")
    # NSNSDAcoustics, birdnet_format: these and, as additional columns, those after them.
    base = ["Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File"]
    more = ["lat", "lon", "week", "overlap", "sensitivity", "min_conf", "species_list", "model"]
    assert header == base + more
    # birdnetTools, birdnet_detect_columns: the first column that any of its patterns finds.
    for patterns, column in (
        ("start|begin time", "Start (s)"),
        ("end", "End (s)"),
        ("scientific", "Scientific name"),
        ("common|label", "Common name"),
        ("confidence|score", "Confidence"),
        ("file|path", "File"),
    ):
        assert next(name for name in header if re.search(patterns, name.lower())) == column
    table = pandas.read_csv(output / BIRDNET.run_file)
    assert set(table["min_conf"]) == {0.5}
    assert set(table["model"]) == {"peak-1"}


def test_kaleidoscopes_columns_are_its_own_and_lead_to_the_recordings(output: Path) -> None:
    # Of Kaleidoscope's cluster.csv. BirdNET-Analyzer's issue 855: with other columns among them,
    # its viewer showed next to nothing.
    own = ["INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "Fmin", "Fmean", "Fmax"]
    own += ["DATE", "TIME", "HOUR", "TOP1MATCH", "TOP1DIST", "TOP2MATCH", "TOP2DIST", "MANUAL ID"]
    table = pandas.read_csv(output / KALEIDOSCOPE.run_file, keep_default_na=False)
    assert list(table) == [name for name in own if name in set(table)]
    for recording in ("night1/REC_01.wav", "night2/REC_01.wav"):
        parts = table[["INDIR", "FOLDER", "IN FILE"]].agg("/".join, axis=1).map(os.path.normpath)
        rows = table[parts == recording]
        ends = (rows["OFFSET"] + rows["DURATION"]).round(6)
        assert list(zip(rows["OFFSET"], ends, strict=True)) == calls_of(output, recording)
        single = pandas.read_csv(output / table_name(recording, KALEIDOSCOPE))
        assert list(single["OFFSET"]) == list(rows["OFFSET"])


@pytest.mark.parametrize(
    ("local", "week"),
    [("2024-01-01", "1"), ("2024-06-30", "24"), ("2024-06-15", "23"), ("2024-12-31", "48")],
)
def test_birdnets_week(local: str, week: str) -> None:
    (call,) = counted().calls
    call = replace(call, called_local=f"{local}T05:00:00", latitude=4.5, longitude=-52.5)
    (row,) = csv.DictReader(io.StringIO("".join(render(BIRDNET, [Selection(1, call, 0.0, 0.4)]))))
    assert (row["week"], row["lat"], row["min_conf"]) == (week, "4.500000", "0.40000")


@pytest.mark.parametrize(
    ("recording", "folders"),
    [
        ("card/night1/a.wav", ("card", "night1")),
        ("night1/a.wav", (".", "night1")),
        ("a.wav", (".", "")),
        ("/a.wav", ("/", "")),
        ("gs://bucket/a.wav", ("gs://bucket", "")),
        ("gs://bucket/night/a.wav", ("gs://bucket", "night")),
    ],
)
def test_kaleidoscope_finds_the_recording(recording: str, folders: tuple[str, str]) -> None:
    assert split_folder(recording) == folders
    name = recording.rpartition("/")[2]
    assert os.path.normpath(os.path.join(*folders, name)) == os.path.normpath(recording)


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A run over awkward names, and the names."""
    folder = tmp_path_factory.mktemp("awkward")
    make_recordings(folder)
    call = (folder / "night2/REC_01.wav").read_bytes()
    for name in AWKWARD_NAMES:
        (folder / name).write_bytes(call)
    manifest = "recording\n" + "".join(
        '"' + name.replace('"', '""') + '"\n' for name in [*AWKWARD_NAMES, "=absent.wav"]
    )
    (folder / "manifest.csv").write_text(manifest, encoding="utf-8")
    formats = [f"--format={name}" for name in options.FORMATS]
    flags = ["--manifest", "manifest.csv", "--keep_copies", *formats]
    return run_in(folder, flags), set(AWKWARD_NAMES)


def read_table(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        if path.suffix == ".csv":
            return list(csv.reader(file, strict=True))
        return [line.split("\t") for line in file.read().split("\n")[:-1]]


@pytest.mark.slow
def test_awkward_names_parse_everywhere(awkward: tuple[Path, set[str]]) -> None:
    output, names = awkward
    for table, column, size in (
        ("counts.csv", "recording", len(names) + 1),
        ("calls.csv", "recording", len(names)),
        ("tutorial.csv", "recording", len(names) + 1),
        ("birdnet.csv", "File", len(names)),
        ("kaleidoscope.csv", "IN FILE", len(names)),
        ("raven.selection.table.txt", "Begin Path", len(names)),
    ):
        header, *rows = read_table(output / table)
        assert {len(row) for row in rows} == {len(header)}, table
        found = {os.path.normpath(row[header.index(column)]) for row in rows}
        expected = names | {"=absent.wav"} if size > len(names) else names
        if table.endswith(".txt"):
            expected = {n.replace("\t", "␉").replace("\n", "␊") for n in names}
        assert found == expected, table


@pytest.mark.slow
def test_awkward_names_give_each_recording_its_own_tables(awkward: tuple[Path, set[str]]) -> None:
    output, names = awkward
    for tool in TOOL_FORMATS.values():
        paths = {output / table_name(name, tool) for name in names}
        assert len(paths) == len(names)
        for path in paths:
            if tool.to_json:
                assert json.loads(path.read_bytes())
                continue
            rows = read_table(path)
            assert len(rows) == tool.header + 1 + bool(tool.after_row)


@pytest.mark.slow
def test_no_cell_is_a_formula(awkward: tuple[Path, set[str]]) -> None:
    output, _ = awkward
    tables = [p for p in output.rglob("*.*") if p.suffix == ".csv" or "raven" in p.name]
    tables += (output / "raven").glob("*.txt")
    assert len(tables) > 3 * len(AWKWARD_NAMES)
    for path in tables:
        for row in read_table(path):
            assert not [cell for cell in row if is_run_by_spreadsheets(cell)], path


def is_run_by_spreadsheets(cell: str) -> bool:
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", cell)
    return cell.startswith(tuple("=+-@\t\r\n")) and not is_number


def test_negative_numbers_stay_numbers_in_the_counts() -> None:
    row = replace(counted().row, max_score=-0.25, error="=1+1", recording="=1.wav")
    assert "-0.25000" in cells(row)
    assert "'=1+1" in cells(row)
    assert "./=1.wav" in cells(row)


@given(st.text(st.sampled_from("'=+-@\t\r\na1＝"), max_size=6))
def test_guarding_can_be_undone(text: str) -> None:
    assert unguard_text(guard_text(text)) == text
    assert guard_text(text)[:1] not in list("=+-@\t\r\n＝")
    assert os.path.normpath(guard_path(text) or ".") == os.path.normpath(text or ".")


def values(column: Column) -> st.SearchStrategy[Any]:
    """Whatever may stand in a column, no finer than its text shows."""
    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        int: st.integers(0, 2**53),
        float: st.floats(-1e6, 1e6).map(lambda value: round(value, column.digits)),
    }
    kind = kinds[column.kind]
    if column.name == "recording":
        kind = kind.map(guard_path)
    return st.none() | kind if column.nullable else kind


def rows_of(row_type: type[Row]) -> st.SearchStrategy[Any]:
    return st.builds(row_type, **{c.name: values(c) for c in columns_of(row_type)})


@pytest.mark.slow
@given(st.lists(rows_of(RecordingCount), max_size=3), st.lists(rows_of(DetectedCall), max_size=3))
def test_rows_come_back_as_they_were_written(
    counts: list[RecordingCount], calls: list[DetectedCall]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, row_type, rows in (
            ("counts.csv", RecordingCount, counts),
            ("calls.csv", DetectedCall, calls),
        ):
            lines = [csv_line(column_names(row_type)), *(csv_line(cells(row)) for row in rows)]
            Path(folder, name).write_bytes(encode("".join(lines)))
        assert read_counts(folder) == counts
        assert read_calls(folder) == calls


@given(st.text(max_size=300), st.text(max_size=300))
def test_table_names_differ_and_fit(one: str, other: str) -> None:
    for tool in TOOL_FORMATS.values():
        name = table_name(one, tool)
        assert (name == table_name(other, tool)) == (encode(one) == encode(other))
        assert all(len(part.encode()) <= 255 for part in name.split("/"))
        assert ".." not in name.split("/")


def test_two_folders_recordings_of_one_name_stay_apart() -> None:
    assert table_name("a/night/1.wav", RAVEN) != table_name("b/night/1.wav", RAVEN)


def test_another_models_label_is_not_called_a_capuchinbird() -> None:
    call = replace(counted().calls[0], label="=Screaming\tPiha")
    (_, row) = render(RAVEN, [Selection(1, call, 0.0)])
    assert row.split("\t")[7:10] == [*["'=Screaming␉Piha"] * 2, ""]
    assert row.count("\t") == len(RAVEN.columns) - 1


def test_times_in_parquet_are_timestamps() -> None:
    local = "2024-06-11T05:30:00"
    rows = [
        replace(NIGHT.row, recorded_at=f"{local}-03:00", recorded_local=local),
        replace(NIGHT.row, recording="b.wav", recorded_at="", recorded_local=local),
        replace(NIGHT.row, recording="c.wav", recorded_at="", recorded_local=""),
    ]
    table = pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(rows, RecordingCount)))
    assert str(table.schema.field("recorded_at").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("recorded_local").type) == "timestamp[us]"
    assert table["recorded_at"].to_pylist() == [
        datetime.fromisoformat(f"{local}-03:00"),
        None,
        None,
    ]
    began = datetime.fromisoformat(local)
    assert table["recorded_local"].to_pylist() == [began, began, None]


NIGHT = counted("SITE_20240611_053000.wav", 7200.0)


def test_blanks_are_missing_and_times_are_times_for_whoever_reads_a_table() -> None:
    text = csv_line(column_names(DetectedCall)) + "".join(csv_line(cells(c)) for c in NIGHT.calls)
    blanks = pyarrow.csv.ConvertOptions(strings_can_be_null=True)
    table = pyarrow.csv.read_csv(io.BytesIO(text.encode()), convert_options=blanks)
    assert table["site"].to_pylist() == [None]
    assert table["called_at"].to_pylist() == [None]  # the clock is known, its zone is not
    assert str(table["called_local"][0]) == "2024-06-11 07:29:56.900000"
    # What docs/outputs.md tells R to read them by.
    when = datetime.strptime(NIGHT.calls[0].called_local, "%Y-%m-%dT%H:%M:%S.%f")
    assert when == table["called_local"][0].as_py()


def test_activity_has_a_row_for_each_hour_recorded() -> None:
    rows = activity([NIGHT.row], NIGHT.calls)
    assert [(r.date, r.hour, r.calls) for r in rows] == [
        ("2024-06-11", 5, 0),
        ("2024-06-11", 6, 0),
        ("2024-06-11", 7, len(NIGHT.calls)),
    ]
    assert [round(r.recorded_h, 6) for r in rows] == [0.5, 1.0, 0.5]


def test_a_ledger_of_an_earlier_layout_gives_todays_columns() -> None:
    call = NIGHT.calls[0]
    new = ("called_local", "latitude", "longitude")
    entry = Entry(
        *("a", 1, "1", "", Place(), "settings", "scoring", False, (0,) * 10),
        row=replace(NIGHT.row, schema_version=1, latitude=4.5, longitude=-52.5),
        calls=(replace(call, schema_version=1),),
    )
    line = json.loads(entry.to_line())
    line["calls"] = [{k: v for k, v in line["calls"][0].items() if k not in new}]
    read = Entry.from_line(json.dumps(line))
    assert read.calls == (replace(call, latitude=4.5, longitude=-52.5),)
    assert read.row.schema_version == SCHEMA_VERSION
