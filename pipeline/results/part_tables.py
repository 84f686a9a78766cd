"""What the tables show of one part: a file for each, made from its entries.

It is written when its part has changed, and only then, and says which files of the ledger it was
made from, so that anybody can tell whether it is up to date. Whoever writes looks again afterwards:
of several runs the last one has seen all entries.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from os.path import commonprefix
from typing import Any

import pyarrow as pa

from pipeline.ledger.runs import RunNotes
from pipeline.records import SCHEMA_VERSION
from pipeline.results.render import (
    PARQUET,
    counted_recordings,
    data_file,
    hours_text,
    lines_of,
    own_tables,
    parquet_tables,
    sizes_of,
    tools_of,
)
from pipeline.storage import files
from pipeline.storage.sealed import fingerprint, read_if_whole, write_sealed
from pipeline.store import part_file, parts
from pipeline.store.entries import Entry
from pipeline.store.ledger import Ledger
from pipeline.store.part_file import PartSummary
from pipeline.store.parts import PartFiles
from pipeline.store.sums import Sums

LAYOUT = 3  # of parts' files; those of another layout are made anew
_IN_PIECES = 2  # one in which a part had a file for each table
_MADE_AT_MOST = 5  # times: else a disk gives back other bytes than it was given


@dataclass(frozen=True)
class PartTables:
    """The tables of an output, part by part.

    Attributes:
        output: the output folder.
        formats: tables for other programs.
    """

    output: str
    formats: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where the files of all parts lie."""
        return files.join(parts.ledger(self.output), "tables")

    def file(self, part: str) -> str:
        """Where a part's file lies."""
        return files.join(self.folder, part + part_file.ENDING)

    def left_undone(self, run_id: str) -> Iterator[str]:
        """Parts whose file may not say what the ledger says, apart from those of this run."""
        made = read_if_whole(self._made_file) or {}
        now = self._made()
        same = all(made.get(name) == now[name] for name in ("layout", "schema", "moves"))
        has_all = set(self.formats) <= set(made.get("formats") or ()) and (
            made.get("parts", 0) <= now["parts"]
        )
        if RunNotes(self.output, run_id).others() or not same or not has_all:
            yield from parts.all_parts(self.output)

    def write_made(self) -> None:
        """Keeps for the next run what all parts' files were made by."""
        if (read_if_whole(self._made_file) or {}).get("layout") == _IN_PIECES:
            folders = (
                files.join(parts.ledger(self.output), name) for name in ("pieces", "summaries")
            )
            old = chain.from_iterable(files.list_below(folder, "") for folder in folders)
            for _ in files.read_ahead(files.delete_if_there, old):
                pass
        write_sealed(self._made_file, self._made(), copies=2)  # it names formats once asked for

    @property
    def _made_file(self) -> str:
        return files.join(parts.ledger(self.output), "made.json")

    def _made(self) -> dict[str, Any]:
        """How many files of parts there are, and what each depends on besides its part."""
        return {
            "layout": LAYOUT,
            "schema": SCHEMA_VERSION,
            "moves": len(Ledger(self.output).moves),
            "formats": list(self.formats),
            "parts": len(files.list_folder(self.folder, part_file.ENDING)),
        }

    def lines(self, part: str) -> pa.Table:
        """A part's lines in each table; they are made again where its file is damaged or gone.

        Raises:
            OSError: what was just made is not whole either.
        """
        for _ in range(_MADE_AT_MOST):
            if (lines := part_file.read_lines(self.file(part))) is not None:
                return lines
            self.update(part, in_any_case=True)
        raise OSError(
            f"{self.file(part)}: is damaged; it was made again {_MADE_AT_MOST} times in vain"
        )

    def update(self, part: str, *, in_any_case: bool = False) -> None:
        """Makes a part's file say what the ledger says of it.

        Tables of single recordings are looked at even where nothing has changed, as others may have
        changed them; so are Parquet files.

        Args:
            part: its key.
            in_any_case: also where the file says that nothing has changed.
        """
        there = parts.look(self.output, part)
        summary = None if in_any_case else part_file.read_summary(self.file(part))
        if summary and summary.made_from == _made_from(there) and self._is_data_whole(summary):
            if tools_of(self.formats):
                self._write_own_tables(Ledger(self.output).read(there).values())
            return
        made_from = ""
        while made_from != _made_from(there):
            made_from = _made_from(there)
            self._write(part, made_from, list(Ledger(self.output).read(there).values()))
            there = parts.look(self.output, part)

    def _write(self, part: str, made_from: str, entries: list[Entry]) -> None:
        lines, hours = lines_of(entries), hours_text(entries)
        data = self._write_data(part, entries)
        self._write_own_tables(entries)
        names = [entry.row.recording for entry in entries]
        summary = PartSummary(
            part=part,
            made_from=made_from,
            sums=Sums.of(entries),
            first=min(names, default=""),
            last=max(names, default=""),
            n_bytes=sizes_of(lines) | {"hours": len(hours)},
            hours=hours,
            data=data,
        )
        part_file.write(self.file(part), summary, lines)

    def _data_files(self, part: str) -> dict[str, str]:
        """Where a part's rows lie as Parquet, in the data set of their table."""
        names = PARQUET if "parquet" in self.formats else ()
        return {name: files.join(self.output, data_file(name, part)) for name in names}

    def _is_data_whole(self, summary: PartSummary) -> bool:
        names = self._data_files(summary.part)
        there = checksums_of(names.values())
        return all(there.get(name) == summary.data.get(table) for table, name in names.items())

    def _write_data(self, part: str, entries: list[Entry]) -> Mapping[str, str]:
        """Writes a part's Parquet files. Returns their checksums, by table."""
        names = self._data_files(part)
        # Also without calls, so that a data set always has its columns; but not without
        # recordings, where all were moved.
        contents = parquet_tables(entries) if names and entries else {}
        for table, name in names.items():
            if table in contents:
                files.write_atomically(name, [contents[table]])
            else:
                files.delete_if_there(name)
        return {table: files.checksum([content]) for table, content in contents.items()}

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


def _made_from(there: PartFiles) -> str:
    names = sorted(map(posixpath.basename, (*there.entries, *there.moves)))
    return fingerprint(json.dumps([LAYOUT, SCHEMA_VERSION, names]).encode())


def checksums_of(names: Collection[str]) -> dict[str, str]:
    """Checksums of existing files, so that only what changes is written; a bucket's listing states
    them.

    The result is empty for stores other than disks and gs://, which state no checksums.
    """
    checksums: dict[str, str] = {}
    of_folder: dict[str, list[str]] = {}
    for name in names:
        of_folder.setdefault(posixpath.dirname(name), []).append(name)
    for some in of_folder.values():
        if some[0].startswith("gs://"):
            from pipeline.storage.buckets import storage_client

            # Names of a part begin alike, so that little else is listed.
            bucket, _, prefix = commonprefix(some).removeprefix("gs://").partition("/")  # noqa: RUF071
            for blob in storage_client().list_blobs(bucket, prefix=prefix):
                checksums[f"gs://{bucket}/{blob.name}"] = blob.crc32c or ""
        elif files.is_local(some[0]):
            for name in some:
                with suppress(FileNotFoundError):
                    checksums[name] = files.checksum([files.read_bytes(name)])
    return {name: checksums[name] for name in names if name in checksums}
