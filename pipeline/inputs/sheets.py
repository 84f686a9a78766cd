"""Tables by people, as spreadsheets save them in any country.

Workbooks of Excel; text with commas, semicolons or tabs between cells, in UTF-8 with or without a
byte order mark, UTF-16 or Latin-1; decimal commas, several spellings of a column's name, and lines
of comment.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pipeline.inputs.workbooks import is_workbook, workbook_text
from pipeline.storage import files

_T = TypeVar("_T")

COLUMNS = {
    "recording": ("recording", "uri"),
    "folder": ("folder",),
    "site": ("site", "station"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "long", "lon", "lng"),
    "recorded_at": ("recorded_at", "start_time"),
    "time_zone": ("time_zone", "timezone"),
    "call_count": ("call_count",),
}
"""A column's name here, and its spellings in tables, in upper or lower case."""

OF_DEPLOYMENTS = {
    "deployed_from": (
        *("deployed_from", "deployment_start", "deploymentstart", "start", "start_time"),
        *("start_date", "start_datetime", "date_deployed", "setup_date"),
    ),
    "deployed_to": (
        *("deployed_to", "deployment_end", "deploymentend", "end", "end_time"),
        *("end_date", "end_datetime", "date_retrieved", "retrieval_date"),
    ),
}
"""The same in a table of folders: its start is that of a deployment, not of a recording."""


def _by_spelling(columns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {spelling: name for name, spellings in columns.items() for spelling in spellings}


_NAMES = _by_spelling(COLUMNS)
_NAMES_OF_DEPLOYMENTS = _NAMES | _by_spelling(OF_DEPLOYMENTS)


@dataclass(frozen=True)
class SheetRow:
    """A row with something in it.

    Attributes:
        sheet: name of the table.
        number: of its line in the file, as spreadsheets count rows.
        cells: by the column's name here.
    """

    sheet: str
    number: int
    cells: dict[str, str]

    def read(self, column: str, parse: Callable[[str], _T], empty: _T) -> _T:
        """A cell's value.

        Raises:
            ValueError: naming file, row and column.
        """
        text = self.cells.get(column, "")
        try:
            return parse(text) if text else empty
        except ValueError as error:
            raise ValueError(f"{self.sheet}: row {self.number}, {column}: {error}") from None


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        columns: those with a meaning here.
        ignored: all others.
        header: the meaning of each column in turn, or nothing.
        lines: those below the header.
        above: number of lines above them.
    """

    name: str
    columns: tuple[str, ...]
    ignored: tuple[str, ...]
    header: tuple[str, ...]
    lines: Sequence[str]
    above: int
    separator: str

    @property
    def rows(self) -> Iterator[SheetRow]:
        """Reads the rows that are not empty, one at a time.

        Raises:
            ValueError: a row with more cells than the header.
        """
        reader = csv.reader(self.lines, delimiter=self.separator)
        for cells in reader:
            number, stripped = self.above + reader.line_num, [cell.strip() for cell in cells]
            if not any(stripped) or is_comment(cells[0], self.name):
                continue
            if any(stripped[len(self.header) :]):
                raise ValueError(
                    f"{self.name}: row {number} has {len(cells)} cells, the header "
                    f"{len(self.header)}; a cell with a {self.separator!r} in it must stand in "
                    "double quotes"
                )
            by_name = dict(zip(self.header, stripped, strict=False))
            by_name.pop("", None)
            if "recording" in by_name:  # a name may begin with a blank
                by_name["recording"] = cells[self.header.index("recording")]
            yield SheetRow(self.name, number, by_name)


def read_text(name: str) -> str:
    """The text of a file in any encoding that editors and spreadsheets write.

    Raises:
        OSError: the file is unreadable.
        ValueError: a spreadsheet program's own file, but no .xlsx.
    """
    content = files.read_bytes(name)
    if is_workbook(content):
        try:
            return workbook_text(content)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def is_comment(line: str, table: str) -> bool:
    """Whether a line is a comment: ``#1.wav`` is none where a file is called so.

    Args:
        line: the line, or the first cell of a row.
        table: in which it stands; names in it start at its folder.
    """
    text = line.strip()
    if not text.startswith("#"):
        return False
    beside = os.path.join(os.path.dirname(table), text)
    return not (files.is_local(table) and os.path.isfile(beside))


def parse_sheet(name: str, text: str) -> Sheet | None:
    """Parses a table; None if its first line names no column of ``COLUMNS``.

    Raises:
        ValueError: two columns of one meaning.
    """
    lines = list(io.StringIO(text, newline=""))
    first = 0
    while first < len(lines) and (
        not lines[first].strip()
        or is_comment(lines[first], name)
        or lines[first].lower().startswith("sep=")
    ):
        first += 1
    if first == len(lines):
        return None
    header, separator = max(
        ((next(csv.reader([lines[first]], delimiter=mark)), mark) for mark in ",;\t"),
        key=lambda read: len(_with_meaning(read[0])),
    )
    spelled = [_spelled(cell) for cell in header]
    is_of_folders = "folder" in spelled and not {"recording", "uri"} & set(spelled)
    names = _NAMES_OF_DEPLOYMENTS if is_of_folders else _NAMES
    columns = [names.get(cell, "") for cell in spelled]
    meanings = [column for column in columns if column]
    if not meanings:
        return None
    if twice := {column for column in meanings if meanings.count(column) > 1}:
        raise ValueError(f"{name}: has two columns for {', '.join(sorted(twice))}; remove one")
    ignored = [cell.strip() for cell, column in zip(header, columns, strict=True) if not column]
    return Sheet(
        name=name,
        columns=tuple(meanings),
        ignored=tuple(filter(None, ignored)),
        header=tuple(columns),
        lines=lines[first + 1 :],
        above=first + 1,
        separator=separator,
    )


def _spelled(cell: str) -> str:
    return "_".join(cell.lower().split())


def _with_meaning(header: Sequence[str]) -> list[str]:
    return [cell for cell in header if _spelled(cell) in _NAMES]


def parse_degrees(text: str, limit: int) -> float:
    """Decimal degrees, with a point or a comma.

    Raises:
        ValueError: none, or more than ``limit``.

    >>> parse_degrees("-52,6802", 180)
    -52.6802
    """
    try:
        value = float(text.removesuffix("°").replace(",", "."))
    except ValueError:
        raise ValueError(
            f"{text!r} is no position; write decimal degrees such as -52.6802"
        ) from None
    if not -limit <= value <= limit:
        raise ValueError(f"{text} degrees lie outside -{limit} to {limit}")
    return value
