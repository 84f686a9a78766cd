"""What files that are made of something else have in common: a position that can be set."""

from __future__ import annotations

import io


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
