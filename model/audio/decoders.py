"""Audio files through libsndfile, and what every decoder offers."""

from __future__ import annotations

import io
import os
import re
import stat
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
import soundfile

from model.audio.channels import MOST_CHANNELS
from model.audio.system import O_BINARY
from model.windows import SAMPLE_RATE_HZ, Samples

MP3_RESTART_S = 60.0
_RF64_LINE = re.compile(r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)")

_SEEKABLE = frozenset(soundfile.available_formats()) - {"MP3"}

_STREAMED = frozenset(("GSM610", "G721_32", "G723_24", "G723_40"))
"""Codecs in which libsndfile cannot seek, though it says so of some."""

SLOWEST_HZ, FASTEST_HZ = 1_000, 1_000_000
MOST_SAMPLES_A_SECOND = 4_000_000  # 64 channels at 62.5 kHz, 8 at 500 kHz
MOST_FRAMES_A_BYTE = 10_000
"""FLAC writes up to 65,535 samples of silence in 11 bytes; no other format gets further."""
USUAL_FRAMES_A_BYTE = 100
"""A header that says more is believed only after counting: pure silence can be so short."""
UNKNOWN_FRAMES = 0x7FFF_FFFF_FFFF_FFFF
"""What libsndfile says of a stream whose header leaves the length open."""
_INT16_STEP = np.float32(2**-15)
_GUARD_BYTES = 4096  # read past what is needed, at most
PIECE_FRAMES = 1152  # an MP3 frame; FLAC and WAV have no preference


class AudioError(Exception):
    """A recording that cannot be heard. The message names the file and what to do."""


class DamageError(Exception):
    """Audio that cannot be decoded from here on."""


class DecoderMissingError(AudioError):
    """A recording that could be heard on a machine with one more package."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        sample_rate_hz, channels: as recorded.
        frames: samples per channel that the file should hold, as recorded.
        absent_frames: those of ``frames`` known at once to lie past the end of a cut-off file.
        encoding: for example ``WAV PCM_16``.
        unaccounted_bytes: of the file, that hold neither sound nor tags nor chunks.
        remarks: how the file differs from what its header says, see ``model.audio.layout``.
        is_plain: a decoder that gets the file as it is hears all of it.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    absent_frames: int
    encoding: str
    unaccounted_bytes: int = 0
    remarks: str = ""
    is_plain: bool = True

    @property
    def n_samples(self) -> int:
        """Length at 16 kHz: how many 16 kHz sampling instants lie within the recording."""
        return -(-self.frames * SAMPLE_RATE_HZ // self.sample_rate_hz)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


def begins_anywhere(encoding: str) -> bool:
    """Whether decoding may begin anywhere in a file without reading what is before it."""
    container, _, codec = encoding.partition(" ")
    return container in _SEEKABLE and codec not in _STREAMED


class Decoder(Protocol):
    """One open file.

    Attributes:
        restart_s: decoding may start afresh at multiples of this, in whole blocks. A codec whose
            frames depend on the ones before gives slightly other samples from another start, so
            where it starts must not depend on who asks.
    """

    info: AudioInfo
    restart_s: float

    def start(self, frame: int) -> None:
        """Goes to a frame, into a state that depends on that frame alone."""

    def read(self, frames: Samples) -> int:
        """Fills ``[n, channels]`` with the next frames. How many; fewer only at the audio's end."""

    def close(self) -> None:
        """Closes what this decoder opened itself."""


def skip_frames(decoder: Decoder, n_frames: int) -> None:
    """Decodes so many frames, for what comes after them."""
    passed = np.empty((min(n_frames, 1 << 18), decoder.info.channels), np.float32)
    while n_frames > 0 and (n := decoder.read(passed[:n_frames])):
        n_frames -= n


def size_of(source: str | os.PathLike[str] | IO[bytes], name: str) -> int:
    """Bytes in a file or a file object.

    Raises:
        AudioError: there is no such file, or it is a folder, a pipe or a device.
    """
    if isinstance(source, (str, os.PathLike)):
        try:
            status = os.stat(source)
        except OSError as error:
            raise AudioError(f"{name}: {error.strerror or error}") from None
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{name}: is no regular file; give a file that holds a recording")
        return status.st_size
    return source.seek(0, io.SEEK_END)


def check_header(info: AudioInfo, size_bytes: int, name: str) -> None:
    """Refuses a header that cannot be true: what follows allocates memory and plans work by it.

    Raises:
        AudioError: saying what cannot be.
    """
    if not SLOWEST_HZ <= info.sample_rate_hz <= FASTEST_HZ:
        problem = f"a sample rate of {info.sample_rate_hz} Hz"
    elif not 1 <= info.channels <= MOST_CHANNELS:
        problem = f"{info.channels} channels"
    elif info.sample_rate_hz * info.channels > MOST_SAMPLES_A_SECOND:
        problem = f"{info.channels} channels at {info.sample_rate_hz} Hz"
    elif size_bytes * MOST_FRAMES_A_BYTE < info.frames < UNKNOWN_FRAMES:
        problem = f"{info.duration_s:.0f} s of audio in {size_bytes} bytes"
    else:
        return
    raise AudioError(
        f"{name}: its header states {problem}, which cannot be; copy it again from its source"
    )


