"""Any recording as mono float32 audio at 16 kHz, in pieces, the same however it is cut.

A resampler's output near a cut depends on what lies beyond it, so decoding a recording in segments
would not give what decoding it whole gives. Here the recording is always resampled in blocks of
``BLOCK_S`` on one fixed grid, each with a margin of real audio on both sides. A segment is made of
the blocks it touches: any segmentation gives the same samples, bit for bit, and only a few blocks
are in memory at a time. Against one undivided resampling the difference is 3e-7 at most.

Training and serving both read audio through this module, and nothing else does.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import numpy as np
import soundfile
import soxr

from model.audio.channels import BEST, MIX, hearing_of
from model.audio.decoder_mp3 import Mp3Decoder
from model.audio.decoders import PIECE_FRAMES, AudioError, AudioInfo, DamageError, Decoder
from model.audio.mp3 import Mp3Way
from model.audio.opening import open_decoder
from model.audio.quality import NOTHING, Quality, measure, total
from model.windows import SAMPLE_RATE_HZ, Samples

AUDIO_EXTENSIONS = frozenset(
    (
        *(".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".aif", ".aiff", ".aifc", ".caf", ".au", ".m4a", ".mp4", ".aac"),
    )
)
"""What a folder is searched for, in lower case. A file named outright is tried whatever it is."""

BLOCK_S = 10
LOUDEST = 1e6
"""Times full scale. Floating-point samples beyond it are damage, and overflow what is computed."""
_RECENT_BLOCKS = 4
"""Blocks kept at hand: segments that follow each other overlap, and a stream cannot go back."""
_MARGIN_S = 0.05  # longer than the impulse response of soxr's HQ filter at every usual rate


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording.

    Attributes:
        samples: mono audio at 16 kHz, float32 ``[n]``; zero where nothing could be decoded.
        missing: stretches that could not be decoded, as (first, end) indices into ``samples``,
            in order and apart.
        quality: of the blocks that start in the part asked to be measured, as recorded.
    """

    samples: Samples
    missing: tuple[tuple[int, int], ...]
    quality: Quality = NOTHING


