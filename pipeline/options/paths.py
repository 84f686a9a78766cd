"""Paths whose bytes are not UTF-8, as text that every table, log and job can hold."""

from __future__ import annotations

import os
import re

_BYTE = re.compile(r"\\+udc([89a-f][0-9a-f])")


def slashed(path: str, separator: str = os.sep) -> str:
    r"""A path of this machine with slashes, which Windows understands as well as its own signs.

    >>> slashed("C:\\cards\\a.wav", "\\")
    'C:/cards/a.wav'
    """
    return path.replace(separator, "/")


def as_text(path: str) -> str:
    r"""A path as text: bytes that are not UTF-8 become ``\udcXX``.

    It then names no file any more: where a file is called so, another backslash stands in front.
    """
    text = plain = path.encode("utf-8", "backslashreplace").decode()
    while text != path and os.path.lexists(text):
        plain = text = re.sub(r"\\(?=\\*udc[89a-f][0-9a-f])", r"\\\\", plain, count=1)
    return text


def as_path(text: str) -> str:
    r"""The path that a text from ``as_text`` stands for; any other text is the path itself.

    >>> as_path(r"caf\udce9.mp3") == "caf\udce9.mp3"
    True
    """
    if r"\udc" not in text or os.path.lexists(text):
        return text
    return _BYTE.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), text)


def is_text(path: str) -> bool:
    """Whether all bytes of a path are UTF-8."""
    return path == path.encode("utf-8", "backslashreplace").decode()
