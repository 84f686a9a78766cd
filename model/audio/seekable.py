"""Files read by position, and files made of something else, whose position can be set."""

from __future__ import annotations

import io
import os
from typing import IO

WHOLE_BYTES = 32 * 1024 * 1024


class Source:
    """A file that is read by position.

    Args:
        file: a path, or a binary file object that can seek, which ``close`` leaves open.

    Attributes:
        size: in bytes.
        is_at_hand: reading it costs no requests over a network.
    """

    def __init__(self, file: str | os.PathLike[str] | IO[bytes]) -> None:
        self.is_at_hand: bool = getattr(file, "is_at_hand", True)
        self._opened: IO[bytes] | None = None
        if isinstance(file, (str, os.PathLike)):
            file = self._opened = open(file, "rb")  # noqa: SIM115
        self._file = file
        self.size = self._file.seek(0, io.SEEK_END)

    def read(self, at: int, n_bytes: int) -> bytes:
        """Bytes from an offset on; fewer only at the end."""
        if (
            at >= self.size
        ):  # a chunk may claim to end at any number, which no file can be asked for
            return b""
        self._file.seek(max(0, at))
        return self._file.read(max(0, n_bytes))

    @property
    def is_small(self) -> bool:
        """Whether all of it is looked at."""
        return self.is_at_hand and self.size <= WHOLE_BYTES

    def close(self) -> None:
        """Closes what this source opened itself."""
        if self._opened:
            self._opened.close()


class SeekableFile(io.RawIOBase):
    """A binary file to read. Who derives from it reads from ``_position`` on, and moves it.

    Args:
        size: in bytes, from which ends are counted.
    """

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self._size, self._position = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position
