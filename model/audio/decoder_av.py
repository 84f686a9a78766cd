"""M4A and AAC through PyAV (FFmpeg), which users install as an extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import av
import numpy as np

from model.audio.decoders import AudioInfo, skip_frames
from model.windows import Samples


class AvDecoder:
    """The first audio stream of a file.

    AAC decoders carry state (noise substitution among it) from frame to frame, so decoding from
    the middle gives other samples than decoding from the start. Decoding therefore always starts
    at the start: slow for long files in many segments, but the same samples always.

    Raises:
        ValueError: no file, no audio stream, or an unknown format.
    """

    restart_s = float("inf")

    def __init__(self, source: str | os.PathLike[str] | IO[bytes]) -> None:
        self._source = source
        self._open()
        stream = self._container.streams.audio[0]
        if stream.codec_context is None:
            raise ValueError("its sound is encoded in a way that is not known")
        if stream.duration is None or stream.time_base is None:
            raise ValueError("its length is not stated")
        self.info = AudioInfo(
            sample_rate_hz=stream.rate,
            channels=stream.layout.nb_channels,
            frames=round(stream.duration * stream.time_base * stream.rate),
            absent_frames=0,
            encoding=f"{self._container.format.name.split(',')[0].upper()} {stream.name.upper()}",
        )

    def _open(self) -> None:
        if not isinstance(self._source, (str, os.PathLike)):
            self._source.seek(0)
        try:
            self._container = av.open(self._source)
        except av.FFmpegError as error:  # of a dozen kinds, not all of them OSError or ValueError
            raise ValueError(str(error)) from None
        if not self._container.streams.audio:
            raise ValueError("it holds no audio stream")
        self._frames = self._decode()
        self._left: Samples | None = None

    def _decode(self) -> Iterator[Samples]:
        planar = av.AudioResampler(format="fltp")  # float, one row a channel; the rate is kept
        with suppress(av.FFmpegError):  # what follows is damaged: the audio ends there
            for frame in self._container.decode(audio=0):
                for converted in planar.resample(frame):
                    yield np.ascontiguousarray(converted.to_ndarray().T, dtype=np.float32)

    def start(self, frame: int) -> None:
        self.close()
        self._open()
        skip_frames(self, frame)

    def read(self, frames: Samples) -> int:
        done = 0
        while done < len(frames):
            piece = self._left if self._left is not None else next(self._frames, None)
            if piece is None:
                break
            taken = piece[: len(frames) - done]
            frames[done : done + len(taken)] = taken
            self._left = piece[len(taken) :] if len(piece) > len(taken) else None
            done += len(taken)
        return done

    def close(self) -> None:
        self._container.close()
