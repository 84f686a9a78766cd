"""Tables in BigQuery: one partition a night, rewritten as a whole by each run of that night.

``create`` makes tables and views, and adds columns that a newer version has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery

from pipeline.inputs.manifests import read_manifest
from pipeline.options import UsageError
from pipeline.records import DetectedCall, Outcome, RecordingCount, RunSummary
from pipeline.storage import files
from pipeline.tables.schema import TableRow, columns_of

NIGHT = "night"
TABLES: dict[str, type[TableRow]] = {
    "counts": RecordingCount,
    "calls": DetectedCall,
    "runs": RunSummary,
}
DESCRIPTIONS = {
    "counts": "One row for each recording of a night: calls, outcome, provenance.",
    "calls": "One row for each call.",
    "runs": "One row for each run: what was run, and what came out. Earlier runs stay.",
}
CLUSTERING = ("site", "recording")
VIEWS = Path(__file__).parent / "views"

_KEYS = ("recording", "outcome", "run_id")


def schema(row_type: type[TableRow]) -> list[dict[str, str]]:
    """The columns of a table, as BigQuery's API spells them.

    A text that may be empty is NULL when it is, and so NULLABLE like what is None.
    """
    night = "Evening on which the night of recording began; the table's partition."
    columns = [{"name": NIGHT, "type": "DATE", "mode": "REQUIRED", "description": night}]
    for column in columns_of(row_type):
        nullable = column.nullable or (column.kind is str and column.name not in _KEYS)
        columns.append(
            {
                "name": column.name,
                "type": column.bigquery_type,
                "mode": "NULLABLE" if nullable else "REQUIRED",
                "description": column.doc,
            }
        )
    return columns


def to_json(row: TableRow, night: str) -> dict[str, Any]:
    """A row as newline-delimited JSON wants it."""
    values = {f.name: getattr(row, f.name) for f in fields(row)}
    return {NIGHT: night, **{k: None if v == "" else v for k, v in values.items()}}


def client(dataset: str) -> Any:
    """A BigQuery client that bills the dataset's project."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    emulated = "BIGQUERY_EMULATOR_HOST" in os.environ
    credentials = AnonymousCredentials() if emulated else None
    return bigquery.Client(project=dataset.split(".")[0], credentials=credentials)


