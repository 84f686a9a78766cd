"""Tables in BigQuery: one partition a night, rewritten as a whole by each run of that night.

``create`` makes tables and views, and adds columns that a newer version has.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from pipeline.ledger import nights
from pipeline.options import UsageError
from pipeline.records import DetectedCall, RecordingCount, RunSummary
from pipeline.storage import files
from pipeline.store import parts
from pipeline.store.ledger import Ledger
from pipeline.store.moves import Moves, read_moves
from pipeline.tables.cell_text import encode
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
        columns = [bigquery.SchemaField.from_api_repr(column) for column in schema(row_type)]
        table = bigquery.Table(f"{dataset}.{name}", schema=columns)
        table.description = DESCRIPTIONS[name]
        table.time_partitioning = bigquery.TimePartitioning(field=NIGHT)
        names = {column.name for column in columns}
        table.clustering_fields = [c for c in CLUSTERING if c in names] or None
        table = connection.create_table(table, exists_ok=True)
        present = {column.name for column in table.schema}
        # Rows that are there already have no value for a new column.
        added = [
            bigquery.SchemaField(c.name, c.field_type, "NULLABLE", description=c.description)
            for c in columns
            if c.name not in present
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


class WriteNights(beam.PTransform):
    """(parts that were added to, one element when all are) → these nights' rows in each table.

    A night's rows are what the ledger says of its recordings, whichever run counted them and
    whether they can still be listed. Nights are rewritten as a whole, each by one load job, so that
    a reader sees the old night or the new one: those whose parts were added to, and the run's own.

    Rows pass a few keys for each night on the way into a few files: Beam would spread a load of
    more than 10,000 files over temporary tables, and rows can get lost when those replace a
    partition (github.com/apache/beam/issues/24535).

    Args:
        dataset: ``PROJECT.DATASET``, with the tables that ``create`` makes.
        output: whose ledger it is.
        temp_location: bucket folder for the files to load.
        night: the run's own, ISO 8601; empty if it has none.
        run: the beginning of the run's row in ``runs``; ``None`` for no
            such row.
    """

    def __init__(
        self, dataset: str, output: str, temp_location: str, night: str, run: RunSummary | None
    ) -> None:
        super().__init__()
        self._dataset, self._output, self._temp = dataset, output, temp_location
        self._night, self._run = night, run

    def once_more(self) -> WriteNights:
        """The same without a row for the run, which it has already."""
        return WriteNights(self._dataset, self._output, self._temp, self._night, run=None)

    def expand(self, ended: tuple[beam.PCollection[str], beam.PCollection[Any]]) -> None:
        """Earlier runs of a night stay in ``runs`` and nowhere else."""
        committed, updated = ended
        output, own = self._output, self._night
        touched = (
            (
                committed | "Nights of parts" >> beam.FlatMap(_nights_of, output),
                updated | "Own night" >> beam.FlatMap(lambda _: [own] if own else []),
            )
            | "All nights" >> beam.Flatten()
            | "Each night once" >> beam.Distinct()
        )
        rows = (
            touched
            | "Night after all" >> beam.Map(lambda night, _: night, AsSingleton(updated))
            | "List night" >> beam.FlatMap(_files_of_night, output)
            | "Share out night" >> beam.Reshuffle()
            | "Read night" >> beam.FlatMap(_recordings_of_night)
            | "By night and part" >> beam.GroupByKey()
            | "Rows of night" >> beam.FlatMap(_rows_of_night, output).with_outputs(*TABLES)
        )
        for name in ("counts", "calls"):
            self._load(name, rows[name], touched, replaces=True)
        if self._run and own:
            runs = (
                rows["counts"]
                | "Rows of own night" >> beam.Filter(lambda row: row[0] == own)
                | "Row itself" >> beam.Values()
                | "Figures" >> beam.Map(_figures, self._run.run_id)
                | "Add up" >> beam.CombineGlobally(_added)
                | "Row of the run" >> beam.Map(_with_figures, self._run)
                | "With night" >> beam.WithKeys(own)
            )
            self._load("runs", runs, touched, replaces=False)

    def _load(
        self,
        name: str,
        rows: beam.PCollection[tuple[str, TableRow]],
        touched: beam.PCollection[str],
        *,
        replaces: bool,
    ) -> None:
        temp = files.join(self._temp, f"nights-{uuid4().hex}")
        table, run_id = f"{self._dataset}.{name}", self._run.run_id if self._run else ""
        written = (
            rows
            | f"{name} to JSON" >> beam.MapTuple(lambda night, row: (night, to_json(row, night)))
            | f"{name} under few keys" >> beam.MapTuple(_few_keys)
            | f"{name} gathered" >> beam.GroupByKey()
            | f"Write {name}" >> beam.Map(_write_rows, files.join(temp, name))
        )
        nights_of_it = touched | f"Nights of {name}" >> beam.Map(lambda night: (night, True))
        _ = (
            {"night": nights_of_it, "files": written}
            | f"Join {name}" >> beam.CoGroupByKey()
            | f"Load {name}" >> beam.FlatMap(_load_night, table, run_id, replaces)
            # Apart from the load, which a runner may do again and which needs them.
            | f"{name} loaded" >> beam.Reshuffle()
            | f"Remove files of {name}" >> beam.Map(files.delete_if_there)
        )


KEYS_OF_A_NIGHT = 16
"""Files that a night's rows are written into, at most."""


