"""Tables for other programs, written by the job: a file for each recording, and one for the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from pipeline import files
from pipeline.cell_text import encode
from pipeline.formats import (
    TOOL_FORMATS,
    CountedRecording,
    ToolFormat,
    recording_selections,
    render,
    run_selections,
    table_name,
    was_counted,
)
from pipeline.parquet import parquet_bytes
from pipeline.records import DetectedCall, RecordingCount, Row


class WriteToolTables(beam.PTransform):
    """(recordings, calls) → the tables of ``TOOL_FORMATS`` that were asked for."""

    def __init__(self, output: str, formats: Iterable[str]) -> None:
        super().__init__()
        self._output = output
        self._tools = tuple(TOOL_FORMATS[name] for name in TOOL_FORMATS if name in set(formats))

    def expand(self, tables: tuple[beam.PCollection, beam.PCollection]) -> None:
        """A failed recording gets no table: an empty one would say that nothing called there."""
        recordings, calls = tables
        with_calls = (
            {
                "rows": recordings | "Rows by recording" >> beam.Map(lambda r: (r.recording, r)),
                "calls": calls | "Calls by recording" >> beam.Map(lambda c: (c.recording, c)),
            }
            | "Join" >> beam.CoGroupByKey()
            | "Sort calls" >> beam.FlatMap(_join)
        )
        with_calls | "Write each" >> beam.ParDo(_WriteEach(self._output, self._tools))
        tools_of_runs = tuple(tool for tool in self._tools if tool.run_file)
        if tools_of_runs:
            (
                with_calls
                | "Counted" >> beam.Filter(lambda counted: was_counted(counted.row))
                | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
                | "Write all" >> beam.Map(_write_run_tables, self._output, tools_of_runs)
            )


def _join(grouped: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[CountedRecording]:
    _, found = grouped
    calls: list[DetectedCall] = sorted(found["calls"], key=lambda call: call.start_s)
    for row in found["rows"]:
        yield CountedRecording(row, tuple(calls))


class _WriteEach(beam.DoFn):
    def __init__(self, output: str, tools: tuple[ToolFormat, ...]) -> None:
        self._output, self._tools = output, tools

    def process(self, counted: CountedRecording) -> None:
        for tool in self._tools:
            name = files.join(self._output, table_name(counted.row.recording, tool))
            if was_counted(counted.row):
                lines = render(tool, recording_selections(counted.calls))
                files.write_atomically(name, map(encode, lines))
            elif counted.row.error:
                files.delete_if_there(name)  # of an earlier run, when the file could be read


def _write_run_tables(
    counted: list[CountedRecording], output: str, tools: tuple[ToolFormat, ...]
) -> None:
    counted.sort(key=lambda recording: recording.row.recording)
    for tool in tools:
        lines = render(tool, run_selections(counted))
        files.write_atomically(files.join(output, tool.run_file), map(encode, lines))


class WriteParquet(beam.PTransform):
    """Rows → one Parquet file, in the order of the CSV file."""

    def __init__(self, name: str, row_type: type[Row]) -> None:
        super().__init__()
        self._name, self._row_type = name, row_type

    def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[str]:
        """Writes once, after the last row."""
        return (
            rows
            | "Gather" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Write" >> beam.Map(_write_parquet, self._name, self._row_type)
        )


def _write_parquet(rows: list[Row], name: str, row_type: type[Row]) -> str:
    rows.sort(key=_row_order)
    files.write_atomically(name, [parquet_bytes(rows, row_type)])
    return name


def _row_order(row: RecordingCount | DetectedCall) -> tuple[str, float]:
    return row.recording, getattr(row, "start_s", 0.0)
