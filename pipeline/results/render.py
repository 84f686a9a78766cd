"""Every table of an output folder as the bytes of its file: by a job, or in a plain loop."""

from __future__ import annotations

import codecs
import csv
import io
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

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
from pipeline.tables.activity import Amount, SiteHour, activity_row, hours_of
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import TUTORIAL_COLUMNS, csv_line, tutorial_cells
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.rows import is_failure, row_order, was_counted
from pipeline.tables.schema import cells

LINES = pa.schema(
    [(name, pa.binary()) for name in ("recording", "counts", "failures", "calls", "tutorial")]
)
"""A recording's name, which rows are sorted by, and its lines in each table."""
PARQUET: dict[str, type[Row]] = {"counts": RecordingCount, "calls": DetectedCall}
"""Tables that are also data sets."""


@dataclass(frozen=True)
class CsvTable:
    """A table of lines.

    Attributes:
        column: of ``LINES``; or ``hours``, which are added up.
        mark: what the file begins with.
    """

    name: str
    column: str
    columns: Sequence[str]
    mark: bytes = b""


def csv_tables(formats: Iterable[str]) -> list[CsvTable]:
    """The CSV tables that a run writes."""
    columns = column_names(RecordingCount)
    tables = [
        CsvTable("counts.csv", "counts", columns),
        CsvTable("failures.csv", "failures", columns),
        CsvTable("calls.csv", "calls", column_names(DetectedCall)),
        CsvTable("activity.csv", "hours", column_names(ActivityHour)),
    ]
    if "excel" in formats:
        tables += [
            replace(table, name=f"excel/{table.name}", mark=codecs.BOM_UTF8) for table in tables
        ]
    if "tutorial" in formats:
        tables.append(CsvTable("tutorial.csv", "tutorial", TUTORIAL_COLUMNS))
    return tables


def lines_of(entries: Iterable[Entry]) -> pa.Table:
    """The lines of recordings in each table, in order."""
    rows = []
    for one in counted_recordings(entries):
        line = line_of(cells(one.row))
        rows.append(
            {
                "recording": one.row.recording.encode("utf-8", "surrogatepass"),
                "counts": line,
                "failures": line if is_failure(one.row) else b"",
                "calls": b"".join(line_of(cells(call)) for call in one.calls),
                "tutorial": line_of(tutorial_cells(one.row)),
            }
        )
    return pa.Table.from_pylist(rows, LINES)


def line_of(values: Sequence[str]) -> bytes:
    """Cells as a line of a file."""
    return encode(csv_line(values))


def name_of(row: Mapping[str, bytes]) -> str:
    """The name of a row's recording."""
    return row["recording"].decode("utf-8", "surrogatepass")


def sizes_of(lines: pa.Table) -> dict[str, int]:
    """Bytes of lines, by table."""
    return {name: pc.sum(pc.binary_length(lines[name])).as_py() or 0 for name in lines.column_names}


def hours_text(entries: Iterable[Entry]) -> str:
    """Recorded milliseconds and calls by site and hour, in order, as lines of CSV."""
    some = list(entries)
    hours = hours_of((one.row for one in some), (call for one in some for call in one.calls))
    return "".join(csv_line([*map(str, (*of, *amount))]) for of, amount in sorted(hours.items()))


def hour_rows(text: str) -> Iterator[tuple[SiteHour, Amount]]:
    """Reads what ``hours_text`` gave."""
    for site, date, hour, recorded_ms, calls in csv.reader(io.StringIO(text, newline="")):
        yield (site, date, int(hour)), (int(recorded_ms), int(calls))


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
    lines = lines_of(state.values())
    hours = [line_of(cells(activity_row(*of))) for of in hour_rows(hours_text(state.values()))]
    for table in csv_tables(formats):
        some = hours if table.column == "hours" else lines[table.column].to_pylist()
        yield table.name, head(table) + b"".join(some)
    if "parquet" in formats:
        of_part: dict[str, list[Entry]] = {}
        for identity, entry in state.items():
            of_part.setdefault(part_of(identity), []).append(entry)
        for part, entries in of_part.items():
            for name, content in parquet_tables(entries).items():
                yield data_file(name, part), content
    if tools := tools_of(formats):
        counted = list(counted_recordings(state.values()))
        for one in counted:
            yield from own_tables(one, tools)
        for tool in tools:
            if tool.run_file:
                yield tool.run_file, b"".join(run_table(counted, tool))


def parquet_tables(entries: Iterable[Entry]) -> dict[str, bytes]:
    """A part's rows as Parquet, by table."""
    some = list(counted_recordings(entries))
    rows: dict[str, Sequence[Row]] = {
        "counts": [one.row for one in some],
        "calls": [call for one in some for call in one.calls],
    }
    return {name: parquet_bytes(rows[name], row_type) for name, row_type in PARQUET.items()}


def data_file(table: str, part: str) -> str:
    """Where a part's rows lie in an output as Parquet.

    >>> data_file("counts", "*")
    'counts.parquet/*.parquet'
    """
    return f"{table}.parquet/{part}.parquet"


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
