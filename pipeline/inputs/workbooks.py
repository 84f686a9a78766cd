"""Excel workbooks (``.xlsx``) as text: their first sheet as CSV, by ECMA-376, parts 1 and 2.

A workbook is a zip of XML files. Dates are days since 1899-12-30, told from numbers only by their
format.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree import ElementTree

_DATE_FORMATS = {*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59)}
"""Built-in formats of dates and times, by number."""
_NOT_IN_FORMAT = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]hms]*\]')
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, ElementTree.ParseError, ValueError, LookupError),
    *(StopIteration, OverflowError, NotImplementedError, RuntimeError, EOFError),
)
_LARGEST_BYTES = 256 * 1024 * 1024
_MOST_COLUMNS = 16_384


def is_workbook(content: bytes) -> bool:
    """Whether a file is what spreadsheet programs save unless they are asked for CSV."""
    return content[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def workbook_text(content: bytes) -> str:
    """The first visible sheet as CSV with commas, line by line as its rows are numbered.

    Dates become ISO 8601. Of a cell with a formula, its value counts.

    Raises:
        ValueError: no workbook of Excel 2007 or later, or one above 256 MB.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _as_csv(_Workbook(archive))
    except _UNREADABLE:
        raise ValueError("is no .xlsx workbook that can be read; save it as CSV") from None


def _as_csv(workbook: _Workbook) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    line = 1
    for number, cells in workbook.rows():
        text.write("\n" * (number - line))
        writer.writerow([" ".join(cell.splitlines()) for cell in cells])
        line = number + 1
    return text.getvalue()


class _Workbook:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        if sum(info.file_size for info in archive.infolist()) > _LARGEST_BYTES:
            raise ValueError
        self._archive = archive
        book = self._xml("xl/workbook.xml")
        properties = next(_all(book, "workbookPr"), None)
        is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._day_0 = datetime(1904, 1, 1) if is_1904 else datetime(1899, 12, 30)
        sheets = [one for one in _all(book, "sheet") if one.get("state", "visible") == "visible"]
        reference = next(v for key, v in sheets[0].items() if key.endswith("}id"))
        targets = {
            one.get("Id"): one.get("Target", "")
            for one in _all(self._xml("xl/_rels/workbook.xml.rels"), "Relationship")
        }
        self._sheet = posixpath.normpath(posixpath.join("/xl", targets[reference])).lstrip("/")
        self._texts = [
            _shown(item) for item in _all(self._xml_if_there("xl/sharedStrings.xml"), "si")
        ]
        self._is_date = list(_date_styles(self._xml_if_there("xl/styles.xml")))

    def _xml(self, name: str) -> ElementTree.Element:
        return ElementTree.fromstring(self._archive.read(name))

    def _xml_if_there(self, name: str) -> ElementTree.Element:
        return self._xml(name) if name in self._archive.namelist() else ElementTree.Element("none")

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(number, cells) of each row in the file, numbers ascending."""
        number = 0
        for row in _all(self._xml(self._sheet), "row"):
            number = max(number + 1, int(row.get("r", 0)))
            cells: list[str] = []
            for cell in _all(row, "c"):
                column = _column(cell.get("r", ""), len(cells))
                cells += [""] * (column + 1 - len(cells))
                cells[column] = self._value(cell)
            yield number, cells

    def _value(self, cell: ElementTree.Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _shown(cell)
        value = next((part.text or "" for part in cell if _name(part) == "v"), "")
        if kind == "s":
            return self._texts[int(value)] if value else ""
        if kind != "n" or not value:
            return value
        style = int(cell.get("s", 0))
        if style < len(self._is_date) and self._is_date[style]:
            return _moment(self._day_0, float(value))
        return f"{float(value):.15g}"


def _date_styles(styles: ElementTree.Element) -> Iterator[bool]:
    own = {
        int(one.get("numFmtId", 0)): _NOT_IN_FORMAT.sub("", one.get("formatCode", ""))
        for one in _all(styles, "numFmt")
    }
    for formats in _all(styles, "cellXfs"):
        for one in _all(formats, "xf"):
            number = int(one.get("numFmtId", 0))
            yield number in _DATE_FORMATS or bool(re.search("[dmyhs]", own.get(number, ""), re.I))


def _moment(day_0: datetime, days: float) -> str:
    at = day_0 + timedelta(seconds=round(days * 86_400))
    if 0 <= days < 1:
        return f"{at:%H:%M:%S}"
    return f"{at:%Y-%m-%d}" if days == int(days) else f"{at:%Y-%m-%d %H:%M:%S}"


def _column(reference: str, following: int) -> int:
    """The place of a cell such as ``AB7`` in its row, from 0; without one it follows the last."""
    letters = re.match("[A-Z]+", reference)
    if not letters:
        return following
    column = 0
    for letter in letters[0]:
        column = 26 * column + ord(letter) - ord("A") + 1
    if column > _MOST_COLUMNS:
        raise IndexError
    return column - 1


def _all(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (one for one in element.iter() if _name(one) == name)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _shown(item: ElementTree.Element) -> str:
    """Its text, in runs or not, without what says how to pronounce it."""
    if _name(item) == "rPh":
        return ""
    return (item.text or "" if _name(item) == "t" else "") + "".join(map(_shown, item))
