"""Guards text in tables against spreadsheets, which would run a cell such as ``=A1``.

Both guards have an inverse. A file's name gets ``./`` in front and still names the same file. Other
text gets an apostrophe. Numbers stay as they are.
"""

from __future__ import annotations

import re

_RUN_BY_SPREADSHEETS = r"[=+\-@\t\r\n＝＋－＠]"
_GUARDED_TEXT = re.compile(rf"(?![+-]\d\d:\d\d$)'*{_RUN_BY_SPREADSHEETS}")  # not an offset
_GUARDED_PATH = re.compile(rf'{_RUN_BY_SPREADSHEETS}|"')  # a leading quote also misleads readers
_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)}


def guard_text(text: str) -> str:
    """Puts an apostrophe in front of text that a spreadsheet would run."""
    return f"'{text}" if _GUARDED_TEXT.match(text) else text


def unguard_text(cell: str) -> str:
    """The inverse of ``guard_text``."""
    return cell[1:] if cell.startswith("'") and _GUARDED_TEXT.match(cell) else cell


def guard_path(path: str) -> str:
    """Puts ``./`` in front of a path that a spreadsheet would run: a relative one."""
    return f"./{path}" if _GUARDED_PATH.match(path) else path


def unguard_path(cell: str) -> str:
    """The inverse of ``guard_path``; no recording's own name begins with ``./``."""
    return cell[2:] if cell.startswith("./") and _GUARDED_PATH.match(cell[2:]) else cell


def without_controls(text: str) -> str:
    """Replaces TAB and line breaks by the symbols ␉ ␊ ␍, for a table without quoting."""
    return text.translate(_CONTROL_PICTURES)


def encode(text: str) -> bytes:
    """UTF-8. Invalid bytes of a file name stay as ``\\udcXX``."""
    return text.encode("utf-8", "backslashreplace")
