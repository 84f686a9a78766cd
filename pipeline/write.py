"""Tables as files: sorted, with a header even when empty, whole or absent."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam

from pipeline import files
from pipeline.cell_text import encode, guard_path
from pipeline.formats import TOOL_FORMATS
from pipeline.records import DetectedCall, Outcome, RecordingCount, Row, cells, column_names
from pipeline.write_formats import WriteParquet, WriteToolTables


def csv_line(values: Sequence[str]) -> str:
    """Values as a line of CSV (RFC 4180 quoting, a plain newline at the end)."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def tutorial_cells(row: RecordingCount) -> list[str]:
    """A row of the tutorial's table. A recording that failed keeps an empty count."""
    count = "" if row.call_count is None else str(row.call_count)
    return [guard_path(posixpath.basename(row.recording)), count]


TUTORIAL_COLUMNS = ["recording", "capuchin_calls"]


class WriteCsv(beam.PTransform):
    """Rows → one CSV file, sorted by name and time, and the file's name.

    All rows pass one worker as text, which suits the millions of rows that an archive has; a table
    larger than a worker's memory belongs into BigQuery.

    Args:
        name: the file.
        columns: its header.
        to_cells: a row as text.
    """

    def __init__(
        self, name: str, columns: Sequence[str], to_cells: Callable[[Any], list[str]]
    ) -> None:
        super().__init__()
        self._name, self._columns, self._to_cells = name, columns, to_cells

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[str]:
        """Writes once, after the last row."""
        return (
            rows
            | "To text" >> beam.Map(_sortable_line, self._to_cells)
            | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Write" >> beam.Map(_write_sorted, self._name, csv_line(self._columns))
        )


def _sortable_line(row: Row, to_cells: Callable[[Any], list[str]]) -> tuple[tuple[str, float], str]:
    return (row.recording, getattr(row, "start_s", 0.0)), csv_line(to_cells(row))


def _write_sorted(lines: list[tuple[tuple[str, float], str]], name: str, header: str) -> str:
    chunks = [encode(header)] + [encode(line) for _, line in sorted(lines)]
    files.write_atomically(name, chunks)
    return name


class WriteTables(beam.PTransform):
    """(recordings, calls) → counts.csv, calls.csv, failures.csv and the formats asked for."""

    def __init__(self, output: str, formats: tuple[str, ...]) -> None:
        super().__init__()
        self._output, self._formats = output, formats

    def expand(self, tables: tuple[beam.PCollection, beam.PCollection]) -> None:
        """Each file on its own: a run that is killed leaves some out, and none in half."""
        recordings, calls = tables
        failed = recordings | "Failed ones" >> beam.Filter(is_failure)
        counts_columns = column_names(RecordingCount)
        recordings | "Write counts" >> WriteCsv(self._path("counts"), counts_columns, cells)
        failed | "Write failures" >> WriteCsv(self._path("failures"), counts_columns, cells)
        calls | "Write calls" >> WriteCsv(self._path("calls"), column_names(DetectedCall), cells)
        if "tutorial" in self._formats:
            recordings | "Write tutorial's table" >> WriteCsv(
                self._path("tutorial"), TUTORIAL_COLUMNS, tutorial_cells
            )
        if "parquet" in self._formats:
            recordings | "Counts as Parquet" >> WriteParquet(
                files.join(self._output, "counts.parquet"), RecordingCount
            )
            calls | "Calls as Parquet" >> WriteParquet(
                files.join(self._output, "calls.parquet"), DetectedCall
            )
        if TOOL_FORMATS.keys() & set(self._formats):
            tables | "Write tools' tables" >> WriteToolTables(self._output, self._formats)

    def _path(self, table: str) -> str:
        return files.join(self._output, f"{table}.csv")


def is_failure(row: RecordingCount) -> bool:
    """Whether someone should look at the file: not counted, or not in full."""
    return row.outcome in (Outcome.FAILED.value, Outcome.TRUNCATED.value)
