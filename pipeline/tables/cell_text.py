"""Text in tables that people open in a spreadsheet, where a cell such as ``=A1`` is run.

Both ways can be undone. A file's name gets ``./`` in front: still the same file, for every tool.
Any other text gets an apostrophe, as one would type it. Numbers are not text and stay as they are.
"""

from __future__ import annotations

import re

_RUN_BY_SPREADSHEETS = r"[=+\-@\t\r\n＝＋－＠]"
_GUARDED_TEXT = re.compile(rf"(?![+-]\d\d:\d\d$)'*{_RUN_BY_SPREADSHEETS}")  # not an offset
_GUARDED_PATH = re.compile(rf'{_RUN_BY_SPREADSHEETS}|"')  # a leading quote also misleads readers
_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)}


def guard_text(text: str) -> str:
    """``text`` with an apostrophe in front if a spreadsheet would run it."""
    return f"'{text}" if _GUARDED_TEXT.match(text) else text


def unguard_text(cell: str) -> str:
    """What ``guard_text`` was given."""
    return cell[1:] if cell.startswith("'") and _GUARDED_TEXT.match(cell) else cell


def guard_path(path: str) -> str:
    """``path`` as ``./path`` if a spreadsheet would run it. Only relative names begin like that."""
    return f"./{path}" if _GUARDED_PATH.match(path) else path


def unguard_path(cell: str) -> str:
    """What ``guard_path`` was given. No recording's name begins with ``./`` of itself."""
    return cell[2:] if cell.startswith("./") and _GUARDED_PATH.match(cell[2:]) else cell


def without_controls(text: str) -> str:
    """``text`` for a table without quoting: TAB and line breaks as the symbols ␉ ␊ ␍."""
    return text.translate(_CONTROL_PICTURES)


def encode(text: str) -> bytes:
    """UTF-8. A file name that is not valid text keeps its odd bytes as ``\\udcXX``."""
    return text.encode("utf-8", "backslashreplace")
