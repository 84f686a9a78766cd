"""Where the frames of an MP3 lie; hearing it from there gives what hearing all of it gives."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model.audio.isolated import IsolatedRecording
from model.audio.mp3 import FrameReader, Mp3Way, find_stream
from model.audio.recording import Recording, read_all
from model.audio.seekable import Source
from tests.conftest import noise_with_bursts

MODES = {
    "constant, no tag": {"bitrate_mode": "CONSTANT", "compression_level": 0.9},
    "constant, tag": {"bitrate_mode": "CONSTANT", "compression_level": 0.5},
    "variable": {"bitrate_mode": "VARIABLE", "compression_level": 0.8},
}


def encoded(duration_s: float, rate: int, channels: int, **settings: object) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, channels, format="MP3", **settings) as file:
        for block in np.array_split(noise_with_bursts(duration_s, rate, channels, [3, 21]), 50):
            file.write(block)
    return buffer.getvalue()


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    n_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.n_bytes += len(content)
        return content


def offsets(content: bytes) -> Iterator[int]:
    file = Source(io.BytesIO(content))
    stream = find_stream(file)
    assert stream
    for piece in FrameReader(file, stream, stream.first).frames():
        yield from piece


@pytest.fixture(scope="module", params=MODES)
def recording(request: pytest.FixtureRequest) -> bytes:
    return encoded(150, 44_100, 1, **MODES[request.param])


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("mode", MODES)
def test_frames_add_up_to_the_recording(rate: int, mode: str) -> None:
    content = encoded(20, rate, 2, **MODES[mode])
    file = Source(io.BytesIO(content))
    stream = find_stream(file)
    assert stream
    n_samples = len(list(offsets(content))) * stream.samples
    stated = soundfile.info(io.BytesIO(content)).frames
    assert n_samples - 4 * stream.samples < stated <= n_samples
    assert stream.delay is None or stream.stated == stated
    if stream.is_constant:
        for frame, offset in enumerate(offsets(content)):
            assert abs(stream.expected(frame) - offset) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("length_s", [13, 45, 300])
def test_a_known_way_gives_the_same_samples_and_reads_no_more_than_needed(
    recording: bytes, length_s: int
) -> None:
    whole = read_all(io.BytesIO(recording))
    with Recording(io.BytesIO(recording)) as opened:
        info, way = opened.info, opened.way()
    assert way
    assert Mp3Way.of(asdict(way)) == way
    step, read = length_s * 16_000, 0
    for start in range(0, len(whole), step):
        n_samples = min(step, len(whole) - start)
        part = way.between(start // 960_000, (start + n_samples) // 960_000)
        source = Counted(recording)
        with Recording(source, "a.mp3", look=info, way=part) as opened:
            assert np.array_equal(
                opened.read(start, n_samples).samples, whole[start : start + n_samples]
            )
        read += source.n_bytes
        minute = len(recording) * 60 / 150
        assert source.n_bytes < len(recording) * n_samples / len(whole) + minute + (1 << 18)
    assert read >= len(recording) * 0.95


@pytest.mark.slow
def test_the_process_apart_knows_the_way(recording: bytes) -> None:
    whole = read_all(io.BytesIO(recording))
    with IsolatedRecording(io.BytesIO(recording), "a.mp3") as opened:
        info, way = opened.info, opened.way()
    assert way
    with IsolatedRecording(io.BytesIO(recording), "a.mp3", look=info, way=way) as opened:
        found = opened.read(1_000_000, 50_000).samples
    assert np.array_equal(found, whole[1_000_000:1_050_000])


@pytest.mark.slow
def test_a_variable_bit_rate_without_a_tag_has_the_length_that_is_there() -> None:
    content = encoded(40, 48_000, 1, **MODES["variable"])
    stream = find_stream(Source(io.BytesIO(content)))
    assert stream
    assert stream.delay is not None
    bare = content[stream.first :]
    with Recording(io.BytesIO(bare)) as opened:
        n_frames = len(list(offsets(bare))) * 1152
        assert opened.info.frames == n_frames
        assert opened.read(0, opened.info.n_samples).missing == ()


@pytest.mark.slow
def test_tags_before_and_behind_the_audio_are_passed_over(recording: bytes) -> None:
    before = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + b"\xff\xfb\x90\x00" * 64
    tagged = before + recording + b"TAG".ljust(128, b"\xff")
    assert np.array_equal(read_all(io.BytesIO(tagged)), read_all(io.BytesIO(recording)))


@pytest.mark.slow
@pytest.mark.parametrize("n_bytes", [3, 4, 128, 20_000])
def test_a_tag_that_ends_like_the_beginning_of_a_frame(recording: bytes, n_bytes: int) -> None:
    """An ID3v1 tag without a genre ends in 255."""
    tagged = recording + b"TAG".ljust(n_bytes - 1, b"\0") + b"\xff"
    assert np.array_equal(read_all(io.BytesIO(tagged)), read_all(io.BytesIO(recording)))


@pytest.mark.slow
def test_lost_bytes_cost_their_minute_at_most(recording: bytes) -> None:
    whole = read_all(io.BytesIO(recording))
    middle = len(recording) // 10
    damaged = recording[:middle] + bytes(5_000) + recording[middle + 5_000 :]
    with Recording(io.BytesIO(damaged)) as opened:
        found = opened.read(0, len(whole))
    assert np.array_equal(found.samples[:150_000], whole[:150_000])
    with Recording(io.BytesIO(recording)) as opened:
        way = opened.way()
    assert way
    if way.stream.is_constant:  # where a frame lies tells its number: what follows is in its place
        assert np.array_equal(found.samples[960_000:], whole[960_000:])


@pytest.mark.slow
def test_where_no_frames_are_the_minute_is_missing(tmp_path: Path) -> None:
    content = bytearray(encoded(150, 16_000, 1, **MODES["constant, no tag"]))
    with Recording(io.BytesIO(bytes(content))) as opened:
        info, way = opened.info, opened.way()
    assert way
    assert way.stream.is_constant
    start = len(content) * 58 // 150
    content[start : len(content) * 63 // 150] = bytes(len(content) * 63 // 150 - start)
    with Recording(io.BytesIO(bytes(content)), "a.mp3", look=info, way=way) as opened:
        found = opened.read(0, info.n_samples)
    lost = sum(end - first for first, end in found.missing)
    assert 58 * 16_000 <= lost <= 63 * 16_000
    assert found.samples[125 * 16_000 :].std() == pytest.approx(0.02, rel=0.3)


@given(st.binary(max_size=3000), st.integers(0, 3))
def test_any_bytes_are_walked_to_their_end(noise: bytes, n_frames: int) -> None:
    frame = b"\xff\xfb\x90\x64" + bytes(413)
    content = frame * n_frames + noise + frame * n_frames
    file = Source(io.BytesIO(content))
    if stream := find_stream(file):
        found = [at for piece in FrameReader(file, stream, stream.first).frames() for at in piece]
        assert found == sorted(set(found))
        assert all(content[at] == 0xFF for at in found)
