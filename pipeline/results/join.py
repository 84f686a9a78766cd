"""Tables of a whole output, joined from the files of its parts in one pass over them.

A part's lines are in order and mostly all before those of the next part, so they are copied. Where
two parts overlap they are merged, a recording at a time. No table is ever held in memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import pyarrow as pa

from pipeline.exports.tool_formats import CountedRecording, ToolFormat
from pipeline.ledger.runs import RunNotes
from pipeline.results.part_tables import PartTables
from pipeline.results.render import (
    PARQUET,
    CsvTable,
    counted_recordings,
    csv_tables,
    data_file,
    head,
    hour_rows,
    line_of,
    name_of,
    run_table,
    tools_of,
)
from pipeline.storage import files
from pipeline.store import part_file
from pipeline.store.ledger import Ledger
from pipeline.store.part_file import PartSummary
from pipeline.store.sums import Sums
from pipeline.tables.activity import activity_row, added
from pipeline.tables.schema import cells

JOINED_AT_MOST_BYTES = 2**30
"""A larger table is not joined: its parts' files and Parquet are the product; see run.json."""

Keyed = tuple[Any, Any]
"""What a row is sorted by, and the row."""


@dataclass
class Holdings:
    """All that an output holds.

    Attributes:
        sums: of all its recordings.
        parts: what each holds, but for its sums.
        apart: tables that are too large to be joined.
    """

    sums: Sums = field(default_factory=Sums)
    parts: list[PartSummary] = field(default_factory=list)
    apart: tuple[str, ...] = ()


def read_holdings(output: str) -> Holdings:
    """What an output holds, by the summaries of its parts; those that are damaged are left out."""
    names = files.list_folder(PartTables(output).folder, part_file.ENDING)
    return _read(names)[0]


def _read(names: Iterable[str]) -> tuple[Holdings, list[str]]:
    """What files of parts say, and the names of those that are damaged."""
    holdings, damaged = Holdings(), []
    names = list(names)
    for name, summary in zip(names, files.read_ahead(part_file.read_summary, names), strict=True):
        if summary:
            holdings.sums += summary.sums
            holdings.parts.append(replace(summary, sums=Sums()))
        else:
            damaged.append(name)
    return holdings, damaged


PASSES = 3
"""After so many a run leaves tables to another that has still to join them."""
_PASSES_IN_VAIN = 20


def join_tables(tables: PartTables, run_id: str) -> Holdings:
    """Joins all tables. A part's file that is damaged is made again.

    Where other runs have changed parts meanwhile the tables are joined again, for this run may have
    put its own in place of newer ones. After a few times that is left to a run that has still to
    join: it will do so after this one has written.

    Raises:
        OSError: a part cannot be made whole.
    """
    notes = RunNotes(tables.output, run_id)
    notes.start_joining()
    n_joined = 0
    for _ in range(_PASSES_IN_VAIN):
        before = files.list_versions(tables.folder, part_file.ENDING)
        holdings, damaged = _read(before)
        for name in damaged:
            part = name.rpartition("/")[2].removesuffix(part_file.ENDING)
            tables.update(part, in_any_case=True)
        if damaged:
            continue
        holdings.apart = join_all(tables, holdings.parts)
        n_joined += 1
        if files.list_versions(tables.folder, part_file.ENDING) == before:
            return holdings
        if n_joined >= PASSES and notes.others_have_to_join():
            return holdings
    raise OSError(
        f"{tables.output}: its parts change or are damaged again and again; see to its disk"
    )


def join_all(tables: PartTables, summaries: Iterable[PartSummary]) -> tuple[str, ...]:
    """Writes all tables of an output. Returns those that are too large."""
    some = sorted((one for one in summaries if one.first), key=lambda one: one.first)
    apart = []
    with ExitStack() as opened:
        writers: list[tuple[str, Callable[[bytes], object]]] = []
        for table in csv_tables(tables.formats):
            name = files.join(tables.output, table.name)
            if sum(one.n_bytes[table.column] for one in some) > JOINED_AT_MOST_BYTES:
                files.delete_if_there(name)
                apart.append(table.name)
            elif table.column == "hours":
                files.write_atomically(name, _hours(table, some))
            else:
                write = opened.enter_context(files.writing(name))
                write(head(table))
                writers.append((table.column, write))
        for lines in _in_order(some, tables.lines) if writers else ():
            for column, write in writers:
                write(lines[column])
    for tool in tools_of(tables.formats):
        if tool.run_file:
            content = _run_table(tables.output, some, tool)
            files.write_atomically(files.join(tables.output, tool.run_file), content)
    return tuple(apart)