def check_dataset(dataset: str) -> None:
    """Refuses to start when a table or a column is missing.

    Raises:
        UsageError: naming the command that makes them.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    remedy = f"run: capuchinbird tables --dataset {dataset}"
    connection = client(dataset)
    for name, row_type in TABLES.items():
        try:
            table = connection.get_table(f"{dataset}.{name}")
        except (GoogleAPIError, GoogleAuthError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"--bigquery {dataset}: {name}: {reason}; {remedy}") from None
        missing = {c["name"] for c in schema(row_type)} - {c.name for c in table.schema}
        if missing:
            names = ", ".join(sorted(missing))
            raise UsageError(f"--bigquery {dataset}: {name} has no column {names}; {remedy}")


def create(dataset: str, location: str) -> None:
    """Makes dataset, tables and views where they are absent, and adds missing columns."""
    from google.cloud import bigquery

    connection = client(dataset)
    container = bigquery.Dataset(dataset)
    container.location = location
    connection.create_dataset(container, exists_ok=True)
    for name, row_type in TABLES.items():
        wanted = [bigquery.SchemaField.from_api_repr(column) for column in schema(row_type)]
        table = bigquery.Table(f"{dataset}.{name}", schema=wanted)
        table.description = DESCRIPTIONS[name]
        table.time_partitioning = bigquery.TimePartitioning(field=NIGHT)
        names = {column.name for column in wanted}
        table.clustering_fields = [c for c in CLUSTERING if c in names] or None
        table = connection.create_table(table, exists_ok=True)
        known = {column.name for column in table.schema}
        # Rows that are there already have no value for a new column.
        added = [
            bigquery.SchemaField(c.name, c.field_type, "NULLABLE", description=c.description)
            for c in wanted
            if c.name not in known
        ]
        if added:
            table.schema = [*table.schema, *added]
            connection.update_table(table, ["schema"])
    create_views(dataset)


def create_views(dataset: str) -> None:
    """Makes the views anew, as this version has them."""
    from google.cloud import bigquery

    connection = client(dataset)
    for file in sorted(VIEWS.glob("*.sql")):
        view = bigquery.Table(f"{dataset}.{file.stem}")
        view.view_query = file.read_text().replace("{dataset}", dataset)
        connection.delete_table(view, not_found_ok=True)
        connection.create_table(view)


class WriteNight(beam.PTransform):
    """(recordings, calls) → one night's partition of each table.

    The night is the recordings that this run was given: of all that the ledger knows, their rows.
    One load job a table writes the partition as a whole, so a reader sees the old night or the new
    one. All rows pass one worker on the way into one file: Beam would spread a load of more than
    10,000 files over temporary tables, and rows can get lost when those replace a partition
    (github.com/apache/beam/issues/24535).

    Args:
        dataset: ``PROJECT.DATASET``, with the tables that ``create`` makes.
        night: the partition.
        temp_location: bucket folder for the files to load.
        inputs, manifests: patterns and lists that name the night's recordings.
        run: what is known of the run before it starts, for its row in ``runs``; ``None`` for no
            such row.
    """

    def __init__(
        self,
        dataset: str,
        night: date,
        temp_location: str,
        inputs: tuple[str, ...],
        manifests: tuple[str, ...],
        run: RunSummary | None,
    ) -> None:
        super().__init__()
        self._dataset, self._night, self._temp = dataset, night, temp_location
        self._inputs, self._manifests, self._run = inputs, manifests, run

    def once_more(self) -> WriteNight:
        """The same without a row for the run, which it has already."""
        places = self._dataset, self._night, self._temp, self._inputs, self._manifests
        return WriteNight(*places, run=None)

    def expand(self, tables: tuple[beam.PCollection, beam.PCollection]) -> None:
        """Earlier runs of the night stay in ``runs`` and nowhere else."""
        recordings, calls = tables
        root = recordings.pipeline
        named = (
            (
                root | beam.Create(self._inputs) | "Expand" >> beam.FlatMap(files.expand),
                root
                | "Manifests" >> beam.Create(self._manifests)
                | "Read" >> beam.FlatMap(read_manifest),
            )
            | beam.Flatten()
            | "Identities" >> beam.Map(lambda name: (files.identity(name), True))
        )
        replace, append = BigQueryDisposition.WRITE_TRUNCATE, BigQueryDisposition.WRITE_APPEND
        counts = (recordings, named) | "Counts of the night" >> _OfTheNight()
        self._load("counts", counts, replace)
        self._load("calls", (calls, named) | "Calls of the night" >> _OfTheNight(), replace)
        if self._run:
            runs = counts | "Sum up" >> beam.CombineGlobally(_SumUp(self._run))
            self._load("runs", runs, append)

    def _load(self, name: str, rows: beam.PCollection, disposition: str) -> None:
        partition = f"{self._dataset}.{name}${self._night:%Y%m%d}"
        project, dataset, table = partition.split(".")
        gathered = (
            rows
            | f"{name} to JSON" >> beam.Map(to_json, self._night.isoformat())
            | f"{name} under one key" >> beam.WithKeys(0)
            | f"{name} gathered" >> beam.GroupByKey()
            | f"{name} rows" >> beam.FlatMapTuple(lambda _, rows: rows)
        )
        gathered | f"Load {name}" >> WriteToBigQuery(
            f"{project}:{dataset}.{table}",
            create_disposition=BigQueryDisposition.CREATE_NEVER,
            write_disposition=disposition,
            method=WriteToBigQuery.Method.FILE_LOADS,
            custom_gcs_temp_location=self._temp,
            load_job_project_id=project,
        )
        if disposition == BigQueryDisposition.WRITE_TRUNCATE:
            # Beam starts no load job for no rows: without this the night's old rows would stay.
            _ = (
                rows
                | f"Count {name}" >> beam.combiners.Count.Globally()
                | f"No {name}" >> beam.Filter(lambda n: n == 0)
                | f"Empty {name}" >> beam.Map(lambda _: _delete_partition(partition))
            )


class _OfTheNight(beam.PTransform):
    """(rows, (identity, …) of recordings) → the rows of these recordings."""

    def expand(self, both: tuple[beam.PCollection, beam.PCollection]) -> beam.PCollection:
        rows, named = both
        keyed = rows | beam.WithKeys(lambda row: files.identity(row.recording))
        return (
            {"rows": keyed, "named": named}
            | beam.CoGroupByKey()
            | beam.FlatMapTuple(lambda _, found: found["rows"] if any(found["named"]) else [])
        )


def _delete_partition(partition: str) -> None:
    client(partition).delete_table(partition, not_found_ok=True)


class _SumUp(beam.CombineFn):
    """Rows of recordings → the run's row."""

    def __init__(self, run: RunSummary) -> None:
        self._run = run

    def create_accumulator(self) -> dict[str, float]:
        return {}

    def add_input(self, sums: dict[str, float], row: RecordingCount) -> dict[str, float]:
        of_row = {
            "inputs": 1,
            row.outcome: 1,
            "skipped": int(row.run_id != self._run.run_id),
            "calls": row.call_count or 0,
            "duration_s": row.duration_s or 0.0,
            "heard_s": row.heard_s or 0.0,
        }
        return self.merge_accumulators([sums, of_row])

    def merge_accumulators(self, several: Iterable[Mapping[str, float]]) -> dict[str, float]:
        total: dict[str, float] = {}
        for sums in several:
            for key, value in sums.items():
                total[key] = total.get(key, 0) + value
        return total

    def extract_output(self, sums: dict[str, float]) -> RunSummary:
        names = ("inputs", "calls", "duration_s", "heard_s", "skipped", *(o.value for o in Outcome))
        values = {name: sums.get(name, 0) for name in names}
        return RunSummary(
            **{f.name: values.get(f.name, getattr(self._run, f.name)) for f in fields(RunSummary)}
        )
