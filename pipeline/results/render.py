"""Every table of an output folder as the bytes of its file: by a job, or in a plain loop."""

from __future__ import annotations

import codecs
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.exports.tool_formats import (
    TOOL_FORMATS,
    CountedRecording,
    ToolFormat,
    own_lines,
    run_lines,
    table_name,
)
from pipeline.options import FORMATS
from pipeline.records import ActivityHour, DetectedCall, RecordingCount, Row, column_names
from pipeline.storage import files
from pipeline.store.entries import Entry
from pipeline.store.parts import part_of
from pipeline.tables.activity import activity
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import TUTORIAL_COLUMNS, csv_line, tutorial_cells
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.rows import is_failure, row_order, was_counted
from pipeline.tables.schema import cells


@dataclass(frozen=True)
class CsvTable:
    """A table of one line for each row.

    Attributes:
        of: the kind of its rows.
        to_cells: a row as text.
        keeps: which rows it has.
        mark: what the file begins with.
    """

    name: str
    of: type[Row]
    columns: Sequence[str]
    to_cells: Callable[[Any], list[str]] = cells
    keeps: Callable[[Any], bool] = bool
    mark: bytes = b""


def csv_tables(formats: Iterable[str]) -> list[CsvTable]:
    """The CSV tables that a run writes."""
    columns = column_names(RecordingCount)
    tables = [
        CsvTable("counts.csv", RecordingCount, columns),
        CsvTable("failures.csv", RecordingCount, columns, keeps=is_failure),
        CsvTable("calls.csv", DetectedCall, column_names(DetectedCall)),
        CsvTable("activity.csv", ActivityHour, column_names(ActivityHour)),
    ]
    if "excel" in formats:
        tables += [
            replace(table, name=f"excel/{table.name}", mark=codecs.BOM_UTF8) for table in tables
        ]
    if "tutorial" in formats:
        tables.append(CsvTable("tutorial.csv", RecordingCount, TUTORIAL_COLUMNS, tutorial_cells))
    return tables


def head(table: CsvTable) -> bytes:
    """What a CSV file begins with."""
    return table.mark + encode(csv_line(table.columns))


def tools_of(formats: Iterable[str]) -> tuple[ToolFormat, ...]:
    """The programs among the formats."""
    return tuple(TOOL_FORMATS[name] for name in TOOL_FORMATS if name in set(formats))


def own_tables(
    counted: CountedRecording, tools: Iterable[ToolFormat]
) -> Iterator[tuple[str, bytes | None]]:
    """Name and content of a recording's tables; None for a table that there should not be.

    A failed recording gets none: an empty one would say that nothing called there.
    """
    for tool in tools:
        content = None
        if was_counted(counted.row) and (counted.calls or tool.may_be_empty):
            content = encode("".join(own_lines(tool, counted)))
        yield table_name(counted.row.recording, tool), content


def run_table(counted: Iterable[CountedRecording], tool: ToolFormat) -> Iterator[bytes]:
    """The table of all recordings that were counted, line by line.

    Args:
        counted: recordings in the order of their names.
        tool: which table.
    """
    return map(encode, run_lines(tool, (one for one in counted if was_counted(one.row))))


def all_tables(
    state: Mapping[str, Entry], formats: Iterable[str]
) -> Iterator[tuple[str, bytes | None]]:
    """Every table of a small output, file by file; None for a file that must not be there.

    Args:
        state: the entries that hold, by identity.
        formats: those asked for.
    """
    rows = [entry.row for entry in state.values()]
    calls = [call for entry in state.values() for call in entry.calls]
    of_kind: dict[type[Row], Sequence[Row]] = {
        RecordingCount: rows,
        DetectedCall: calls,
        ActivityHour: activity(rows, calls),
    }
    for table in csv_tables(formats):
        kept = sorted(filter(table.keeps, of_kind[table.of]), key=row_order)
        yield table.name, head(table) + b"".join(encode(csv_line(table.to_cells(r))) for r in kept)
    if "parquet" in formats:
        yield from _parquet_tables(state)
    if tools := tools_of(formats):
        counted = list(counted_recordings(state.values()))
        for one in counted:
            yield from own_tables(one, tools)
        for tool in tools:
            if tool.run_file:
                yield tool.run_file, b"".join(run_table(counted, tool))


def _parquet_tables(state: Mapping[str, Entry]) -> Iterator[tuple[str, bytes | None]]:
    """A file for each part."""
    of_part: dict[str, list[Entry]] = {}
    for identity, entry in state.items():
        of_part.setdefault(part_of(identity), []).append(entry)
    for part, entries in of_part.items():
        rows = sorted((entry.row for entry in entries), key=row_order)
        calls = sorted((call for entry in entries for call in entry.calls), key=row_order)
        yield f"counts.parquet/{part}.parquet", parquet_bytes(rows, RecordingCount)
        yield f"calls.parquet/{part}.parquet", parquet_bytes(calls, DetectedCall)


def counted_recordings(entries: Iterable[Entry]) -> Iterator[CountedRecording]:
    """Recordings with their calls, in order."""
    for entry in sorted(entries, key=lambda entry: entry.row.recording):
        yield CountedRecording(entry.row, tuple(sorted(entry.calls, key=row_order)))


def formats_in(output: str) -> tuple[str, ...]:
    """The further formats that an output of earlier runs holds tables of."""
    names = {posixpath.basename(name) for name in files.list_folder(output, "")}
    folders = set(files.folders_in(output))
    if "ledger" not in folders:
        return ()
    file_of = {"tutorial": "tutorial.csv", "parquet": "counts.parquet"}
    file_of |= {tool.name: tool.run_file for tool in TOOL_FORMATS.values() if tool.run_file}
    folder_of = {**{name: name for name in FORMATS}, "parquet": "counts.parquet"}
    return tuple(
        name
        for name in FORMATS
        if file_of.get(name) in names
        or (folder_of[name] in folders and files.holds_files(files.join(output, folder_of[name])))
    )
