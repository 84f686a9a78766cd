import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from model.audio.decoders import AudioError, SndfileDecoder
from model.audio.isolated import IsolatedRecording
from model.audio.recording import Recording, probe, read_all
from pipeline.inference.decode import failure
from tests.conftest import noise_with_bursts

FORMATS = {
    "WAV": ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"],
    "W64": ["PCM_16"],
    "RF64": ["PCM_16"],
    "FLAC": ["PCM_16", "PCM_24"],
    "AIFF": ["PCM_16"],
    "OGG": ["VORBIS", "OPUS"],
    "MP3": ["MPEG_LAYER_III"],
    "CAF": ["PCM_16"],
}
LOSSY = {"VORBIS", "OPUS", "MPEG_LAYER_III"}


def resampled(audio: npt.NDArray[np.float64], rate: int) -> npt.NDArray[np.float64]:
    mono: npt.NDArray[np.float64] = soxr.resample(
        audio.astype(np.float32).mean(axis=1), rate, 16_000
    )
    return mono


@pytest.mark.parametrize(
    ("container", "subtype"), [(c, s) for c, subtypes in FORMATS.items() for s in subtypes]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_read_as_mono_16_khz(
    tmp_path: Path, container: str, subtype: str, channels: int
) -> None:
    audio = noise_with_bursts(2.5, 48_000, channels, [0.5])
    path = tmp_path / "recording.BIN"  # the content decides, not the name
    soundfile.write(path, audio, 48_000, format=container, subtype=subtype)
    samples = read_all(path)
    assert samples.dtype == np.float32
    expected = resampled(audio, 48_000)
    assert len(samples) == len(expected)
    error = np.sqrt(np.mean((samples - expected) ** 2))
    assert error < (0.03 if subtype in LOSSY else 0.005)


@pytest.mark.parametrize("container", ["WAV", "W64", "FLAC", "AIFF", "CAF"])
def test_16_bits_are_read_as_libsndfile_reads_them(tmp_path: Path, container: str) -> None:
    path = tmp_path / "every value"
    values = np.arange(-(2**15), 2**15, dtype=np.int16).reshape(-1, 2)
    soundfile.write(path, values, 48_000, format=container, subtype="PCM_16")
    decoder = SndfileDecoder(path, "every value")
    decoder.start(0)
    frames = np.empty((40_000, 2), np.float32)
    assert decoder.read(frames) == len(values)
    decoder.close()
    assert np.array_equal(frames[: len(values)], soundfile.read(path, dtype="float32")[0])


@settings(deadline=None, max_examples=60)
@given(
    n_frames=st.integers(1, 60_000),
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]),
    channels=st.integers(1, 6),
)
def test_length_and_content_equal_one_undivided_resampling(
    n_frames: int, rate: int, channels: int
) -> None:
    audio = np.random.default_rng(n_frames).normal(0, 0.1, (n_frames, channels))
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="WAV", subtype="FLOAT")
    file.seek(0)
    samples = read_all(file)
    assert len(samples) == -(-n_frames * 16_000 // rate)
    whole = resampled(audio, rate)
    shared = min(len(whole), len(samples))
    np.testing.assert_allclose(samples[:shared], whole[:shared], atol=2e-6)


@pytest.fixture(scope="module", params=["wav", "flac", "mp3", "ogg"])
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Recordings longer than a few blocks, in several formats and rates."""
    folder = tmp_path_factory.mktemp("encoded")
    paths = []
    for rate in (22_050, 44_100, 48_000):
        path = folder / f"{rate}.{request.param}"
        duration_s = 71 if rate == 22_050 else 21  # past where an MP3 is decoded afresh
        with soundfile.SoundFile(path, "w", rate, channels=2) as file:
            # libsndfile 1.2 overflows its stack when Vorbis gets many frames at once
            for block in np.array_split(noise_with_bursts(duration_s, rate, 2, [3, 21]), 100):
                file.write(block)
        paths.append(path)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("length_s", [7, 10, 33])
def test_segments_equal_the_undivided_decode_bit_for_bit(
    encoded: list[Path], length_s: int
) -> None:
    for path in encoded:
        whole = read_all(path)
        step = round(length_s * 16_000)
        for start in range(0, len(whole), step):
            n_samples = min(step, len(whole) - start)
            with Recording(path) as recording:  # afresh, as another worker would
                segment = recording.read(start, n_samples)
            assert segment.missing == ()
            assert np.array_equal(segment.samples, whole[start : start + n_samples])


@pytest.mark.slow
def test_an_open_recording_can_be_read_in_any_order(encoded: list[Path]) -> None:
    whole = read_all(encoded[0])
    with Recording(encoded[0]) as recording:
        for start in (400_000, 0, 160_000, 159_999, 1_050_000):
            segment = recording.read(start, 50_000)
            assert np.array_equal(segment.samples, whole[start : start + 50_000])


@pytest.mark.slow
def test_a_file_object_gives_what_a_path_gives(encoded: list[Path]) -> None:
    for path in encoded:
        with path.open("rb") as file:
            assert np.array_equal(read_all(file), read_all(path))


def test_past_the_end_is_missing_not_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(16_000, 0.5), 16_000)
    with Recording(tmp_path / "a.wav") as recording:
        segment = recording.read(8_000, 16_000)
        assert segment.missing == ((8_000, 16_000),)
        assert not segment.samples[8_100:].any()
        assert recording.read(500_000, 10).missing == ((0, 10),)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "aiff", "w64", "rf64"])
def test_a_cut_off_file_is_heard_up_to_the_cut(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"cut.{extension}"
    soundfile.write(path, noise_with_bursts(30, 48_000, 1, []), 48_000, format=extension.upper())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    info = probe(path)
    assert info.duration_s == pytest.approx(30, abs=0.01)
    with Recording(path) as recording:
        segment = recording.read(0, info.n_samples)
    first_missing = segment.missing[0][0]
    assert first_missing == pytest.approx(0.6 * info.n_samples, rel=0.1)
    assert segment.missing[-1][1] == info.n_samples
    assert segment.samples[: first_missing - 1_000].std() == pytest.approx(0.0115, rel=0.2)
    with pytest.raises(AudioError, match="cut off or damaged"):
        read_all(path)


def test_damage_in_the_middle_costs_only_its_surroundings(tmp_path: Path) -> None:
    path = tmp_path / "hole.flac"
    soundfile.write(path, noise_with_bursts(60, 16_000, 1, []), 16_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3_000] = bytes(3_000)
    path.write_bytes(data)
    with Recording(path) as recording:
        segment = recording.read(0, 960_000)
    lost = sum(end - first for first, end in segment.missing)
    assert 0 < lost <= 320_000  # at most the two blocks that it touches
    assert segment.samples[-100_000:].std() == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "cannot be opened"),
        (b"Dear diary, the birds were loud today.", "cannot be opened"),
    ],
)
def test_an_unreadable_file_is_named_with_a_reason(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "night.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=message) as error:
        probe(path)
    assert str(path) in str(error.value)


def test_an_mp3_without_any_mp3_in_it_is_not_said_to_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "night.mp3"
    path.write_bytes(np.random.default_rng(1).bytes(3000))
    with pytest.raises(AudioError, match="it is in no known format"):
        probe(path)


def test_samples_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    audio = np.zeros(16_000)
    audio[7_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", audio, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="not numbers"):
        read_all(tmp_path / "nan.wav")


class _BrokenConnection(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 100_000:
            raise ConnectionResetError("the bucket hung up")
        return super().read(size)


def test_a_broken_connection_is_an_error_not_a_short_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(400_000), 16_000)
    with pytest.raises(ConnectionResetError):
        read_all(_BrokenConnection((tmp_path / "a.wav").read_bytes()))


@pytest.fixture(scope="module")
def m4a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    av = pytest.importorskip("av", reason="M4A needs PyAV, the extra 'aac'")
    path = tmp_path_factory.mktemp("m4a") / "phone.m4a"
    audio = noise_with_bursts(23, 44_100, 2, [4, 15]).T.astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(audio), format="fltp", layout="stereo"
        )
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_m4a_whose_sound_is_in_no_known_format_is_damaged(m4a: Path) -> None:
    """Not a failure that may pass: it would be tried again each night."""
    with pytest.raises(AudioError, match="encoded in a way that is not known"):
        Recording(io.BytesIO(m4a.read_bytes().replace(b"stsd", b"ztsd")), "a.m4a")


def test_an_m4a_that_is_damaged_anywhere_is_said_to_be_damaged(m4a: Path) -> None:
    """FFmpeg has a dozen kinds of errors, not all of them OSError or ValueError."""
    whole, dice = m4a.read_bytes(), np.random.default_rng(1)
    table = whole.index(b"moov")
    found = set()
    for _ in range(300):
        content = bytearray(whole)
        for place in dice.integers(table, len(whole), 2):
            content[place] = dice.choice([0, 127, 128, 255])
        try:
            with Recording(io.BytesIO(content), "a.m4a"):
                found.add("opened")
        except AudioError:
            found.add("damaged")
    assert found == {"opened", "damaged"}


def test_m4a_segments_equal_the_undivided_decode(m4a: Path) -> None:
    whole = read_all(m4a)
    assert 23 * 16_000 <= len(whole) < 23.1 * 16_000  # the encoder fills its last frames
    assert np.abs(whole[4 * 16_000 : 5 * 16_000]).max() > 0.6
    for start in range(0, len(whole), 7 * 16_000):
        n_samples = min(7 * 16_000, len(whole) - start)
        with Recording(m4a) as recording:
            samples = recording.read(start, n_samples).samples
        assert np.array_equal(samples, whole[start : start + n_samples])
        with IsolatedRecording(str(m4a), str(m4a)) as apart:
            assert np.array_equal(apart.read(start, n_samples).samples, samples)


def test_m4a_is_decoded_once_for_segments_that_overlap(
    m4a: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []
    with Recording(m4a) as recording:
        start = recording._decoder.start

        def noted(frame: int) -> None:
            starts.append(frame)
            start(frame)

        monkeypatch.setattr(recording._decoder, "start", noted)
        found = [recording.read(first, 5 * 16_000) for first in range(0, 18 * 16_000, 3 * 16_000)]
    whole = read_all(m4a)
    for k, segment in enumerate(found):
        first = k * 3 * 16_000
        assert np.array_equal(segment.samples, whole[first : first + 5 * 16_000])
    assert starts == [0]


def test_m4a_without_the_extra_names_the_package(
    m4a: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "model.audio.decoder_av", None)
    with pytest.raises(AudioError, match=r"run: .*python.* -m pip install av") as raised:
        probe(m4a)
    assert not failure("open", "a.m4a", raised.value).permanent  # tried again by the next run
    assert failure("open", "a.m4a", AudioError("damaged")).permanent
