"""Several recordings in one file, one after the other: a decoder of ``model.audio``."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence

from model.audio.decoders import AudioInfo, DamageError, Decoder
from model.windows import Samples


class JoinedDecoder:
    """Decoders of the recordings, as one recording.

    A recording that ends before its header says leaves a gap: what follows stays in its place
    wherever decoding begins.

    Args:
        decoders: at least one; all have the same rate and channels.
        info: of all together.
        close: what else is to be done at the end.
    """

    def __init__(
        self, decoders: Sequence[Decoder], info: AudioInfo, close: Callable[[], None]
    ) -> None:
        self.info = info
        self.restart_s = max(decoder.restart_s for decoder in decoders)
        self._decoders = decoders
        self._firsts = [0, *itertools.accumulate(_frames(decoder) for decoder in decoders)]
        self._at, self._close = 0, close

    def start(self, frame: int) -> None:
        self._at = min(frame, self._firsts[-1])
        number = self._number()
        if number < len(self._decoders):
            self._decoders[number].start(self._at - self._firsts[number])

    def _number(self) -> int:
        """Which recording holds the next frame."""
        return bisect.bisect(self._firsts, self._at) - 1

    def read(self, frames: Samples) -> int:
        done = 0
        while done < len(frames) and (number := self._number()) < len(self._decoders):
            left = self._firsts[number + 1] - self._at
            rest = frames[done : done + left]
            if self._at == self._firsts[number]:
                self._decoders[number].start(0)
            n = self._decoders[number].read(rest)
            self._at += n
            done += n
            if n < len(rest):
                if number == len(self._decoders) - 1:
                    break
                if done:
                    return done  # what is missing is met by the next read
                raise DamageError
        return done

    def close(self) -> None:
        for decoder in self._decoders:
            decoder.close()
        self._close()


def _frames(decoder: Decoder) -> int:
    return decoder.info.frames - decoder.info.absent_frames
