"""Beam's part of the tables: transforms that only wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from pipeline.records import DetectedCall, RecordingCount, Row, column_names
from pipeline.storage import files
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import TUTORIAL_COLUMNS, csv_line, tutorial_cells
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.rows import is_failure, row_order, was_counted
from pipeline.tables.schema import cells
from pipeline.tables.tool_formats import (
    TOOL_FORMATS,
    CountedRecording,
    ToolFormat,
    recording_selections,
    render,
    run_selections,
    table_name,
)
from pipeline.tables.unchanged import checksums_below


class WriteToolTables(beam.PTransform):
    """(recordings, calls) → the tables of ``TOOL_FORMATS`` that were asked for.

    A recording's own table is written only where another, or none, lies there: of a year's
    recordings a night changes few.
    """

    def __init__(self, output: str, formats: Iterable[str]) -> None:
        super().__init__()
        self._output = output
        self._tools = tuple(TOOL_FORMATS[name] for name in TOOL_FORMATS if name in set(formats))

    def expand(self, tables: tuple[beam.PCollection, beam.PCollection]) -> None:
        """A failed recording gets no table: an empty one would say that nothing called there."""
        recordings, calls = tables
        with_calls = (
            {
                "rows": recordings | "Rows by recording" >> beam.WithKeys(lambda r: r.recording),
                "calls": calls | "Calls by recording" >> beam.WithKeys(lambda c: c.recording),
            }
            | "Join" >> beam.CoGroupByKey()
            | "Sort calls" >> beam.FlatMap(_join)
        )
        wanted = with_calls | "Own tables" >> beam.FlatMap(_own_tables, self._output, self._tools)
        folders = [files.join(self._output, tool.name) for tool in self._tools]
        there = (
            recordings
            | "All rows" >> beam.combiners.Count.Globally()
            | "Folders" >> beam.FlatMap(lambda _: folders)
            | "Tables there" >> beam.FlatMap(checksums_below)
        )
        (
            {"wanted": wanted, "there": there}
            | "Compare" >> beam.CoGroupByKey()
            | "Write changed" >> beam.Map(_write_if_other)
        )
        (
            with_calls
            | "Counted" >> beam.Filter(lambda counted: was_counted(counted.row))
            | "Gather" >> beam.combiners.ToList()
            | "Write all" >> beam.Map(_write_run_tables, self._output, self._tools)
        )


def _join(grouped: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[CountedRecording]:
    _, found = grouped
    calls: list[DetectedCall] = sorted(found["calls"], key=lambda call: call.start_s)
    for row in found["rows"]:
        yield CountedRecording(row, tuple(calls))


def _own_tables(
    counted: CountedRecording, output: str, tools: Iterable[ToolFormat]
) -> Iterator[tuple[str, bytes | None]]:
    """Name and content of a recording's tables; None for a table that there should not be."""
    for tool in tools:
        content = None
        if was_counted(counted.row):
            content = encode("".join(render(tool, recording_selections(counted.calls))))
        yield files.join(output, table_name(counted.row.recording, tool)), content


def _write_if_other(grouped: tuple[str, Mapping[str, Iterable[Any]]]) -> None:
    name, found = grouped
    there = set(found["there"])
    for content in found["wanted"]:
        if content is None:
            files.delete_if_there(name)  # of an earlier run, when the file could be read
        elif files.checksum([content]) not in there:
            files.write_atomically(name, [content])


def _write_run_tables(
    counted: list[CountedRecording], output: str, tools: tuple[ToolFormat, ...]
) -> None:
    counted.sort(key=lambda recording: recording.row.recording)
    for tool in (tool for tool in tools if tool.run_file):
        lines = render(tool, run_selections(counted))
        files.write_atomically(files.join(output, tool.run_file), map(encode, lines))


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
            | "Gather" >> beam.combiners.ToList()
            | "Write" >> beam.Map(_write_sorted, self._name, csv_line(self._columns))
        )


def _sortable_line(row: Row, to_cells: Callable[[Any], list[str]]) -> tuple[tuple[str, float], str]:
    return row_order(row), csv_line(to_cells(row))


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
            for name, rows, row_type in (
                ("counts", recordings, RecordingCount),
                ("calls", calls, DetectedCall),
            ):
                path = files.join(self._output, f"{name}.parquet")
                (
                    rows
                    | f"Gather {name}" >> beam.combiners.ToList()
                    | f"Write {name} as Parquet" >> beam.Map(_write_parquet, path, row_type)
                )
        if TOOL_FORMATS.keys() & set(self._formats):
            tables | "Write tools' tables" >> WriteToolTables(self._output, self._formats)

    def _path(self, table: str) -> str:
        return files.join(self._output, f"{table}.csv")


def _write_parquet(rows: list[Row], name: str, row_type: type[Row]) -> None:
    ordered = sorted(rows, key=row_order)
    files.write_atomically(name, [parquet_bytes(ordered, row_type)])
