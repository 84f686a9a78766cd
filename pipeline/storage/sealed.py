"""Small files of JSON that show whether they are as they were written.

Each line is a digest and its text. A file that a run can make anew holds one line. What a person
said, or nothing could tell again, stands there twice, so that damage in one place heals.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from pipeline.storage import files


class DamagedError(ValueError):
    """A file is not as it was written: which, and what follows."""


def seal(value: Any, copies: int = 1) -> bytes:
    """A value of JSON as the content of a file.

    >>> unseal(seal({"a": 1}))
    {'a': 1}
    """
    text = json.dumps(value).encode()  # ASCII, in one line
    return copies * (
        fingerprint(text).encode() + b" " + text + b"\n\n"
    )  # no bit makes two copies one line


def unseal(content: bytes) -> Any:
    """The value of a file, also of one that an earlier version wrote as plain JSON.

    Raises:
        DamagedError: no copy is as it was written.
    """
    for line in content.split(b"\n"):
        written, _, text = line.partition(b" ")
        if written == fingerprint(text).encode():
            return json.loads(text)
    if content[:1] not in (b"{", b"["):  # a digest begins with neither, whichever bit is wrong
        raise DamagedError("is damaged")
    try:
        return json.loads(content)
    except ValueError:
        raise DamagedError("is damaged") from None


def with_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """A value of JSON that people and programs read, with a checksum of its own in it.

    >>> without_checksum(with_checksum({"a": 1}))
    {'a': 1}
    """
    plain = json.loads(json.dumps(value, default=str))
    return {**plain, "checksum": files.checksum([json.dumps(plain).encode()])}


def without_checksum(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value itself, also of an earlier version without a checksum.

    Raises:
        DamagedError: it is not as it was written.
    """
    plain = {key: of for key, of in value.items() if key != "checksum"}
    written = value.get("checksum")
    if written and written != files.checksum([json.dumps(plain).encode()]):
        raise DamagedError("is damaged")
    return plain


def write_sealed(name: str, value: Any, copies: int = 1) -> None:
    """Writes a value of JSON, whole as soon as it can be seen."""
    files.write_atomically(name, [seal(value, copies)])


def read_sealed(name: str) -> Any:
    """Reads what ``write_sealed`` wrote.

    Raises:
        FileNotFoundError: it is not there.
        DamagedError: no copy is as it was written.
    """
    try:
        return unseal(files.read_bytes(name))
    except DamagedError:
        raise DamagedError(f"{name}: is damaged") from None


def read_if_whole(name: str) -> Any:
    """Reads a file that a run can make anew; None where it is not there, or damaged."""
    try:
        return read_sealed(name)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        logging.getLogger(__name__).warning("%s; it is made again", error)
        return None


def fingerprint(content: bytes) -> str:
    """A name for a content, by which damage shows: files that never change bear it in theirs."""
    return hashlib.sha256(content).hexdigest()[:16]
