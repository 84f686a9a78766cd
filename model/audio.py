"""Any recording as mono float32 audio at 16 kHz, in pieces, the same however it is cut.

A resampler's output near a cut depends on what lies beyond it, so decoding a recording in segments
would not give what decoding it whole gives. Here the recording is always resampled in blocks of
``BLOCK_S`` on one fixed grid, each with a margin of real audio on both sides. A segment is made of
the blocks it touches: any segmentation gives the same samples, bit for bit, and only a few blocks
are in memory at a time. Against one undivided resampling the difference is 3e-7 at most.

Training and serving both read audio through this module, and nothing else does.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from model.windows import SAMPLE_RATE_HZ

AUDIO_EXTENSIONS = frozenset(
    [
        ".wav",
        ".wave",
        ".w64",
        ".rf64",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".caf",
        ".au",
        ".m4a",
        ".mp4",
        ".aac",
    ]
)
"""What a folder is searched for, in lower case. A file named outright is tried whatever it is."""

BLOCK_S = 10
_MARGIN_S = 0.05  # longer than the impulse response of soxr's HQ filter at every usual rate
_PIECE_FRAMES = 1152  # an MP3 frame; FLAC and WAV have no preference

Samples = npt.NDArray[np.float32]


class AudioError(Exception):
    """A recording that cannot be heard. The message names the file and what to do."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        sample_rate_hz, channels: as recorded.
        frames: samples per channel that the file should hold, as recorded.
        absent_frames: those of ``frames`` known at once to lie past the end of a cut-off file.
        encoding: for example ``WAV PCM_16``.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    absent_frames: int
    encoding: str

    @property
    def n_samples(self) -> int:
        """Length at 16 kHz: how many 16 kHz sampling instants lie within the recording."""
        return -(-self.frames * SAMPLE_RATE_HZ // self.sample_rate_hz)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording.

    Attributes:
        samples: mono audio at 16 kHz, float32 ``[n]``; zero where nothing could be decoded.
        missing: stretches that could not be decoded, as (first, end) indices into ``samples``,
            in order and apart.
    """

    samples: Samples
    missing: tuple[tuple[int, int], ...]


class _Decoder(Protocol):
    """One open file. ``read`` returns fewer frames than asked only at the end of the audio."""

    info: AudioInfo

    def seek(self, frame: int) -> None: ...
    def read(self, n_frames: int) -> Samples: ...  # float32 [n, channels]
    def close(self) -> None: ...


class Recording:
    """An open recording. Use it in a ``with`` statement.

    Args:
        source: a path, or a binary file object that can seek (it stays open).
        name: what to call the recording in messages; by default the path.

    Raises:
        AudioError: the file is absent, empty, of an unknown format or damaged beyond opening.
    """

    def __init__(self, source: str | os.PathLike[str] | IO[bytes], name: str = "") -> None:
        self.name = name or str(getattr(source, "name", source))
        self._decoder = _open(source, self.name)
        self.info = self._decoder.info
        self._position = 0

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._decoder.close()

    def read(self, start: int, n_samples: int) -> Segment:
        """Audio from sample ``start`` on, at 16 kHz.

        What lies past the end of the recording is returned as missing.
        """
        if start < 0 or n_samples < 0:
            raise ValueError(f"start {start} and n_samples {n_samples} must be 0 or more")
        samples = np.zeros(n_samples, dtype=np.float32)
        missing: list[tuple[int, int]] = []
        block_samples = BLOCK_S * SAMPLE_RATE_HZ
        first, last = start // block_samples, -(-(start + n_samples) // block_samples)
        for index, (block, heard) in enumerate(self._blocks(first, last), first):
            offset = index * block_samples - start
            begin, end = max(offset, 0), min(offset + block_samples, n_samples)
            samples[begin:end] = block[begin - offset : end - offset]
            gap = max(begin, offset + heard)
            if gap >= end:
                continue
            if missing and missing[-1][1] == gap:
                gap = missing.pop()[0]
            missing.append((gap, end))
        return Segment(samples, tuple(missing))

    def _blocks(self, first: int, last: int) -> Iterator[tuple[Samples, int]]:
        """Blocks first … last-1 of the grid: 16 kHz audio and how many samples of it were heard.

        In each block decoding stops at the first error; the next block is tried afresh.
        """
        rate = self.info.sample_rate_hz
        step = rate // math.gcd(rate, SAMPLE_RATE_HZ)  # frames after which both clocks coincide
        margin = step * math.ceil(_MARGIN_S * rate / step)
        skip = margin * SAMPLE_RATE_HZ // rate
        block_frames, block_samples = BLOCK_S * rate, BLOCK_S * SAMPLE_RATE_HZ
        before, _ = self._mono(first * block_frames - margin, margin)
        current, heard = self._mono(first * block_frames, block_frames)
        for index in range(first, last):
            wanted = block_frames if index + 1 < last else margin
            following, heard_next = self._mono((index + 1) * block_frames, wanted)
            stretch = np.concatenate((before, current, following[:margin]))
            block = soxr.resample(stretch, rate, SAMPLE_RATE_HZ)[skip : skip + block_samples]
            yield block, -(-heard * SAMPLE_RATE_HZ // rate)
            before, current, heard = current[block_frames - margin :], following, heard_next

    def _mono(self, first: int, n_frames: int) -> tuple[Samples, int]:
        """Mean of the channels of frames first … first + n, zero where nothing can be decoded.

        Also how many frames were decoded before the first error.
        """
        mono = np.zeros(n_frames, dtype=np.float32)
        lead = min(max(0, -first), n_frames)
        wanted = min(n_frames - lead, max(0, self.info.frames - max(first, 0)))
        if wanted <= 0:
            return mono, 0
        try:
            frames = self._read_at(max(first, 0), wanted)
        except soundfile.LibsndfileError:
            frames = self._read_until_error(max(first, 0), wanted)
        if not np.isfinite(frames).all():
            raise AudioError(
                f"{self.name}: holds samples that are not numbers (NaN or infinite); "
                "write the file again from its source"
            )
        total = frames[:, 0].copy()  # a sum by columns: numpy's mean over rows is 20 times slower
        for channel in range(1, self.info.channels):
            total += frames[:, channel]
        mono[lead : lead + len(frames)] = total / np.float32(self.info.channels)
        return mono, len(frames)

    def _read_at(self, frame: int, n_frames: int) -> Samples:
        if frame != self._position:
            self._position = -1  # unknown until the seek has worked
            self._decoder.seek(frame)
        self._position = -1
        frames = self._decoder.read(n_frames)
        self._position = frame + len(frames)
        return frames

    def _read_until_error(self, frame: int, n_frames: int) -> Samples:
        """What can be decoded before the error: libsndfile returns nothing of a failed read."""
        pieces = [np.zeros((0, self.info.channels), dtype=np.float32)]
        self._position = -1
        done = 0
        try:
            while done < n_frames:
                piece = self._read_at(frame + done, min(_PIECE_FRAMES, n_frames - done))
                if not len(piece):
                    break
                pieces.append(piece)
                done += len(piece)
        except soundfile.LibsndfileError:
            self._position = -1
        return np.concatenate(pieces)


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


def _open(source: str | os.PathLike[str] | IO[bytes], name: str) -> _Decoder:
    extension = PurePath(name).suffix.lower()
    try:
        return _SndfileDecoder(source, name)
    except soundfile.LibsndfileError as error:
        if _size(source, name) == 0:
            raise AudioError(f"{name}: is empty (0 bytes); copy it again from its source") from None
        if extension in {".m4a", ".mp4", ".aac"}:
            return _open_with_av(source, name)
        reason = error.error_string.rstrip(".")
        raise AudioError(
            f"{name}: cannot be opened as audio ({reason}); "
            "check that it plays, or copy it again from its source"
        ) from None


def _size(source: str | os.PathLike[str] | IO[bytes], name: str) -> int:
    if isinstance(source, (str, os.PathLike)):
        try:
            return os.path.getsize(source)
        except OSError as error:
            raise AudioError(f"{name}: {error.strerror or error}") from None
    return source.seek(0, io.SEEK_END)


class _SndfileDecoder:
    """WAV, W64, RF64, FLAC, OGG, Opus, MP3, AIFF … by libsndfile."""

    def __init__(self, source: str | os.PathLike[str] | IO[bytes], name: str) -> None:
        self._guard = None if isinstance(source, (str, os.PathLike)) else _Guard(source)
        try:
            self._file = soundfile.SoundFile(self._guard or source)
        except soundfile.LibsndfileError:
            self._raise_read_error()
            raise
        self._raise_read_error()
        file = self._file
        present = file.frames
        absent = _absent_frames(file)
        self.info = AudioInfo(
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            frames=present + absent,
            absent_frames=absent,
            encoding=f"{file.format} {file.subtype}",
        )
        self._present = present
        self._past_end = False

    def seek(self, frame: int) -> None:
        # Seeking past the end is an error to libsndfile; to us the audio just ends there.
        self._file.seek(min(frame, self._present))
        self._past_end = frame > self._present
        self._raise_read_error()

    def read(self, n_frames: int) -> Samples:
        if self._past_end:
            return np.zeros((0, self.info.channels), dtype=np.float32)
        frames: Samples = self._file.read(n_frames, dtype="float32", always_2d=True)
        self._raise_read_error()
        return frames

    def close(self) -> None:
        self._file.close()

    def _raise_read_error(self) -> None:
        if self._guard is not None and self._guard.error is not None:
            raise self._guard.error


class _Guard:
    """A file object for libsndfile that remembers what went wrong.

    libsndfile calls back from C, where an exception is printed and then taken for the end of the
    file: a broken connection would look like a short recording.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: Exception | None = None

    def _try(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:
            self.error = self.error or error
            return None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._try(self._file.seek, offset, whence) or 0

    def tell(self) -> int:
        return self._try(self._file.tell) or 0

    def read(self, n_bytes: int = -1) -> bytes:
        return self._try(self._file.read, n_bytes) or b""

    def write(self, data: bytes) -> int:
        raise io.UnsupportedOperation("recordings are only read")


_SIZE_LINE = re.compile(r"^\s*(?:data|SSND|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_RF64_LINE = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")
_PLACEHOLDER_BYTES = 0x7FFF_F000  # recorders that stream write "unknown" as a size near 2 or 4 GiB
_SAMPLE_BYTES = {
    "PCM_U8": 1,
    "PCM_S8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}


def _absent_frames(file: soundfile.SoundFile) -> int:
    """Frames that a cut-off file's header promises beyond the file's end.

    libsndfile quietly shortens such a recording to what is there; only its log tells.
    """
    log = file.extra_info
    if match := _RF64_LINE.search(log):
        return max(0, int(match[2]) - int(match[1]))
    frame_bytes = _SAMPLE_BYTES.get(file.subtype, 1) * int(file.channels)
    absent = 0
    for declared, found in _SIZE_LINE.findall(log):
        if int(found) < int(declared) < _PLACEHOLDER_BYTES:
            absent = -(-(int(declared) - int(found)) // frame_bytes)
    return absent


def _open_with_av(source: str | os.PathLike[str] | IO[bytes], name: str) -> _Decoder:
    try:
        from model.audio_av import AvDecoder
    except ImportError:
        raise AudioError(f"{name}: AAC needs one more package: pip install av") from None
    try:
        return AvDecoder(source)
    except (OSError, ValueError) as error:
        raise AudioError(
            f"{name}: cannot be opened as audio ({error}); check that it plays"
        ) from None
