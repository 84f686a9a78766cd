"""Tables in BigQuery: their layout, nights, and the requests that Beam sends."""

from __future__ import annotations

import csv
import dataclasses
import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from pipeline.ledger import nights
from pipeline.options import UsageError
from pipeline.records import DetectedCall, RecordingCount, Row, RunSummary, column, column_names
from pipeline.storage import buckets, files
from pipeline.store.ledger import Ledger
from pipeline.tables import bigquery
from tests import plain_runner
from tests.cloud import emulators
from tests.cloud.conftest import Bucket
from tests.cloud.test_buckets import count, encoded
from tests.fakes import write_model

DATASET = "forest.birds"

pytestmark = pytest.mark.slow


@pytest.fixture
def dataset(warehouse: emulators.Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An empty dataset with its tables. Views have tests of their own."""
    monkeypatch.setattr(bigquery, "VIEWS", tmp_path)
    bigquery.client(DATASET).delete_dataset(DATASET, delete_contents=True, not_found_ok=True)
    bigquery.create(DATASET, "EU")
    warehouse.requests.clear()
    return DATASET


def select(query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in bigquery.client(DATASET).query(query).result()]


def as_text(row_type: type[Row], values: dict[str, Any]) -> dict[str, str]:
    """A row of a table as the text of the same row in a file."""
    cells = {}
    for field in dataclasses.fields(row_type):
        value, digits = values[field.name], field.metadata["digits"]
        if value is not None and digits is not None:
            value = f"{value:.{digits}f}"
        cells[field.name] = "" if value is None else str(value)
    return cells


def assert_night_equals_files(night: str, output: str) -> None:
    for table, row_type in (("counts", RecordingCount), ("calls", DetectedCall)):
        found = select(f"SELECT * FROM `{DATASET}.{table}` WHERE night = DATE '{night}'")
        text = files.read_bytes(f"{output}/{table}.csv").decode()
        expected = list(csv.DictReader(io.StringIO(text)))
        order = list(expected[0])[:2] if expected else []
        rows = [as_text(row_type, values) for values in found]
        assert sorted(rows, key=lambda r: [r[c] for c in order]) == sorted(
            expected, key=lambda r: [r[c] for c in order]
        )


def summary() -> RunSummary:
    """Of a run that has not begun to count."""
    values: dict[str, Any] = dict.fromkeys(column_names(RunSummary), 0)
    texts = {"model_version": "m", "model_sha256": "", "training_data_sha256": ""}
    values |= texts | {"run_id": "run", "configuration": "{}", "schema_version": 1}
    return RunSummary(**values | {"started_at": datetime.now(UTC).isoformat()})


def load_jobs(warehouse: emulators.Proxy) -> dict[str, Any]:
    """Table with partition → configuration of the load job that Beam sent."""
    posted = [r.json() for r in warehouse.requests if r.method == "POST" and "/jobs" in r.path]
    loads = [job["configuration"]["load"] for job in posted if "load" in job["configuration"]]
    return {load["destinationTable"]["tableId"]: load for load in loads}


@pytest.mark.slow
def test_a_night_is_rewritten_as_a_whole_and_others_stay(
    bucket: Bucket,
    dataset: str,
    warehouse: emulators.Proxy,
    tmp_path: Path,
    peaks_on_beam: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first night on Beam's runner, the others as a plain loop."""
    model = write_model(tmp_path / "model")
    first = [
        bucket.put("one/a.wav", encoded(20, 48_000, "WAV", [3, 12])),
        bucket.put("one/b.flac", encoded(12, 16_000, "FLAC")),
        bucket.put("one/broken.wav", b"RIFF"),
    ]
    second = bucket.put("two/c.wav", encoded(8, 16_000, "WAV", [4]))

    def run(night: str, recordings: list[str], *flags: str) -> str:
        warehouse.requests.clear()
        output = f"{bucket.uri}/out/{night}"
        where = [f"--model={model}", f"--output={output}", f"--bigquery={dataset}"]
        assert count("--input", *recordings, f"--night={night}", *where, *flags) == 0
        return output

    output_one = run("2026-03-01", first)
    loads = load_jobs(warehouse)
    assert set(loads) == {"counts$20260301", "calls$20260301", "runs$20260301"}
    for partition, load in loads.items():
        replaced = not partition.startswith("runs")
        assert load["writeDisposition"] == ("WRITE_TRUNCATE" if replaced else "WRITE_APPEND")
        assert load["createDisposition"] == "CREATE_NEVER"
        assert load["sourceFormat"] == "NEWLINE_DELIMITED_JSON"
        assert all(uri.startswith(f"{output_one}/temp/") for uri in load["sourceUris"])
    plain_runner.use(monkeypatch)
    output_two = run("2026-03-02", [second])
    assert_night_equals_files("2026-03-01", output_one)
    assert_night_equals_files("2026-03-02", output_two)

    # Again, with a threshold that nothing reaches: what the night had before is gone.
    run("2026-03-02", [second], "--threshold=0.999")
    assert set(load_jobs(warehouse)) == {"counts$20260302", "runs$20260302"}
    assert len(warehouse.paths("DELETE", r"tables/calls\$20260302")) == 1
    night = "WHERE night = DATE '2026-03-02'"
    assert [row["call_count"] for row in select(f"SELECT * FROM `{dataset}.counts` {night}")] == [0]
    assert not select(f"SELECT recording FROM `{dataset}.calls` {night}")
    assert_night_equals_files("2026-03-01", output_one)

    # A night in which nothing was recorded.
    run("2026-03-03", [f"{bucket.uri}/three/*.wav"], "--allow_empty")
    assert not select(f"SELECT recording FROM `{dataset}.counts` WHERE night > DATE '2026-03-02'")
    runs = select(f"SELECT * FROM `{dataset}.runs` ORDER BY started_at")
    assert [(str(r["night"]), r["inputs"], r["calls"], r["failed"]) for r in runs] == [
        ("2026-03-01", 3, 2, 1),
        ("2026-03-02", 1, 1, 0),
        ("2026-03-02", 1, 0, 0),
        ("2026-03-03", 0, 0, 0),
    ]


def night_of_ledger(output: str, night: str) -> dict[str, tuple[float, int | None, str]]:
    """Threshold, calls and run of each recording of a night, as the ledger says."""
    state = Ledger(output).state()
    found = {}
    for name in nights.files_of_night(output, night):
        for identities in nights.read(name, ()).values():
            for row in (state[identity].row for identity in identities):
                found[row.recording] = (row.threshold, row.call_count, row.run_id)
    return found


@pytest.mark.slow
def test_nights_come_from_the_ledger_whatever_can_still_be_listed(
    bucket: Bucket, dataset: str, warehouse: emulators.Proxy, tmp_path: Path, peaks: None
) -> None:
    """Three nights, a file archived in between, a rescore, and a night run again after it."""
    model, output = write_model(tmp_path / "model"), f"{bucket.uri}/out"
    where = [f"--model={model}", f"--output={output}", f"--bigquery={dataset}"]

    def check() -> None:
        for day in (1, 2, 3):
            night = f"2026-03-0{day}"
            query = f"SELECT * FROM `{dataset}.counts` WHERE night = DATE '{night}'"
            found = {
                row["recording"]: (row["threshold"], row["call_count"], row["run_id"])
                for row in select(query)
            }
            assert found == night_of_ledger(output, night)
            assert len(found) == 2
            query = f"SELECT recording FROM `{dataset}.calls` WHERE night = DATE '{night}'"
            assert len(select(query)) == sum(n or 0 for _, n, _ in found.values())

    for day in (1, 2, 3):
        for k in range(2):
            name = f"in/2026-03-0{day}/S{k}_2026030{day}_050000.wav"
            bucket.put(name, encoded(12, 16_000, "WAV", [3, 8] if k else [5]))
        folder = f"{bucket.uri}/in/2026-03-0{day}"
        assert count("--input", folder, f"--night=2026-03-0{day}", *where) == 0
    check()
    buckets.storage_client().bucket(bucket.uri[5:]).blob(
        "in/2026-03-01/S0_20260301_050000.wav"
    ).delete()
    warehouse.requests.clear()
    again = ("--input", f"{bucket.uri}/in/2026-03-01", "--night=2026-03-01", *where)
    assert count(*again) == 0
    assert set(load_jobs(warehouse)) == {"counts$20260301", "calls$20260301", "runs$20260301"}
    check()

    rescored = ["rescore", f"--output={output}", f"--model={model}", f"--bigquery={dataset}"]
    assert main([*rescored, "--threshold=0.999", "--direct_running_mode=in_memory"]) == 0
    check()
    assert not select(f"SELECT recording FROM `{dataset}.calls`")
    assert count(*again) == 0  # keeps the threshold that was chosen
    check()
    assert {r["threshold"] for r in select(f"SELECT * FROM `{dataset}.counts`")} == {0.999}


def test_the_command_makes_the_tables(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    bigquery.client(dataset).delete_dataset(dataset, delete_contents=True)
    with pytest.raises(UsageError, match="run: capuchinbird tables --dataset"):
        bigquery.check_dataset(dataset)
    assert main(["tables", "--dataset", dataset, "--location", "EU"]) == 0
    assert capsys.readouterr().out == f"{dataset}: tables counts, calls, runs and views are there\n"
    bigquery.check_dataset(dataset)
    assert main(["tables", "--dataset", "nowhere"]) == 2
    assert "write it as PROJECT.DATASET" in capsys.readouterr().err


def test_tables_are_made_with_partitions_clusters_and_descriptions(dataset: str) -> None:
    connection = bigquery.client(dataset)
    for name, row_type in bigquery.TABLES.items():
        table = connection.get_table(f"{dataset}.{name}")
        assert table.time_partitioning.type_ == "DAY"
        assert table.time_partitioning.field == "night"
        assert [c.name for c in table.schema] == ["night", *column_names(row_type)]
        assert all(c.description for c in table.schema)
        assert "recording" in (table.clustering_fields or []) or name == "runs"
    columns = {c["name"]: c for c in bigquery.schema(RecordingCount)}
    assert columns["recording"]["mode"] == columns["night"]["mode"] == "REQUIRED"
    assert columns["call_count"] == {
        "name": "call_count",
        "type": "INTEGER",
        "mode": "NULLABLE",
        "description": "Calls. Empty if the recording could not be counted.",
    }


def test_an_older_table_gets_the_new_columns(dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bigquery.check_dataset(dataset)
    mood = ("mood", str, column("How it felt."))
    wider = dataclasses.make_dataclass("Wider", [mood], bases=(RunSummary,), frozen=True)
    monkeypatch.setitem(bigquery.TABLES, "runs", wider)
    with pytest.raises(UsageError, match="runs has no column mood; run: capuchinbird tables"):
        bigquery.check_dataset(dataset)
    bigquery.create(dataset, "EU")
    bigquery.check_dataset(dataset)


def test_missing_tables_stop_the_run_before_it_starts(
    bucket: Bucket, warehouse: emulators.Proxy, tmp_path: Path, peaks: None
) -> None:
    model = write_model(tmp_path / "model")
    name = bucket.put("a.wav", encoded(1, 16_000, "WAV"))
    arguments = [f"--input={name}", f"--model={model}", "--night=2026-03-01"]
    with pytest.raises(UsageError, match="run: capuchinbird tables --dataset"):
        count(*arguments, f"--output={bucket.uri}/out", "--bigquery=forest.absent")
    with pytest.raises(UsageError, match="give --temp_location"):
        count(*arguments, f"--output={tmp_path}/out", "--bigquery=forest.absent")


def test_empty_texts_are_null_and_others_are_not() -> None:
    row = summary()
    assert bigquery.to_json(row, "2026-03-01")["model_sha256"] is None
    assert bigquery.to_json(row, "2026-03-01")["inputs"] == 0
    assert bigquery.to_json(row, str(date(2026, 3, 1)))["night"] == "2026-03-01"


def test_views_answer_what_ecologists_ask_first(warehouse: emulators.Proxy) -> None:
    """On tables with the columns they read, filled by hand."""
    connection = bigquery.client(DATASET)
    connection.delete_dataset(DATASET, delete_contents=True, not_found_ok=True)
    connection.create_dataset(DATASET)
    counts = "night DATE, run_id STRING, recording STRING, site STRING, outcome STRING, "
    counts += "error STRING, duration_s FLOAT64, heard_s FLOAT64, recorded_local DATETIME"
    calls = "night DATE, run_id STRING, recording STRING, start_s FLOAT64"
    select(f"CREATE TABLE `{DATASET}.counts` ({counts})")
    select(f"CREATE TABLE `{DATASET}.calls` ({calls})")
    night = "DATE '2026-03-01', 'run'"
    select(
        f"INSERT INTO `{DATASET}.counts` VALUES "
        f"({night}, 'long.wav', 'ridge', 'ok', '', 5400, 5400, DATETIME '2026-03-01 05:30:00'),"
        f"({night}, 'half.wav', 'creek', 'truncated', 'x', 3600, 1800,"
        " DATETIME '2026-03-01 23:45:00'),"
        f"({night}, 'bad.wav', 'ridge', 'failed', 'why', NULL, NULL, NULL),"
        f"({night}, 'when.wav', 'ridge', 'no_calls', '', 60, 60, NULL)"
    )
    select(
        f"INSERT INTO `{DATASET}.calls` VALUES ({night}, 'long.wav', 10.5),"
        f"({night}, 'long.wav', 1799.5), ({night}, 'long.wav', 1801), ({night}, 'half.wav', 1000)"
    )
    bigquery.create_views(DATASET)
    bigquery.create_views(DATASET)

    hours = select(f"SELECT * FROM `{DATASET}.calls_per_recorded_hour` ORDER BY site, hour_of_day")
    assert [tuple(row.values()) for row in hours] == [
        ("creek", 0, 0.25, 1, 4.0),
        ("creek", 23, 0.25, 0, 0.0),
        ("ridge", 5, 0.5, 2, 4.0),
        ("ridge", 6, 1.0, 1, 1.0),
    ]
    failed = select(f"SELECT recording, error FROM `{DATASET}.failed_recordings`")
    assert {row["recording"] for row in failed} == {"bad.wav", "half.wav"}