def _few_keys(night: str, row: dict[str, Any]) -> tuple[tuple[str, int], dict[str, Any]]:
    return (night, zlib.crc32(encode(row.get("recording", ""))) % KEYS_OF_A_NIGHT), row


def _write_rows(
    gathered: tuple[tuple[str, int], Iterable[dict[str, Any]]], folder: str
) -> tuple[str, str]:
    """A file of rows for a load job. Writing it again does no harm: its name says what is in it."""
    (night, key), rows = gathered
    name = files.join(folder, f"{night}-{key}.json")
    files.write_atomically(name, (json.dumps(row).encode() + b"\n" for row in rows))
    return night, name


def _load_night(
    of_night: tuple[str, Mapping[str, Iterable[Any]]], table: str, run_id: str, replaces: bool
) -> list[str]:
    """One load job for a night's files, which replaces its partition or adds to it. Returns them.

    Doing it again does no harm.
    """
    from google.api_core.exceptions import Conflict
    from google.cloud import bigquery

    night, sources = of_night[0], sorted(set(of_night[1]["files"]))
    partition = f"{table}${night.replace('-', '')}"
    connection = client(table)
    if not sources:
        # No rows can be loaded: without this the night's old rows would stay.
        if replaces:
            connection.delete_table(partition, not_found_ok=True)
        return []
    config = bigquery.LoadJobConfig(
        create_disposition="CREATE_NEVER",
        write_disposition="WRITE_TRUNCATE" if replaces else "WRITE_APPEND",
        source_format="NEWLINE_DELIMITED_JSON",
    )
    # What is added to is added once, also where a bundle is done again.
    job_id = None if replaces else re.sub(r"[^\w-]", "_", f"capuchinbird-{run_id}")
    try:
        job = connection.load_table_from_uri(sources, partition, job_id=job_id, job_config=config)
    except Conflict:
        job = connection.get_job(job_id)
    job.result()
    return sources


def _nights_of(part: str, output: str) -> tuple[str, ...]:
    return parts.look(output, part).nights


def _files_of_night(night: str, output: str) -> list[tuple[str, str, Moves]]:
    moves = read_moves(parts.ledger(output))
    return [(night, name, moves) for name in nights.files_of_night(output, night)]


def _recordings_of_night(
    listed: tuple[str, str, Moves],
) -> Iterator[tuple[tuple[str, str], list[str]]]:
    night, name, moves = listed
    for part, identities in nights.read(name, moves).items():
        yield (night, part), identities


def _rows_of_night(
    of_part: tuple[tuple[str, str], Iterable[list[str]]], output: str
) -> Iterator[object]:
    (night, part), identities = of_part
    state = Ledger(output).part(part)
    for identity in sorted(set(chain.from_iterable(identities)) & state.keys()):
        entry = state[identity]
        yield beam.pvalue.TaggedOutput("counts", (night, entry.row))
        for call in entry.calls:
            yield beam.pvalue.TaggedOutput("calls", (night, call))


def _figures(row: RecordingCount, run_id: str) -> dict[str, float]:
    """A recording as the run's row counts it."""
    return {
        "inputs": 1,
        row.outcome: 1,
        "skipped": int(row.run_id != run_id),
        "calls": row.call_count or 0,
        "duration_s": row.duration_s or 0.0,
        "heard_s": row.heard_s or 0.0,
    }


def _added(several: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for figures in several:
        for name, value in figures.items():
            total[name] = total.get(name, 0) + value
    return total


def _with_figures(figures: Mapping[str, float], run: RunSummary) -> RunSummary:
    values: dict[str, Any] = {f.name: figures[f.name] for f in fields(run) if f.name in figures}
    return replace(run, **values)