def _in_order(
    some: Sequence[PartSummary], read: Callable[[str], pa.Table]
) -> Iterator[Mapping[str, bytes]]:
    """Lines by table: of a part together, or of each recording where parts overlap."""
    contents = files.read_ahead(read, [one.part for one in some])

    def rows() -> Iterator[Keyed]:
        for row in next(contents).to_pylist():
            yield name_of(row), row

    for overlapping in _overlapping(some):
        if len(overlapping) > 1:
            for _, row in merged((one.first, rows) for one in overlapping):
                yield row
        else:
            lines = next(contents)
            yield {name: b"".join(lines[name].to_pylist()) for name in lines.column_names}


def _overlapping(some: Iterable[PartSummary]) -> Iterator[list[PartSummary]]:
    """Parts in the order of their first recordings, those together that share a stretch."""
    together: list[PartSummary] = []
    last = ""
    for one in some:
        if together and last < one.first:
            yield together
            together = []
        together.append(one)
        last = max(last, one.last)
    if together:
        yield together


def merged(sources: Iterable[tuple[Any, Callable[[], Iterator[Keyed]]]]) -> Iterator[Keyed]:
    """Sorted rows of many sources in one order.

    A source is opened when its first row is due and closed after its last, so that of sources which
    follow one another one is open at a time.

    Args:
        sources: what the first row of each is sorted by, in this order, and what opens it.

    >>> list(merged([(1, lambda: iter([(1, "a"), (4, "d")])), (2, lambda: iter([(2, "b")]))]))
    [(1, 'a'), (2, 'b'), (4, 'd')]
    """
    waiting = iter(enumerate(sources))
    coming = next(waiting, None)
    due: list[tuple[Any, int, Any, Iterator[Keyed]]] = []

    def take(number: int, rows: Iterator[Keyed]) -> None:
        for key, row in rows:
            heapq.heappush(due, (key, number, row, rows))
            return

    while due or coming:
        while coming and (not due or coming[1][0] <= due[0][0]):
            number, (_, open_source) = coming
            take(number, open_source())
            coming = next(waiting, None)
        if due:
            key, number, row, rows = heapq.heappop(due)
            yield key, row
            take(number, rows)


def _hours(table: CsvTable, some: Iterable[PartSummary]) -> Iterator[bytes]:
    yield head(table)
    rows = heapq.merge(*(hour_rows(one.hours) for one in some))
    for of, amounts in groupby(rows, key=lambda row: row[0]):
        amount = (0, 0)
        for _, more in amounts:
            amount = added(amount, more)
        yield line_of(cells(activity_row(of, amount)))


def _run_table(output: str, some: Iterable[PartSummary], tool: ToolFormat) -> Iterator[bytes]:
    """The table of all recordings for a program: its times may go on from one to the next."""
    ledger = Ledger(output)

    def recordings(part: str) -> Iterator[tuple[str, CountedRecording]]:
        for one in counted_recordings(ledger.part(part).values()):
            yield one.row.recording, one

    opened = ((one.first, lambda part=one.part: recordings(part)) for one in some)
    return run_table((one for _, one in merged(opened)), tool)


def tables_apart(holdings: Holdings) -> dict[str, str]:
    """Where the lines of tables lie in the output that are too large to be joined."""
    return dict.fromkeys(holdings.apart, PartTables("").file("*"))


def data_sets(formats: Sequence[str]) -> dict[str, str]:
    """Where tables lie in the output as Parquet, if that was asked for."""
    names = PARQUET if "parquet" in formats else ()
    return {name: data_file(name, "*") for name in names}
