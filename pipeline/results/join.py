"""Tables of a whole output, joined from the pieces of its parts.

Pieces are sorted and mostly follow one another, so a table is a copy of them in order: in a bucket
the server puts it together. Where two pieces overlap they are merged, a row at a time. No table is
ever held in memory.
"""

from __future__ import annotations

import csv
import heapq
import io
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

from pipeline.exports.tool_formats import ToolFormat
from pipeline.ledger.runs import RunNotes
from pipeline.records import ActivityHour
from pipeline.results.pieces import (
    PARQUET,
    PartSummary,
    Piece,
    Pieces,
    read_summary,
)
from pipeline.results.render import (
    CsvTable,
    counted_recordings,
    csv_tables,
    head,
    run_table,
    tools_of,
)
from pipeline.results.unchanged import checksums_of
from pipeline.storage import files
from pipeline.store.ledger import Ledger
from pipeline.store.sums import Sums
from pipeline.tables.activity import activity_row, added
from pipeline.tables.cell_text import encode, unguard_path
from pipeline.tables.csv_text import csv_line

JOINED_AT_MOST_BYTES = 2**30
"""A larger table is not joined: its pieces and Parquet are the product, and run.json says so."""

Keyed = tuple[Any, Any]
"""What a row is sorted by, and the row."""


@dataclass
class Holdings:
    """All that an output holds.

    Attributes:
        sums: of all its recordings.
        pieces: (part, piece) by table.
        apart: tables that are too large to be joined.
    """

    sums: Sums = field(default_factory=Sums)
    pieces: dict[str, list[tuple[str, Piece]]] = field(default_factory=dict)
    apart: tuple[str, ...] = ()

    def add(self, summary: PartSummary) -> None:
        """One part more."""
        self.sums += summary.sums
        for table, piece in summary.pieces.items():
            self.pieces.setdefault(table, []).append((summary.part, piece))


def read_holdings(output: str) -> Holdings:
    """What an output holds, by the summaries of its parts."""
    return _read(files.list_folder(Pieces(output).summaries, ".json"))[0]


def _read(names: Collection[str]) -> tuple[Holdings, list[str]]:
    """What summaries say, and the parts of those that cannot be read."""
    held, damaged = Holdings(), []
    for name, summary in zip(names, files.read_ahead(read_summary, names), strict=True):
        if summary:
            held.add(summary)
        else:
            damaged.append(posixpath.basename(name).removesuffix(".json"))
    return held, damaged


PASSES = 3
"""After so many a run leaves tables to another that has still to join them."""
_PASSES_IN_VAIN = 20


def join_tables(pieces: Pieces, run_id: str) -> Holdings:
    """Joins all tables. A piece that is not what its summary names is made again.

    Where other runs have changed parts meanwhile the tables are joined again, for this run may have
    put its own in place of newer ones. After a few times that is left to a run that has still to
    join: it will do so after this one has written.

    Raises:
        OSError: a part cannot be made whole.
    """
    notes = RunNotes(pieces.output, run_id)
    notes.start_joining()
    n_joined = 0
    for _ in range(_PASSES_IN_VAIN):
        before = files.list_versions(pieces.summaries, ".json")
        held, damaged = _read(before)
        for part in damaged:
            pieces.update(part, in_any_case=True)
        if damaged:
            continue
        try:
            held.apart = tuple(_join_all(pieces, held))
        except FileNotFoundError:
            continue  # another run has just removed a piece that lost all its rows
        n_joined += 1
        if files.list_versions(pieces.summaries, ".json") == before:
            return held
        if n_joined >= PASSES and notes.others_have_to_join():
            return held
    raise OSError(
        f"{pieces.output}: its parts change or are damaged again and again; see to its disk"
    )


def _join_all(pieces: Pieces, holdings: Holdings) -> Iterator[str]:
    for table in csv_tables(pieces.formats):
        own = f"{_own_name(table.name)}.csv"  # excel/counts.csv has the rows of counts.csv
        some = sorted(holdings.pieces.get(own, []), key=lambda of: of[1].first)
        name = files.join(pieces.output, table.name)
        if sum(piece.n_bytes for _, piece in some) > JOINED_AT_MOST_BYTES:
            files.delete_if_there(name)
            yield table.name
        elif table.of is ActivityHour:
            files.write_atomically(name, _hours(pieces, table, some))
        else:
            _join(pieces, table, some)
    every = sorted(holdings.pieces.get("counts.csv", []), key=lambda of: of[1].first)
    for tool in tools_of(pieces.formats):
        if tool.run_file:
            name = files.join(pieces.output, tool.run_file)
            files.write_atomically(name, _run_table(pieces, every, tool))


