"""Tables in BigQuery: their layout, nights, and the requests that Beam sends."""

import csv
import dataclasses
import io
from datetime import UTC, date, datetime

import pytest

from pipeline.options import UsageError
from pipeline.records import DetectedCall, RecordingCount, RunSummary, column, column_names
from pipeline.storage import buckets, files
from pipeline.tables import bigquery
from tests.cloud.test_buckets import count, encoded
from tests.fakes import write_model

DATASET = "forest.birds"


@pytest.fixture
def dataset(warehouse, monkeypatch, tmp_path):
    """An empty dataset with its tables. Views have tests of their own."""
    monkeypatch.setattr(bigquery, "VIEWS", tmp_path)
    bigquery.client(DATASET).delete_dataset(DATASET, delete_contents=True, not_found_ok=True)
    bigquery.create(DATASET, "EU")
    warehouse.requests.clear()
    return DATASET


def select(query):
    return [dict(row) for row in bigquery.client(DATASET).query(query).result()]


def as_text(row_type, values):
    """A row of a table as the text of the same row in a file."""
    cells = {}
    for field in dataclasses.fields(row_type):
        value, digits = values[field.name], field.metadata["digits"]
        if value is not None and digits is not None:
            value = f"{value:.{digits}f}"
        cells[field.name] = "" if value is None else str(value)
    return cells


def assert_night_equals_files(night, output):
    for table, row_type in (("counts", RecordingCount), ("calls", DetectedCall)):
        found = select(f"SELECT * FROM `{DATASET}.{table}` WHERE night = DATE '{night}'")
        text = files.read_bytes(f"{output}/{table}.csv").decode()
        expected = list(csv.DictReader(io.StringIO(text)))
        order = list(expected[0])[:2] if expected else []
        rows = [as_text(row_type, values) for values in found]
        assert sorted(rows, key=lambda r: [r[c] for c in order]) == sorted(
            expected, key=lambda r: [r[c] for c in order]
        )


def load_jobs(warehouse):
    """Table with partition → configuration of the load job that Beam sent."""
    posted = [r.json() for r in warehouse.requests if r.method == "POST" and "/jobs" in r.path]
    loads = [job["configuration"]["load"] for job in posted if "load" in job["configuration"]]
    return {load["destinationTable"]["tableId"]: load for load in loads}


def test_a_night_is_rewritten_as_a_whole_and_others_stay(
    bucket, dataset, warehouse, tmp_path, peaks
):
    model = write_model(tmp_path / "model")
    first = [
        bucket.put("one/a.wav", encoded(20, 48_000, "WAV", [3, 12])),
        bucket.put("one/b.flac", encoded(12, 16_000, "FLAC")),
        bucket.put("one/broken.wav", b"RIFF"),
    ]
    second = bucket.put("two/c.wav", encoded(8, 16_000, "WAV", [4]))

    def run(night, recordings, *flags):
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
        [uri] = load["sourceUris"]
        assert uri.startswith(f"{output_one}/temp/")
    output_two = run("2026-03-02", [second])
    assert_night_equals_files("2026-03-01", output_one)
    assert_night_equals_files("2026-03-02", output_two)

    # Again, without calls this time: what the night had before is gone, the other night is not.
    run("2026-03-01", first[1:2])
    assert set(load_jobs(warehouse)) == {"counts$20260301", "runs$20260301"}
    assert len(warehouse.paths("DELETE", r"tables/calls\$20260301")) == 1
    night = "WHERE night = DATE '2026-03-01'"
    left = select(f"SELECT recording FROM `{dataset}.counts` {night}")
    assert [row["recording"] for row in left] == first[1:2]
    assert not select(f"SELECT recording FROM `{dataset}.calls` {night}")
    assert_night_equals_files("2026-03-02", output_two)

    # A night in which nothing was recorded, after all.
    buckets.storage_client().bucket(bucket.uri[5:]).blob("two/c.wav").delete()
    run("2026-03-02", [f"{bucket.uri}/two/*.wav"], "--allow_empty")
    assert not select(f"SELECT recording FROM `{dataset}.counts` WHERE night > DATE '2026-03-01'")
    assert not select(f"SELECT recording FROM `{dataset}.calls`")
    assert [row["recording"] for row in select(f"SELECT * FROM `{dataset}.counts`")] == first[1:2]
    runs = select(f"SELECT * FROM `{dataset}.runs` ORDER BY started_at")
    assert [(str(r["night"]), r["inputs"], r["calls"], r["failed"]) for r in runs] == [
        ("2026-03-01", 3, 2, 1),
        ("2026-03-02", 1, 1, 0),
        ("2026-03-01", 1, 0, 0),
        ("2026-03-02", 0, 0, 0),
    ]


def test_tables_are_made_with_partitions_clusters_and_descriptions(dataset):
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


def test_an_older_table_gets_the_new_columns(dataset, monkeypatch):
    bigquery.check_dataset(dataset)
    mood = ("mood", str, column("How it felt."))
    wider = dataclasses.make_dataclass("Wider", [mood], bases=(RunSummary,), frozen=True)
    monkeypatch.setitem(bigquery.TABLES, "runs", wider)
    with pytest.raises(UsageError, match="runs has no column mood; run: python -m"):
        bigquery.check_dataset(dataset)
    bigquery.create(dataset, "EU")
    bigquery.check_dataset(dataset)


def test_missing_tables_stop_the_run_before_it_starts(bucket, warehouse, tmp_path, peaks):
    model = write_model(tmp_path / "model")
    name = bucket.put("a.wav", encoded(1, 16_000, "WAV"))
    arguments = [f"--input={name}", f"--model={model}", "--night=2026-03-01"]
    with pytest.raises(UsageError, match=r"run: python -m pipeline\.bigquery --dataset"):
        count(*arguments, f"--output={bucket.uri}/out", "--bigquery=forest.absent")
    with pytest.raises(UsageError, match="give --temp_location"):
        count(*arguments, f"--output={tmp_path}/out", "--bigquery=forest.absent")


def test_empty_texts_are_null_and_others_are_not():
    row = RunSummary("run", datetime.now(UTC).isoformat(), *[0] * 9, "m", "", "", "{}", 1)
    assert bigquery.to_json(row, "2026-03-01")["model_sha256"] is None
    assert bigquery.to_json(row, "2026-03-01")["inputs"] == 0
    assert bigquery.to_json(row, str(date(2026, 3, 1)))["night"] == "2026-03-01"


def test_views_answer_what_ecologists_ask_first(warehouse):
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