class Recording:
    """An open recording. Use it in a ``with`` statement.

    Args:
        source: a path, or a binary file object that can seek (it stays open).
        name: what to call the recording in messages; by default the path.
        look: ``info`` of an earlier look at the file. It spares walking a file whose header says
            what it holds, and counting frames where the header leaves the length open.
        way: ``way`` of that look: the header of the MP3 is then not read again.
        channel: which channels to hear: ``mix``, ``best`` or a number, see ``channels``.

    Raises:
        AudioError: the file is absent, empty, of an unknown format or damaged beyond opening, or
            has no such channel.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | IO[bytes],
        name: str = "",
        look: AudioInfo | None = None,
        way: Mp3Way | None = None,
        channel: str = MIX,
    ) -> None:
        is_path = isinstance(source, (str, os.PathLike))
        self.name = name or str(source if is_path else getattr(source, "name", source))
        if look and way:
            self._decoder: Decoder = Mp3Decoder(source, look, way)
            self.info = look
        else:
            self._decoder, self.info = open_decoder(source, self.name, look)
        self._channel = channel
        if channel not in (MIX, BEST) and int(channel) > self.info.channels:
            self._decoder.close()
            raise AudioError(
                f"{self.name}: has no channel {channel}, only {self.info.channels}; "
                "count it with another --channel"
            )
        self._next_block = -1  # the block that the decoder can go on with
        self._overlap = np.zeros((0, self.info.channels), dtype=np.float32)  # its first frames
        self._recent: dict[int, tuple[Samples, int, Quality]] = {}

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoder.close()

    def read(self, start: int, n_samples: int, measured: range = range(0)) -> Segment:
        """Audio from sample ``start`` on, at 16 kHz.

        What lies past the end of the recording is returned as missing. The quality is that of the
        blocks that start among the samples ``measured``, so that segments which share out a
        recording measure each block once.
        """
        if start < 0 or n_samples < 0:
            raise ValueError(f"start {start} and n_samples {n_samples} must be 0 or more")
        samples = np.zeros(n_samples, dtype=np.float32)
        missing: list[tuple[int, int]] = []
        qualities = [NOTHING]
        block_samples = BLOCK_S * SAMPLE_RATE_HZ
        for index in range(start // block_samples, -(-(start + n_samples) // block_samples)):
            if index not in self._recent:
                self._recent[index] = self._block(index)
            block, n_decoded, quality = self._recent[index]
            if len(self._recent) > _RECENT_BLOCKS:
                del self._recent[next(iter(self._recent))]
            offset = index * block_samples - start
            if offset in measured:
                qualities.append(quality)
            begin, end = max(offset, 0), min(offset + block_samples, n_samples)
            samples[begin:end] = block[begin - offset : end - offset]
            gap = max(begin, offset + n_decoded)
            if gap >= end:
                continue
            if missing and missing[-1][1] == gap:
                gap = missing.pop()[0]
            missing.append((gap, end))
        return Segment(samples, tuple(missing), total(qualities))

    def way(self) -> Mp3Way | None:
        """How to begin an MP3 at each minute without reading what is before it."""
        if not isinstance(self._decoder, Mp3Decoder):
            return None
        blocks = int(self._decoder.restart_s // BLOCK_S)
        n_blocks = -(-self.info.frames // (BLOCK_S * self.info.sample_rate_hz))
        starts = (self._start(index) for index in range(0, n_blocks, blocks))
        return self._decoder.way_to(starts)

    def _start(self, index: int) -> int:
        """The first frame of a block with its margin."""
        lead, block_frames, _ = self._stretch(index)
        return index * block_frames - lead

    def _block(self, index: int) -> tuple[Samples, int, Quality]:
        """A block of the grid at 16 kHz, how many samples of it were decoded, and their quality.

        A function of the file and the index alone. Decoding stops at the first error in it; the
        rest of the block is zero.
        """
        frames = self._decode(index)
        loudest = max(frames.max(), -frames.min()) if len(frames) else 0.0
        if not loudest <= LOUDEST:
            raise AudioError(
                f"{self.name}: holds samples that are not numbers (NaN or infinite) or lie far "
                "above full scale; write the file again from its source"
            )
        rate = self.info.sample_rate_hz
        lead, block_frames, margin = self._stretch(index)
        hearing = hearing_of(frames, rate, self._channel)
        mono = _mono(frames, lead + block_frames + margin, hearing.channel)
        skip = lead * SAMPLE_RATE_HZ // rate
        block = soxr.resample(mono, rate, SAMPLE_RATE_HZ)[skip:][: BLOCK_S * SAMPLE_RATE_HZ]
        decoded_frames = min(max(0, len(frames) - lead), block_frames)
        own = slice(lead, lead + decoded_frames)
        judged = frames[own]
        if self._channel not in (MIX, BEST) and hearing.channel is not None:
            judged = judged[:, hearing.channel : hearing.channel + 1]
        quality = measure(judged, mono[own], rate, loudest, hearing)
        return block, -(-decoded_frames * SAMPLE_RATE_HZ // rate), quality

    def _stretch(self, index: int) -> tuple[int, int, int]:
        """Frames of a block as recorded: the margin before it, the block, the margin after it."""
        rate = self.info.sample_rate_hz
        step = rate // math.gcd(rate, SAMPLE_RATE_HZ)  # frames after which both clocks coincide
        margin = step * math.ceil(_MARGIN_S * rate / step)
        return margin if index else 0, BLOCK_S * rate, margin

    def _decode(self, index: int) -> Samples:
        """The frames of a block with its margins ``[n, channels]``, or those before an error.

        The same reads lead there whoever asks: mpg123's samples depend on how it was read before.
        """
        blocks = max(1, int(min(self._decoder.restart_s, 1e6) // BLOCK_S))
        anchor = index - index % blocks
        resumed = index == self._next_block and index != anchor
        first = index if resumed else anchor
        self._next_block = -1  # until all has gone well
        for block in range(first, index + 1):
            lead, block_frames, margin = self._stretch(block)
            start = self._start(block)
            n_frames = min(lead + block_frames + margin, max(0, self.info.frames - start))
            frames = np.empty((n_frames, self.info.channels), np.float32)
            kept = 0 if block == anchor else len(self._overlap)
            frames[:kept] = self._overlap[:kept]
            try:
                if block == anchor:
                    self._decoder.start(start)
                frames = frames[: kept + self._decoder.read(frames[kept:])]
            except (soundfile.LibsndfileError, DamageError):
                return self._decode_until_error(start, frames) if block == index else frames[:0]
            self._overlap = frames[block_frames + lead - margin :]
        self._next_block = index + 1
        return frames

    def _decode_until_error(self, start: int, frames: Samples) -> Samples:
        """What comes before an error: libsndfile returns nothing of a failed read."""
        done = 0
        with suppress(soundfile.LibsndfileError, DamageError):
            self._decoder.start(start)
            while n := self._decoder.read(frames[done : done + PIECE_FRAMES]):
                done += n
        return frames[:done]


def _mono(frames: Samples, n_frames: int, which: int | None) -> Samples:
    """The mean of the channels, or one; zero beyond their end. It may be the one channel itself."""
    n, channels = frames.shape
    if channels == 1 and n == n_frames:
        return frames[:, 0]
    mono = np.zeros(n_frames, dtype=np.float32)
    own = mono[:n]  # numpy's mean over rows is 20 times slower
    if which is not None:
        own[:] = frames[:, which]
        return mono
    np.add(frames[:, 0], frames[:, 1] if channels > 1 else 0, out=own)
    for channel in frames.T[2:]:
        own += channel
    own /= np.float32(channels)
    return mono


def read_all(source: str | os.PathLike[str] | IO[bytes]) -> Samples:
    """A whole recording as mono float32 ``[n]`` at 16 kHz.

    Raises:
        AudioError: it cannot be opened, holds no audio, or ends before its header says.
    """
    with Recording(source) as recording:
        segment = recording.read(0, recording.info.n_samples)
        if not recording.info.frames:
            raise AudioError(f"{recording.name}: holds no audio")
        if segment.missing or recording.info.absent_frames:
            raise AudioError(
                f"{recording.name}: is cut off or damaged; copy it again from its source"
            )
        return segment.samples


def probe(source: str | os.PathLike[str] | IO[bytes], name: str = "") -> AudioInfo:
    """What the header says, without decoding. Raises like ``Recording``."""
    with Recording(source, name) as recording:
        return recording.info
