"""What the tables show of one part: a sorted piece of each, and a summary.

A piece is written when its part has changed, and only then. The summary is written last and says
which files of the ledger the pieces were made from, and what their bytes are, so that anybody can
tell whether they are up to date and whole. Whoever writes looks again afterwards: of several runs
the last one has seen all entries, and if it is killed, the summary that is there shows which pieces
are not its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.ledger.runs import RunNotes
from pipeline.records import SCHEMA_VERSION, ActivityHour, DetectedCall, RecordingCount, Row
from pipeline.results.render import (
    counted_recordings,
    csv_tables,
    own_tables,
    tools_of,
)
from pipeline.results.unchanged import checksums_of
from pipeline.storage import files
from pipeline.storage.sealed import read_if_whole, write_sealed
from pipeline.store import parts
from pipeline.store.entries import Entry
from pipeline.store.ledger import Ledger
from pipeline.store.parts import PartFiles
from pipeline.store.sums import Sums
from pipeline.tables.activity import hours_of
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import csv_line
from pipeline.tables.parquet import parquet_bytes
from pipeline.tables.rows import row_order

_log = logging.getLogger(__name__)

LAYOUT = 2  # of pieces and summaries; those of another layout are made anew
PARQUET = {"counts": RecordingCount, "calls": DetectedCall}
_MADE_AT_MOST = 5  # times: else a disk gives back other bytes than it was given


@dataclass(frozen=True)
class Piece:
    """A part's rows of a table, in order.

    Attributes:
        checksum: of its bytes.
        first, last: the recordings of its first and last row; of hours of activity, those.
    """

    rows: int
    n_bytes: int
    checksum: str
    first: Any
    last: Any


@dataclass(frozen=True)
class PartSummary:
    """What a part holds.

    Attributes:
        of: names all that the pieces were made from.
        formats: those that were asked for when they were made.
        pieces: by table; a table without rows has none.
        data: checksums of its Parquet files, by table.
    """

    part: str
    of: str
    formats: tuple[str, ...]
    sums: Sums
    pieces: Mapping[str, Piece]
    data: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As ``from_json`` reads it."""
        pieces = {name: asdict(piece) for name, piece in self.pieces.items()}
        raw = {"part": self.part, "of": self.of, "formats": self.formats, "pieces": pieces}
        return {**raw, "sums": self.sums.to_json(), "data": self.data}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> PartSummary:
        """Reads what ``to_json`` gave."""
        pieces = {
            name: Piece(**{**piece, "first": _key(piece["first"]), "last": _key(piece["last"])})
            for name, piece in raw["pieces"].items()
        }
        sums = Sums.from_json(raw["sums"])
        return cls(raw["part"], raw["of"], tuple(raw["formats"]), sums, pieces, raw["data"])


def _key(raw: Any) -> Any:
    return tuple(raw) if isinstance(raw, list) else raw