class SndfileDecoder:
    """WAV, W64, RF64, FLAC, OGG, Opus, MP3, AIFF … by libsndfile."""

    def __init__(self, source: str | os.PathLike[str] | IO[bytes], name: str) -> None:
        self._source = source if isinstance(source, (str, os.PathLike)) else Guard(source)
        self._open()
        file = self._file
        absent = _absent_frames(file)
        self._present = file.frames
        self.info = AudioInfo(
            sample_rate_hz=file.samplerate,
            channels=file.channels,
            frames=file.frames + absent,
            absent_frames=absent,
            encoding=f"{file.format} {file.subtype}",
        )
        self._ints = file.subtype == "PCM_16"
        self.is_mp3 = file.subtype.startswith("MPEG")
        self._is_streamed = file.subtype in _STREAMED
        self.restart_s = float("inf") if self.is_mp3 or self._is_streamed else 0.0
        self._past_end = False
        self._has_failed = False  # libFLAC does not decode again after an error

    def _open(self) -> None:
        if isinstance(self._source, Guard):
            self._source.seek(0)
        try:
            self._file = _sound_file(self._source)
        finally:
            self._raise_read_error()

    def start(self, frame: int) -> None:
        # Seeking past the end is an error to libsndfile; to us the audio just ends there.
        self._past_end = frame > self._present
        lead = min(frame, self.info.sample_rate_hz) if self.is_mp3 else 0
        if self.is_mp3 or self._is_streamed or self._has_failed:
            self._file.close()
            self._open()
        if self._is_streamed:
            skip_frames(self, frame)
            return
        self._file.seek(min(frame - lead, self._present))
        self.read(np.empty((lead, self.info.channels), np.float32))

    def read(self, frames: Samples) -> int:
        if self._past_end:
            return 0
        try:
            if not self._ints:
                return len(self._file.read(out=frames))
            # NumPy makes the same numbers of a WAV's integers, and quicker than libsndfile.
            ints = self._file.read(out=np.empty(frames.shape, np.int16))
            np.multiply(ints, _INT16_STEP, out=frames[: len(ints)])
            return len(ints)
        except soundfile.LibsndfileError:
            self._has_failed = True
            raise
        finally:
            self._raise_read_error()

    def close(self) -> None:
        self._file.close()

    def _raise_read_error(self) -> None:
        if isinstance(self._source, Guard):
            self._source.raise_error()


class Guard(io.BufferedReader):
    """A file object for libsndfile that remembers what went wrong.

    libsndfile calls back from C, where an exception is printed and then taken for the end of the
    file: a broken connection would look like a short recording. mpg123 asks for some 90 bytes at a
    time, so they are handed out from a buffer, without a line of Python.
    """

    def __init__(self, file: IO[bytes] | io.RawIOBase) -> None:
        self._remembering = _Remembering(file)
        super().__init__(self._remembering, _GUARD_BYTES)

    def raise_error(self) -> None:
        """Raises the first error, if there was one."""
        if self._remembering.error is not None:
            raise self._remembering.error


class _Remembering(io.RawIOBase):
    """A file that goes on as if it had ended where reading it fails. It does not close it."""

    def __init__(self, file: IO[bytes] | io.RawIOBase) -> None:
        super().__init__()
        self._file = file
        self.error: Exception | None = None

    def _try(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:
            self.error = self.error or error
            return None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._try(self._file.seek, offset, whence) or 0

    def tell(self) -> int:
        return self._try(self._file.tell) or 0

    def readinto(self, buffer: Any) -> int:
        content = self._try(self._file.read, len(buffer)) or b""
        buffer[: len(content)] = content
        return len(content)


_SIZE_LINE = re.compile(r"^\s*(?:data|SSND|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_BLOCK_LINE = re.compile(r"^ *Block Align +: (\d+)$", re.MULTILINE)
_BLOCK_FRAMES_LINE = re.compile(r"^ *Samples/Block +: (\d+)$", re.MULTILINE)
_PLACEHOLDER_BYTES = 0x7FFF_F000  # recorders that stream write "unknown" as a size near 2 or 4 GiB
_SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_SAMPLE_BYTES |= dict.fromkeys(("PCM_S8", "PCM_U8", "ULAW", "ALAW"), 1)


def _sound_file(source: Any) -> soundfile.SoundFile:
    """Opens a file; by its descriptor if libsndfile takes a Mac's ``._name`` beside it for a part.

    By name it asks what kind of file it is, where the content does not say that.
    """
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        if "resource fork" not in str(error):
            raise
        return soundfile.SoundFile(os.open(source, os.O_RDONLY | O_BINARY))


def _absent_frames(file: soundfile.SoundFile) -> int:
    """Frames that a cut-off file's header promises beyond the file's end.

    libsndfile quietly shortens such a recording to what is there; only its log says so.
    """
    log = file.extra_info
    if match := _RF64_LINE.search(log):
        return max(0, int(match[2]) - int(match[1]))
    absent = 0
    for declared, present in _SIZE_LINE.findall(log):
        if int(present) < int(declared) < _PLACEHOLDER_BYTES:
            absent = _frames_in(file, int(declared), int(present))
    return absent


def _frames_in(file: soundfile.SoundFile, declared: int, present: int) -> int:
    """Frames in the bytes that are not there: of a codec in blocks, as many as its blocks hold."""
    if width := _SAMPLE_BYTES.get(file.subtype, 0):
        return -(-(declared - present) // (width * int(file.channels)))
    blocks, frames = _BLOCK_LINE.search(file.extra_info), _BLOCK_FRAMES_LINE.search(file.extra_info)
    if blocks and frames and int(blocks[1]):
        return max(0, -(-declared // int(blocks[1])) * int(frames[1]) - int(file.frames))
    return round(file.frames * (declared - present) / present) if present else 0
