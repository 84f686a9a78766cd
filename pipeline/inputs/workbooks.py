"""Excel workbooks (``.xlsx``) as text: their first visible sheet as CSV."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from datetime import datetime, time, timedelta
from typing import Any

_LARGEST_BYTES = 256 * 1024 * 1024


def is_workbook(content: bytes) -> bool:
    """Whether a file is what spreadsheet programs save unless they are asked for CSV."""
    return content[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def workbook_text(content: bytes) -> str:
    """The first visible sheet as CSV with commas, line by line as its rows are numbered.

    Dates become ISO 8601. Of a cell with a formula, its value counts.

    Raises:
        ValueError: no workbook of Excel 2007 or later, or one above 256 MB.
    """
    import openpyxl  # for few tables

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _LARGEST_BYTES:
                raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and checks of cells
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            sheet = next(one for one in book.worksheets if one.sheet_state == "visible")
            sheet.reset_dimensions()  # what a program notes of them may be wrong
            for row in sheet.iter_rows(values_only=True):
                cells = list(map(_shown, row))
                while cells and not cells[-1]:
                    del cells[-1]
                writer.writerow(cells)
    except Exception:  # there are many ways in which a file may be no workbook
        raise ValueError("is no .xlsx workbook that can be read; save it as CSV") from None
    return text.getvalue()


def _shown(value: Any) -> str:
    """A cell's text, in one line.

    >>> [_shown(value) for value in (None, 3.0, datetime(2024, 6, 1), "two\\nlines")]
    ['', '3', '2024-06-01', 'two lines']
    """
    if isinstance(value, datetime):
        moment = (value + timedelta(seconds=0.5)).replace(microsecond=0)
        return moment.date().isoformat() if moment.time() == time() else str(moment)
    if isinstance(value, float | bool):
        return f"{value:.15g}"
    return "" if value is None else " ".join(str(value).splitlines())