def _join(pieces: Pieces, table: CsvTable, some: Sequence[tuple[str, Piece]]) -> None:
    name = files.join(pieces.output, table.name)
    follow_on = all(a.last < b.first for (_, a), (_, b) in pairwise(some))
    if follow_on and name.startswith("gs://"):
        _compose(pieces, table, some)
        return
    contents = _contents(pieces, _own_name(table.name), some)
    if follow_on:
        files.write_atomically(name, _behind(head(table), contents))
        return
    opened = [(piece.first, lambda: _rows(next(contents))) for _, piece in some]
    lines = (encode(csv_line(cells)) for _, cells in merged(opened))
    files.write_atomically(name, _behind(head(table), lines))


def _own_name(table: str) -> str:
    """Of the table whose rows a table has, without its ending."""
    return table.rpartition("/")[2].removesuffix(".csv")


def _contents(pieces: Pieces, table: str, some: Sequence[tuple[str, Piece]]) -> Iterator[bytes]:
    """The pieces of a table, in order, whole."""
    checksums = {part: piece.checksum for part, piece in some}

    def read(part: str) -> bytes:
        return pieces.whole(table, part, checksums[part])

    return files.read_ahead(read, checksums)


def _compose(pieces: Pieces, table: CsvTable, some: Sequence[tuple[str, Piece]]) -> None:
    """Has the bucket put pieces together. It lists their checksums."""
    from pipeline.storage.buckets import compose

    own = _own_name(table.name)
    names = {part: pieces.piece_file(own, part) for part, _ in some}
    there = checksums_of(names.values())
    for part, piece in some:
        if there.get(names[part]) != piece.checksum:
            pieces.whole(own, part, piece.checksum)
    compose(files.join(pieces.output, table.name), head(table), list(names.values()))


def _behind(first: bytes, more: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from more


def _rows(piece: bytes) -> Iterator[Keyed]:
    """Rows of a piece, with the recording that each is of."""
    for cells in csv.reader(io.StringIO(piece.decode(), newline="")):
        yield unguard_path(cells[0]), cells


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


def _hours(pieces: Pieces, table: CsvTable, some: Sequence[tuple[str, Piece]]) -> Iterator[bytes]:
    yield head(table)
    contents = _contents(pieces, "activity", some)
    opened = [(piece.first, lambda: _hour_rows(next(contents))) for _, piece in some]
    for of, rows in groupby(merged(opened), key=lambda keyed: keyed[0]):
        amount = (0, 0)
        for _, more in rows:
            amount = added(amount, more)
        yield encode(csv_line(table.to_cells(activity_row(of, amount))))


def _hour_rows(piece: bytes) -> Iterator[Keyed]:
    rows = csv.reader(io.StringIO(piece.decode(), newline=""))
    for site, date, hour, recorded_ms, calls in rows:
        yield (site, date, int(hour)), (int(recorded_ms), int(calls))


def _run_table(
    pieces: Pieces, some: Sequence[tuple[str, Piece]], tool: ToolFormat
) -> Iterator[bytes]:
    """The table of all recordings for a program: its times may go on from one to the next."""
    ledger = Ledger(pieces.output)

    def recordings(part: str) -> Iterator[Keyed]:
        for one in counted_recordings(ledger.part(part).values()):
            yield one.row.recording, one

    opened = [(piece.first, lambda part=part: recordings(part)) for part, piece in some]
    return run_table((one for _, one in merged(opened)), tool)


def tables_apart(holdings: Holdings) -> dict[str, str]:
    """Where the pieces of tables lie in the output that are too large to be joined."""
    return {table: Pieces("").piece_file(_own_name(table), "*") for table in holdings.apart}


def data_sets(formats: Sequence[str]) -> dict[str, str]:
    """Where tables lie in the output as Parquet, if that was asked for."""
    return {
        name: Pieces("").parquet_file(name, "*")
        for name in (PARQUET if "parquet" in formats else ())
    }