@dataclass(frozen=True)
class Pieces:
    """The tables of an output, part by part.

    Attributes:
        output: the output folder.
        formats: tables for other programs.
    """

    output: str
    formats: tuple[str, ...] = ()

    @property
    def summaries(self) -> str:
        """Where the summaries lie."""
        return files.join(parts.ledger(self.output), "summaries")

    def summary_file(self, part: str) -> str:
        """Where a part's summary lies."""
        return files.join(self.summaries, f"{part}.json")

    def piece_file(self, table: str, part: str) -> str:
        """Where a part's piece of a CSV table lies."""
        folder = files.join(files.join(parts.ledger(self.output), "pieces"), table)
        return files.join(folder, f"{part}.csv")

    def parquet_file(self, table: str, part: str) -> str:
        """Where a part's rows lie as Parquet, in the table's data set."""
        return files.join(files.join(self.output, f"{table}.parquet"), f"{part}.parquet")

    def left_undone(self, run_id: str) -> Iterator[str]:
        """Parts whose pieces may not say what the ledger says, apart from those of this run."""
        made = read_if_whole(self._made_file) or {}
        now = self._made()
        same = all(made.get(name) == now[name] for name in ("layout", "schema", "moves"))
        has_all = set(self.formats) <= set(made.get("formats") or ())
        if RunNotes(self.output, run_id).others() or not same or not has_all:
            yield from parts.all_parts(self.output)

    def write_made(self) -> None:
        """Keeps for the next run what all pieces were made by."""
        write_sealed(self._made_file, self._made(), copies=2)  # it names formats once asked for

    @property
    def _made_file(self) -> str:
        return files.join(parts.ledger(self.output), "made.json")

    def _made(self) -> dict[str, Any]:
        """All that the pieces of every part depend on, besides the part."""
        return {
            "layout": LAYOUT,
            "schema": SCHEMA_VERSION,
            "moves": len(Ledger(self.output).moves),
            "formats": list(self.formats),
        }

    def whole(self, table: str, part: str, checksum: str) -> bytes:
        """A part's piece of a table as its summary names it; one that differs is made again.

        Args:
            table: without its ending.
            part: its key.
            checksum: of the piece, by the summary that was read. Another run may have written both
                since: then its piece is the right one.

        Raises:
            OSError: what was just made is not whole either.
        """
        name = self.piece_file(table, part)
        made = 0
        while True:
            content = b""  # of a table without rows there is none
            with suppress(FileNotFoundError):
                content = files.read_bytes(name)
            if files.checksum([content]) == checksum:
                return content
            summary = read_summary(self.summary_file(part))
            piece = summary.pieces.get(f"{table}.csv") if summary else None
            now = piece.checksum if piece else files.checksum([])
            if summary and now != checksum:
                checksum = now
                continue
            if made == _MADE_AT_MOST:
                raise OSError(f"{name}: is damaged; it was made again {made} times in vain")
            _log.warning(
                "%s: is damaged, gone, or of a run that was killed; it is made again", name
            )
            self.update(part, in_any_case=True)
            made += 1

    def update(self, part: str, *, in_any_case: bool = False) -> None:
        """Makes pieces and summary say what the ledger says of a part.

        Tables of single recordings are looked at even where nothing has changed, as others may have
        changed them; so are Parquet files, which no table is joined from.

        Args:
            part: its key.
            in_any_case: also where the summary says that nothing has changed.
        """
        there = parts.look(self.output, part)
        summary = None if in_any_case else read_summary(self.summary_file(part))
        if (
            summary
            and summary.of == _made_from(there)
            and set(self.formats) <= set(summary.formats)
            and self._is_data_whole(summary)
        ):
            if tools_of(self.formats):
                self._write_own_tables(Ledger(self.output).read(there).values())
            return
        made_from = ""
        while made_from != _made_from(there):
            made_from = _made_from(there)
            entries = list(Ledger(self.output).read(there).values())
            pieces, data = self._write(part, entries)
            self._write_own_tables(entries)
            made = PartSummary(part, made_from, self.formats, Sums.of(entries), pieces, data)
            write_sealed(self.summary_file(part), made.to_json())
            there = parts.look(self.output, part)

    def _is_data_whole(self, summary: PartSummary) -> bool:
        if "parquet" not in self.formats:
            return True
        names = {self.parquet_file(table, summary.part): table for table in PARQUET}
        there = checksums_of(names)
        return all(there.get(name) == summary.data.get(table) for name, table in names.items())

    def _write(
        self, part: str, entries: Sequence[Entry]
    ) -> tuple[dict[str, Piece], dict[str, str]]:
        """Writes a part's rows. Returns its pieces and its Parquet files' checksums, by table."""
        rows = sorted((entry.row for entry in entries), key=row_order)
        calls = sorted((call for entry in entries for call in entry.calls), key=row_order)
        of_kind: dict[type[Row], Sequence[Row]] = {RecordingCount: rows, DetectedCall: calls}
        pieces, data = {}, {}

        def write(name: str, keys: Sequence[Any], lines: Iterable[Sequence[str]]) -> None:
            content = encode("".join(map(csv_line, lines)))
            _write_or_remove(self.piece_file(name.removesuffix(".csv"), part), content)
            if keys:
                checksum = files.checksum([content])
                pieces[name] = Piece(len(keys), len(content), checksum, keys[0], keys[-1])

        for table in csv_tables(self.formats):
            if not table.mark and table.of is not ActivityHour:  # those for spreadsheets: the same
                kept: list[Any] = [row for row in of_kind[table.of] if table.keeps(row)]
                write(table.name, [row.recording for row in kept], map(table.to_cells, kept))
        hours = sorted(hours_of(rows, calls).items())
        cells = ([*map(str, (*of, *n))] for of, n in hours)
        write("activity.csv", [of for of, _ in hours], cells)
        for name, row_type in PARQUET.items() if "parquet" in self.formats else ():
            # Also without calls, so that a data set always has its columns; but not without
            # recordings, where all were moved.
            content = parquet_bytes(of_kind[row_type], row_type) if rows else b""
            _write_or_remove(self.parquet_file(name, part), content)
            if content:
                data[name] = files.checksum([content])
        return pieces, data

    def _write_own_tables(self, entries: Iterable[Entry]) -> None:
        """Tables of single recordings, where another, or none, lies there."""
        if not (tools := tools_of(self.formats)):
            return
        contents = {
            files.join(self.output, name): content
            for one in counted_recordings(entries)
            for name, content in own_tables(one, tools)
        }
        there = checksums_of(contents)
        for name, content in contents.items():
            if content is None:
                if name in there or not name.startswith("gs://"):
                    files.delete_if_there(name)  # of an earlier run, when the file could be read
            elif there.get(name) != files.checksum([content]):
                files.write_atomically(name, [content])


def read_summary(name: str) -> PartSummary | None:
    """A part's summary; None where none is, or none that is whole and of this layout."""
    try:
        raw = read_if_whole(name)
        return PartSummary.from_json(raw) if raw else None
    except (KeyError, TypeError):
        return None


def _made_from(there: PartFiles) -> str:
    names = sorted(map(posixpath.basename, (*there.entries, *there.moves)))
    return hashlib.sha256(json.dumps([LAYOUT, SCHEMA_VERSION, names]).encode()).hexdigest()[:16]


def _write_or_remove(name: str, content: bytes) -> None:
    if content:
        files.write_atomically(name, [content])
    else:
        files.delete_if_there(name)
