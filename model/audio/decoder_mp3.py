"""MP3 through libsndfile, a stretch of the file at a time: a decoder of ``model.audio``."""

from __future__ import annotations

import bisect
import os
from array import array
from collections.abc import Iterable
from dataclasses import replace
from typing import IO

import numpy as np
import soundfile

from model.audio.decoders import MP3_RESTART_S, AudioInfo, DamageError, Guard
from model.audio.mp3 import FrameReader, Mp3Way, count_constant, find_stream, locate
from model.audio.seekable import Source
from model.windows import Samples


class Mp3Decoder:
    """An MP3, of which only the part to decode is read.

    Args:
        source: a path, or a binary file object that can seek.
        info: what libsndfile says of it.
        way: what an earlier look has given; without it the file is looked at.

    Raises:
        LookupError: it has to be decoded in another way.
    """

    restart_s = MP3_RESTART_S

    def __init__(
        self, source: str | os.PathLike[str] | IO[bytes], info: AudioInfo, way: Mp3Way | None = None
    ) -> None:
        self.info = info
        self._file = Source(source)
        self._way = way or self._look(info)
        self._all: array[int] | None = None  # where each frame begins
        self._sound: soundfile.SoundFile | None = None
        self._guard: Guard | None = None
        stream = self._way.stream
        if not way and stream.delay is None:
            # libsndfile has guessed its length from the file's size and the first frame.
            offsets = self._offsets()
            n_frames = count_constant(self._file, stream) if offsets is None else len(offsets)
            self.info = replace(info, frames=n_frames * stream.samples)

    def _offsets(self) -> array[int] | None:
        """Where each frame begins; None where that is known without reading all of the file."""
        stream = self._way.stream
        if self._all is None and not stream.is_constant and not self._way.points:
            self._all = array("q")
            for offsets in FrameReader(self._file, stream, stream.first).frames():
                self._all.extend(offsets)
        return self._all

    def _look(self, info: AudioInfo) -> Mp3Way:
        stream = find_stream(self._file)
        if (
            stream is None
            or (stream.sample_rate_hz, stream.channels) != (info.sample_rate_hz, info.channels)
            or (stream.delay is not None and stream.stated != info.frames)
        ):
            raise LookupError
        return Mp3Way(stream)

    def way_to(self, starts: Iterable[int]) -> Mp3Way:
        """How to begin at these samples later, without this look at the file."""
        offsets = self._offsets()
        if offsets is None:
            return self._way
        frames = (self._way.stream.start_for(self._lead_in(start))[0] for start in starts)
        points = tuple((frame, offsets[frame]) for frame in frames if frame < len(offsets))
        return Mp3Way(self._way.stream, points)

    def _lead_in(self, sample: int) -> int:
        """A second before: what the decoder did before has then no effect any more."""
        return sample - min(sample, self.info.sample_rate_hz)

    def start(self, frame: int) -> None:
        self._end()
        first, position = self._way.stream.start_for(self._lead_in(frame))
        offset = self._where(first)
        if offset >= self._file.size:
            return
        self._guard = Guard(FrameReader(self._file, self._way.stream, offset))
        try:
            self._sound = soundfile.SoundFile(self._guard)
            if (self._sound.samplerate, self._sound.channels) != (
                self.info.sample_rate_hz,
                self.info.channels,
            ):
                raise DamageError
            self._sound.seek(position)
        finally:
            self._guard.raise_error()
        self.read(np.empty((frame - self._lead_in(frame), self.info.channels), np.float32))

    def _where(self, first: int) -> int:
        stream, points = self._way.stream, self._way.points
        offsets = self._offsets()
        if offsets is not None:
            return offsets[first] if first < len(offsets) else self._file.size
        if stream.is_constant:
            return self._checked(stream.expected(first)) if first else stream.first
        before = bisect.bisect(points, first, key=lambda point: point[0]) - 1
        frame, offset = points[before] if before >= 0 else (0, stream.first)
        offset = self._checked(offset)
        for more in FrameReader(self._file, stream, offset).frames() if first > frame else ():
            if first - frame < len(more):
                return more[first - frame]
            frame += len(more)
        return offset if first == frame else self._file.size

    def _checked(self, expected: int) -> int:
        if expected >= self._file.size:
            return self._file.size
        offset = locate(self._file, self._way.stream, expected)
        if not offset:
            raise DamageError
        return offset

    def read(self, frames: Samples) -> int:
        if not self._sound or not self._guard:
            return 0
        try:
            return len(self._sound.read(out=frames))
        finally:
            self._guard.raise_error()

    def close(self) -> None:
        self._end()
        self._file.close()

    def _end(self) -> None:
        if self._sound:
            self._sound.close()
        self._sound = self._guard = None
