"""Beam's part of the tables: transforms that only wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from pipeline.records import ActivityHour, DetectedCall, RecordingCount, Row
from pipeline.storage import files
from pipeline.tables.activity import activity_row, called_hours, recorded_hours
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.render import (
    CsvTable,
    SortableLine,
    csv_chunks,
    csv_tables,
    own_tables,
    run_tables,
    sortable_line,
    tools_of,
)
from pipeline.tables.rows import row_order
from pipeline.tables.tool_formats import CountedRecording, ToolFormat
from pipeline.tables.unchanged import checksums_below


class WriteToolTables(beam.PTransform):
    """(recordings, calls) → the tables of ``TOOL_FORMATS`` that were asked for.

    A recording's own table is written only where another, or none, lies there: of a year's
    recordings a night changes few.
    """

    def __init__(self, output: str, formats: Iterable[str]) -> None:
        super().__init__()
        self._output = output
        self._tools = tools_of(formats)

    def expand(self, tables: tuple[beam.PCollection, beam.PCollection]) -> None:
        """Compares what there should be with what there is."""
        recordings, calls = tables
        with_calls = (
            {
                "rows": recordings | "Rows by recording" >> beam.WithKeys(lambda r: r.recording),
                "calls": calls | "Calls by recording" >> beam.WithKeys(lambda c: c.recording),
            }
            | "Join" >> beam.CoGroupByKey()
            | "Sort calls" >> beam.FlatMap(_join)
        )
        wanted = with_calls | "Own tables" >> beam.FlatMap(_wanted, self._output, self._tools)
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
            | "Gather" >> beam.combiners.ToList()
            | "Write all" >> beam.Map(_write_run_tables, self._output, self._tools)
        )


def _join(grouped: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[CountedRecording]:
    _, found = grouped
    calls: list[DetectedCall] = sorted(found["calls"], key=lambda call: call.start_s)
    for row in found["rows"]:
        yield CountedRecording(row, tuple(calls))


def _wanted(
    counted: CountedRecording, output: str, tools: Iterable[ToolFormat]
) -> Iterator[tuple[str, bytes | None]]:
    for name, content in own_tables(counted, tools):
        yield files.join(output, name), content


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
    for name, content in run_tables(counted, tools):
        files.write_atomically(files.join(output, name), content)


class WriteCsv(beam.PTransform):
    """Rows → one CSV file, sorted by name and time, and the file's name.

    All rows pass one worker as text, which suits the millions of rows that an archive has; a table
    larger than a worker's memory belongs into BigQuery.

    """

    def __init__(self, output: str, table: CsvTable) -> None:
        super().__init__()
        self._name, self._table = files.join(output, table.name), table

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[str]:
        """Writes once, after the last row."""
        return (
            rows
            | "Kept" >> beam.Filter(self._table.keeps)
            | "To text" >> beam.Map(sortable_line, self._table)
            | "Gather" >> beam.combiners.ToList()
            | "Write" >> beam.Map(_write_sorted, self._name, self._table)
        )


def _write_sorted(lines: list[SortableLine], name: str, table: CsvTable) -> str:
    files.write_atomically(name, csv_chunks(table, lines))
    return name


class WriteTables(beam.PTransform):
    """(recordings, calls) → the CSV tables and the formats asked for."""

    def __init__(self, output: str, formats: tuple[str, ...]) -> None:
        super().__init__()
        self._output, self._formats = output, formats

    def expand(self, tables: tuple[beam.PCollection, beam.PCollection]) -> None:
        """Each file on its own: a run that is killed leaves some out, and none in half."""
        recordings, calls = tables
        hours = (
            (
                recordings | "Hours recorded" >> beam.FlatMap(recorded_hours),
                calls | "Hours called in" >> beam.FlatMap(called_hours),
            )
            | "Hours" >> beam.Flatten()
            | "Add up hours" >> beam.CombinePerKey(beam.combiners.TupleCombineFn(sum, sum))
            | "Activity" >> beam.MapTuple(activity_row)
        )
        of_kind = {RecordingCount: recordings, DetectedCall: calls, ActivityHour: hours}
        for table in csv_tables(self._formats):
            of_kind[table.of] | f"Write {table.name}" >> WriteCsv(self._output, table)
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
        if tools_of(self._formats):
            tables | "Write tools' tables" >> WriteToolTables(self._output, self._formats)


def _write_parquet(rows: list[Row], name: str, row_type: type[Row]) -> None:
    ordered = sorted(rows, key=row_order)
    files.write_atomically(name, [parquet_bytes(ordered, row_type)])
