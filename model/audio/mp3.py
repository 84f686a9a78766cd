"""Where the frames of an MP3 lie, so that decoding can begin at any of them.

mpg123, which libsndfile brings, finds a sample by reading a file from its start: late in a long
recording each minute would cost hours of reading. Here it is given a stretch of the file that
begins a few frames before those it would have decoded. Layer III only, and no free bit rate. The
layout of headers is that of ISO/IEC 11172-3 and 13818-3; tags are read as mpg123 reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from model.audio.seekable import SeekableFile, Source

_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2 and 2.5
}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_SIDE_BYTES = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
_DECODER_DELAY = 529
"""Samples that mpg123 drops where there is a tag, besides those that the tag states."""
_FRAMES_BEFORE = 12
"""mpg123 decodes from 4 frames before the one it was sent to, and needs what lies before them."""
_RUN = 3
"""Headers in a row that make a beginning: a single one may stand in any data by chance."""
_SLACK_BYTES = 2
"""How far a frame of a constant bit rate may lie from where it should: padding is a byte."""
_SAMPLED = 8
_RUN_BYTES = 8192  # a run at any bit rate
_CHUNK_BYTES = 1 << 14  # two runs at least; what is read past the end of a minute
_HEAD_BYTES = 1 << 16
_SEARCHED_BYTES = 1 << 20  # how far to look for the first frame; pictures lie in the ID3 tag
_TAG_FRAMES = 1 << 24  # more than any stretch holds
_LONG_BYTES = 1 << 40


@dataclass(frozen=True)
class Mp3Stream:
    """What all frames of a file share.

    Attributes:
        header: of the first frame with audio, its 4 bytes as a number.
        first: where that frame lies.
        delay: samples before the recording by the tag that begins the file; None without a tag.
        stated: samples of the recording by that tag.
        is_constant: frames are equally long, but for padding, so that where one lies gives its
            number. Otherwise frames are counted.
    """

    header: int
    first: int
    delay: int | None = None
    stated: int = 0
    is_constant: bool = False

    @property
    def is_mpeg1(self) -> bool:
        return self.header >> 19 & 3 == 3

    @property
    def channels(self) -> int:
        return 1 if self.header >> 6 & 3 == 3 else 2

    @property
    def sample_rate_hz(self) -> int:
        return _RATES_HZ[self.header >> 19 & 3][self.header >> 10 & 3]

    @property
    def samples(self) -> int:
        """Of a frame, in each channel."""
        return 1152 if self.is_mpeg1 else 576

    @property
    def side_bytes(self) -> int:
        return _SIDE_BYTES[self.is_mpeg1, self.channels == 1]

    @cached_property
    def lengths(self) -> dict[int, int]:
        """Bytes of a frame by bytes 1 and 2 of its header, for all headers that belong here."""
        return {
            (self.header >> 8 & 0xFE0C) | crc << 8 | index << 4 | padding << 1 | private: (
                int(self._bytes_at(kbits)) + padding
            )
            for index, kbits in enumerate(_KBITS[self.is_mpeg1])
            if kbits
            for crc in (0, 1)
            for padding in (0, 1)
            for private in (0, 1)
        }

    @cached_property
    def tag(self) -> bytes:
        """A frame that makes mpg123 treat a stretch as it treats the file; empty without a tag."""
        if self.delay is None:
            return b""
        key = self.header >> 8 & 0xFE0C | 1 << 8 | 9 << 4
        head = bytes([0xFF, key >> 8, key & 0xFF, self.header & 0xFF]) + bytes(self.side_bytes)
        text = b"Info" + (1).to_bytes(4, "big") + _TAG_FRAMES.to_bytes(4, "big")
        text += b"LAME".ljust(21, b"\0") + (self.delay << 12).to_bytes(3, "big")
        return (head + text).ljust(self.lengths[key], b"\0")

    @property
    def skipped(self) -> int:
        """Samples before the recording."""
        return 0 if self.delay is None else self.delay + _DECODER_DELAY

    @property
    def bytes_a_frame(self) -> float:
        """Of the first frame, padding left out."""
        return self._bytes_at(_KBITS[self.is_mpeg1][self.header >> 12 & 15])

    def _bytes_at(self, kbits: int) -> float:
        return self.samples * 125 * kbits / self.sample_rate_hz

    def start_for(self, sample: int) -> tuple[int, int]:
        """Where to begin for a sample of the recording: a frame, and the sample's place from it."""
        frame = max(0, (sample + self.skipped) // self.samples - _FRAMES_BEFORE)
        return frame, sample - frame * self.samples

    def expected(self, frame: int) -> int:
        """Where a frame of a constant bit rate lies, to within a byte of padding."""
        return self.first + int(frame * self.bytes_a_frame)


def find_stream(file: Source) -> Mp3Stream | None:
    """What is common to a file's frames; None where this module cannot read them."""
    start, head = 0, file.read(0, 10)
    while head[:3] == b"ID3" and len(head) == 10:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += 10 + size + (10 if head[5] & 16 else 0)
        head = file.read(start, 10)
    data = file.read(start, _HEAD_BYTES)
    first = _first_frame(data, start, file.size)
    if not first and len(data) == _HEAD_BYTES:
        data = file.read(start, _SEARCHED_BYTES)
        first = _first_frame(data, start, file.size)
    if not first:
        return None
    frame = data[first.first - start :][: max(first.lengths.values())]
    stream = _behind_tag(first, frame)
    if not stream or frame[4 + stream.side_bytes :].startswith(b"Xing"):
        return stream
    return replace(stream, is_constant=_is_constant(file, stream))


def _first_frame(data: bytes, start: int, size: int) -> Mp3Stream | None:
    position = data.find(b"\xff")
    while 0 <= position < len(data) - 4:
        header = int.from_bytes(data[position : position + 4], "big")
        if is_layer_3(header):
            stream = Mp3Stream(header, start + position)
            if is_run(data, position, stream.lengths, start + len(data) >= size):
                return stream
        position = data.find(b"\xff", position + 1)
    return None


def is_layer_3(header: int) -> bool:
    """Whether these four bytes can begin a frame, of a stated bit rate."""
    return (
        header >> 21 == 0x7FF
        and header >> 19 & 3 != 1
        and header >> 17 & 3 == 1
        and header >> 12 & 15 not in (0, 15)
        and header >> 10 & 3 != 3
    )


def is_run(data: bytes, position: int, lengths: dict[int, int], is_end: bool) -> bool:
    """Whether frames follow each other from here; at the end of a file fewer will do."""
    for _ in range(_RUN):
        if position + 4 > len(data):
            return is_end
        length = lengths.get(data[position + 1] << 8 | data[position + 2])
        if data[position] != 0xFF or not length:
            return False
        position += length
    return True


def _behind_tag(stream: Mp3Stream, frame: bytes) -> Mp3Stream | None:
    """The stream from its first frame with audio on, with what a tag before it says."""
    length = stream.lengths[frame[1] << 8 | frame[2]]
    tag = frame[4 + stream.side_bytes : length]
    if tag[:4] not in (b"Xing", b"Info") or any(frame[6 : 4 + stream.side_bytes]):
        return stream
    parts = tag[7]
    if parts & 1 == 0:
        return None
    start = 12 + 4 * (parts >> 1 & 1) + 100 * (parts >> 2 & 1) + 4 * (parts >> 3 & 1)
    lame, delay, padding = tag[start : start + 24], 0, 0
    if len(lame) == 24 and lame[0]:
        delay, padding = lame[21] << 4 | lame[22] >> 4, (lame[22] & 15) << 8 | lame[23]
    stated = (
        int.from_bytes(tag[8:12], "big") * stream.samples - delay - max(padding, _DECODER_DELAY)
    )
    return replace(stream, first=stream.first + length, delay=delay, stated=stated)


def _is_constant(file: Source, stream: Mp3Stream) -> bool:
    """Whether frames lie where a constant bit rate would put them, from the first to the last."""
    last = _before_tags(file, stream)
    sampled = {last * k // _SAMPLED for k in range(1, _SAMPLED + 1)}
    return all(locate(file, stream, stream.expected(frame)) for frame in sorted(sampled))


def _before_tags(file: Source, stream: Mp3Stream) -> int:
    """A frame of a constant bit rate close to the end, but before tags that may be there."""
    n_frames = int((file.size - stream.first) / stream.bytes_a_frame)
    if stream.delay is not None:
        n_frames = min(n_frames, stream.stated // stream.samples)
    return max(n_frames - 400, n_frames * 7 // 8)


def count_constant(file: Source, stream: Mp3Stream) -> int:
    """Frames of a constant bit rate: their bytes would count the tags at the end as well."""
    last = _before_tags(file, stream)
    offset = locate(file, stream, stream.expected(last)) if last else stream.first
    return last + sum(map(len, FrameReader(file, stream, offset).frames()))


def locate(file: Source, stream: Mp3Stream, expected: int) -> int:
    """Where the frame begins that should begin at an offset or a byte or two beside it; 0 if none.

    What a file says of itself is not trusted: there must be a run of frames.
    """
    start = expected - _SLACK_BYTES
    frame_bytes = int(stream.bytes_a_frame) + 1
    data = file.read(start, (_RUN + 1) * frame_bytes if stream.is_constant else _RUN_BYTES)
    is_end = start + len(data) >= file.size
    for aside in sorted(range(2 * _SLACK_BYTES + 1), key=lambda n: abs(n - _SLACK_BYTES)):
        if is_run(data, aside, stream.lengths, is_end) and aside < len(data):
            return start + aside
    return 0


class FrameReader(SeekableFile):
    """Frames of a file from one on, behind a tag, and nothing that lies between them.

    To be read forwards. It says it is longer than any file, for its end is not known beforehand.

    Args:
        file: read as far as frames are asked for.
        stream: what its frames share.
        offset: where the first frame of the stretch begins.
    """

    def __init__(self, file: Source, stream: Mp3Stream, offset: int) -> None:
        super().__init__(_LONG_BYTES)
        self._file, self._lengths = file, stream.lengths
        self._data = bytearray(stream.tag)
        self._chunk, self._chunk_at = b"", offset
        self._is_lost, self._is_whole = False, False

    def readinto(self, buffer: Any) -> int:
        end = self._position + len(buffer)
        if end > _LONG_BYTES // 2:  # mpg123 looks for a tag there
            content = bytearray(len(buffer))
        else:
            while end > len(self._data) and not self._is_whole:
                self._grow()
            content = self._data[self._position : end]
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def frames(self) -> Iterator[list[int]]:
        """Where all further frames begin, a piece of the file at a time; they are not kept."""
        while not self._is_whole:
            yield self._grow()
            self._data.clear()

    def _grow(self) -> list[int]:
        """Takes up the frames of the next piece of the file. Where each begins."""
        get, at, offsets = self._lengths.get, self._chunk_at, []
        chunk = self._chunk + self._file.read(at + len(self._chunk), _CHUNK_BYTES)
        end = len(chunk)
        self._is_whole = at + end >= self._file.size or end == len(self._chunk)
        begin = position = 0
        while position + 4 <= end:
            if self._is_lost:
                begin = position = self._next_run(chunk, position)
                if self._is_lost or position + 4 > end:
                    break
            length = get(chunk[position + 1] << 8 | chunk[position + 2])
            if length is None or chunk[position] != 0xFF:
                self._data += chunk[begin:position]
                self._is_lost, begin = True, position
                position += 1
            elif position + length > end and not self._is_whole:
                break
            else:
                offsets.append(at + position)
                position += length
        self._data += chunk[begin:position]
        self._chunk, self._chunk_at = chunk[position:], at + position
        return offsets

    def _next_run(self, chunk: bytes, position: int) -> int:
        """Where frames go on after damage; where to look on when there is more to read."""
        while (position := chunk.find(b"\xff", position)) >= 0:
            if position + _RUN_BYTES > len(chunk) and not self._is_whole:
                return position
            if is_run(chunk, position, self._lengths, self._is_whole):
                self._is_lost = False
                return position
            position += 1
        return len(chunk)


@dataclass(frozen=True)
class Mp3Way:
    """How to begin at any minute of a file without reading what is before it.

    Attributes:
        stream: what its frames share.
        points: (frame, offset) where decoding begins, in order; none for a constant bit rate.
    """

    stream: Mp3Stream
    points: tuple[tuple[int, int], ...] = ()

    def between(self, first_minute: int, last_minute: int) -> Mp3Way:
        """What of it is needed to hear these minutes."""
        return replace(self, points=self.points[first_minute : last_minute + 1])

    @classmethod
    def of(cls, values: dict[str, Any]) -> Mp3Way:
        """From ``dataclasses.asdict``, also by way of JSON."""
        points = tuple((int(frame), int(offset)) for frame, offset in values["points"])
        return cls(Mp3Stream(**values["stream"]), points)
