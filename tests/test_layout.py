"""Which bytes of a file hold sound, whatever its header says, and which nothing accounts for."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from model.audio import seekable
from model.audio.decoders import AudioError
from model.audio.isolated import IsolatedRecording
from model.audio.layout import layout_of
from model.audio.layout_base import View
from model.audio.recording import Recording, probe, read_all
from model.audio.seekable import Source
from pipeline import options
from tests import accounts, fakes, nights, plainly
from tests.conftest import noise_with_bursts

RATE = 16_000
BURSTS = [2.0, 7.0, 12.0]
SOUND: npt.NDArray[np.float64] = noise_with_bursts(15, RATE, 1, BURSTS)
PCM = (SOUND[:, 0] * 32767).astype("<i2").tobytes()
FMT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16)
NOTE = b"guan" + struct.pack("<I", 20) + b"GUANO|Version: 1.0\n "


def encoded(kind: str, subtype: str, sound: npt.NDArray[np.float64] = SOUND) -> bytes:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, subtype, format=kind) as out:
        for block in np.array_split(sound, 50):
            out.write(block)
    return file.getvalue()


def wav(stated: int, riff: int, *behind: bytes, ds64: bytes = b"", mark: bytes = b"RIFF") -> bytes:
    """A WAV of 15 s whose header tells other sizes."""
    head = mark + struct.pack("<I", riff) + b"WAVE" + ds64 + FMT
    return head + b"data" + struct.pack("<I", stated) + PCM + b"".join(behind)


def flac(factor: float) -> bytes:
    """A FLAC whose header tells so many times its length."""
    data = bytearray(encoded("FLAC", "PCM_16"))
    packed = int.from_bytes(data[18:26], "big") - len(SOUND)
    data[18:26] = (packed + int(len(SOUND) * factor)).to_bytes(8, "big")
    return bytes(data)


def halves(kind: str, subtype: str, n: int = 2) -> bytes:
    """The recording in parts, one behind the other."""
    return b"".join(encoded(kind, subtype, part) for part in np.array_split(SOUND, n))


def changed(content: bytes, mark: bytes, skip: int, value: bytes) -> bytes:
    at = content.index(mark) + skip
    return content[:at] + value + content[at + len(value) :]


def ds64(data_bytes: int) -> bytes:
    return b"ds64" + struct.pack("<IQQQI", 28, data_bytes + 72, data_bytes, data_bytes // 2, 0)


LESS: dict[str, Callable[[], bytes]] = {
    "wrapped.wav": lambda: wav(len(PCM) // 4, len(PCM) // 4 + 36),
    "size_44.wav": lambda: wav(44, 80),
    "nothing.wav": lambda: wav(0, 36),
    "nothing_and_a_note.wav": lambda: wav(0, 36, NOTE),
    "half_and_a_note.wav": lambda: wav(len(PCM) // 2, 36 + len(PCM) // 2, NOTE),
    "small_ds64.wav": lambda: wav(0xFFFF_FFFF, 0xFFFF_FFFF, ds64=ds64(len(PCM) // 3), mark=b"RF64"),
    "half.flac": lambda: flac(0.5),
    "tenth.flac": lambda: flac(0.1),
    "half.aiff": lambda: changed(
        encoded("AIFF", "PCM_16"), b"SSND", 4, struct.pack(">I", len(PCM) // 2 + 8)
    ),
    "half.w64": lambda: changed(encoded("W64", "PCM_16"), b"data", 16, struct.pack("<Q", 90_000)),
    "half.au": lambda: changed(encoded("AU", "PCM_16"), b".snd", 8, struct.pack(">I", 90_000)),
    "half.caf": lambda: changed(encoded("CAF", "PCM_16"), b"data", 4, struct.pack(">q", 90_000)),
    "half.mp3": lambda: changed(
        encoded("MP3", "MPEG_LAYER_III"), b"Xing", 8, struct.pack(">I", 200)
    ),
}
JOINED: dict[str, Callable[[], bytes]] = {
    "two.flac": lambda: halves("FLAC", "PCM_16"),
    "three.flac": lambda: halves("FLAC", "PCM_24", 3),
    "two.ogg": lambda: halves("OGG", "VORBIS"),
    "three.opus": lambda: halves("OGG", "OPUS", 3),
    "two.mp3": lambda: halves("MP3", "MPEG_LAYER_III"),
    "two.wav": lambda: halves("WAV", "PCM_16"),
    "tagged.mp3": lambda: (b"ID3\4\0\0\0\0\0\x14" + bytes(20)).join(
        encoded("MP3", "MPEG_LAYER_III", part) for part in np.array_split(SOUND, 2)
    ),
}


@pytest.mark.parametrize("name", [*LESS, *JOINED])
def test_what_a_header_does_not_tell_of_is_heard(name: str, tmp_path: Path) -> None:
    content = {**LESS, **JOINED}[name]()
    (tmp_path / name).write_bytes(content)
    with Recording(tmp_path / name) as recording:
        info = recording.info
        heard = recording.read(0, info.n_samples)
    assert info.duration_s == pytest.approx(15, abs=0.1)
    assert heard.missing == ()
    assert info.unaccounted_bytes == 0
    assert info.remarks == ("longer_than_header" if name in LESS else "joined_streams")
    if name not in JOINED:
        loud = np.abs(heard.samples).reshape(-1, 160).max(axis=1) > 0.5
        assert [round(at / 100, 1) for at in np.flatnonzero(np.diff(loud.astype(int)) > 0)] == (
            pytest.approx(BURSTS, abs=0.11)
        )


@pytest.mark.parametrize("name", ["wrapped.wav", "two.ogg", "two.mp3", "three.flac"])
def test_it_is_the_same_however_it_is_read(name: str) -> None:
    content = {**LESS, **JOINED}[name]()
    whole = read_all(io.BytesIO(content))
    with IsolatedRecording(io.BytesIO(content), name) as apart:
        assert apart.info.remarks
        for start in range(0, len(whole), 70_000):
            n = min(70_000, len(whole) - start)
            assert np.array_equal(apart.read(start, n).samples, whole[start : start + n])
    with Recording(io.BytesIO(content), name) as recording:
        assert np.array_equal(recording.read(150_000, 60_000).samples, whole[150_000:210_000])


def test_a_flac_that_promises_too_much_has_the_length_that_it_holds() -> None:
    info = probe(io.BytesIO(flac(2)))
    assert (info.duration_s, info.remarks) == (15, "shorter_than_header")
    assert probe(io.BytesIO(flac(0))).duration_s == 15  # not told


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_an_ogg_that_breaks_off_says_so(kind: str, subtype: str) -> None:
    content = encoded(kind, subtype)
    assert probe(io.BytesIO(content)).remarks == ""
    assert probe(io.BytesIO(content[: len(content) // 2])).remarks == "no_end"
    last = content.rindex(b"OggS")
    assert probe(io.BytesIO(content[:last])).remarks == "no_end"  # between two pages


@pytest.mark.parametrize("subtype", ["GSM610", "IMA_ADPCM", "MS_ADPCM", "G721_32", "ULAW"])
def test_codecs_of_blocks_are_heard_and_their_loss_is_told(subtype: str) -> None:
    content = encoded("WAV", subtype)
    whole = read_all(io.BytesIO(content))
    assert len(whole) / RATE == pytest.approx(15, abs=0.1)
    with Recording(io.BytesIO(content[: len(content) // 2])) as recording:
        assert recording.info.duration_s == pytest.approx(15, abs=0.1)
        [(first, _)] = recording.read(0, recording.info.n_samples).missing
    assert first / RATE == pytest.approx(7.5, abs=0.1)
    with Recording(io.BytesIO(content)) as recording:
        assert np.array_equal(recording.read(100_000, 50_000).samples, whole[100_000:150_000])


JUNK = {
    "zeros.wav": (wav(len(PCM), len(PCM) + 36, bytes(5000)), 5000),
    "random.wav": (wav(len(PCM), len(PCM) + 36, random.Random(1).randbytes(5000)), 5000),
    "text.flac": (encoded("FLAC", "PCM_16") + b"Dear diary, the birds were loud.", 32),
    "zeros.flac": (encoded("FLAC", "PCM_16") + bytes(700), 700),
    "random.ogg": (encoded("OGG", "VORBIS") + random.Random(2).randbytes(300), 300),
    "zeros.mp3": (encoded("MP3", "MPEG_LAYER_III") + bytes(300), 300),
}


@pytest.mark.parametrize("name", JUNK)
def test_bytes_that_nothing_accounts_for_are_counted(name: str) -> None:
    content, n = JUNK[name]
    info = probe(io.BytesIO(content))
    assert info.unaccounted_bytes == n
    assert info.duration_s == pytest.approx(15, abs=0.1)


@pytest.mark.parametrize(
    "behind", [b"TAG" + bytes(125), b"ID3\4\0\0\0\0\0\x14" + bytes(20)], ids=["ID3v1", "ID3v2"]
)
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "AIFF"])
def test_tags_are_accounted_for(kind: str, behind: bytes) -> None:
    content = encoded(kind, "MPEG_LAYER_III" if kind == "MP3" else "PCM_16")
    assert probe(io.BytesIO(content + behind)).unaccounted_bytes == 0
    front = probe(io.BytesIO(b"ID3\4\0\0\0\0\0\x14" + bytes(20) + content))
    assert (front.unaccounted_bytes, front.frames) == (0, probe(io.BytesIO(content)).frames)


def test_a_wav_beyond_4_gib_is_heard_to_its_end(tmp_path: Path) -> None:
    """Sparse: sizes modulo 2**32, 15 s at each end."""
    rate, mono = 384_000, np.repeat((SOUND[:, 0] * 32767).astype("<i2"), 24)
    block = np.repeat(mono[:, None], 2, axis=1).tobytes()
    n = 4_400_000_000 // len(block) * len(block)
    path = tmp_path / "big.wav"
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", (n + 36) % 2**32) + b"WAVEfmt ")
        file.write(struct.pack("<IHHIIHH", 16, 1, 2, rate, rate * 4, 4, 16))
        file.write(b"data" + struct.pack("<I", n % 2**32) + block)
        file.seek(44 + n - len(block))
        file.write(block)
    with Recording(path) as recording:
        seconds = n / (rate * 4)
        assert recording.info.duration_s == pytest.approx(seconds)
        assert recording.info.remarks == "longer_than_header"
        last = recording.read(int((seconds - 15) * RATE), 15 * RATE)
    assert last.missing == ()
    assert np.abs(last.samples[2 * RATE : 3 * RATE]).max() > 0.5


@pytest.mark.parametrize("name", ["long.flac", "long.ogg", "long.mp3", "long.wav"])
def test_of_a_long_file_little_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seekable, "WHOLE_BYTES", 1000)
    kind, subtype = {
        "long.flac": ("FLAC", "PCM_16"),
        "long.ogg": ("OGG", "VORBIS"),
        "long.mp3": ("MP3", "MPEG_LAYER_III"),
        "long.wav": ("WAV", "PCM_16"),
    }[name]
    content = encoded(kind, subtype)
    reads: list[int] = []

    class Noted(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            reads.append(n or 0)
            return super().read(n)

    found = layout_of(Source(Noted(content)))
    assert found
    assert (found.is_plain, found.unaccounted, found.remarks) == (True, 0, ())
    assert len(reads) < 80
    twice = content + content
    found = layout_of(Source(io.BytesIO(twice)))
    assert found
    assert len(found.streams) == 2 or found.unaccounted


MARKS = [
    *(b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"caff\0\1\0\0", b""),
    *(b".snd\0\0\0\x18", b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\4\0\0", b"\xff\xfb\x90\0"),
    *(b"\0\0\0\x08ftyp", b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\0\0"),
]


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(MARKS))
def test_any_bytes_are_walked_to_their_end(noise: bytes, mark: bytes) -> None:
    content = mark + noise
    found = layout_of(Source(io.BytesIO(content)))
    if found:
        assert 0 <= found.unaccounted <= len(content)
        for stream in found.streams:
            assert stream.end <= len(content)


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(0, 100), st.integers(0, 100))
def test_a_view_is_a_file_of_its_pieces(pieces: list[bytes], at: int, n: int) -> None:
    content = b"".join(pieces)
    places = [sum(map(len, pieces[:k])) for k in range(len(pieces) + 1)]
    ranges = [piece if k % 2 else (places[k], places[k + 1]) for k, piece in enumerate(pieces)]
    view = View(Source(io.BytesIO(content)), tuple(ranges))
    assert view.read(-1) == content
    view.seek(at)
    assert view.read(n) == content[at : at + n]


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_decoded_promised_and_flagged_are_the_file(seed: int) -> None:
    """Ten thousand of these: ``python -m tests.accounts``."""
    made = accounts.make(random.Random(seed))
    assert accounts.judge(made).wrong == ""


def test_rows_say_what_was_met(tmp_path: Path) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    files = {
        "half.wav": wav(len(PCM) // 2, 36 + len(PCM) // 2),
        "double.flac": flac(2),
        "junk.wav": JUNK["zeros.wav"][0],
        "two.ogg": halves("OGG", "VORBIS"),
        "cut.ogg": encoded("OGG", "VORBIS")[:-3000],
        "whole.wav": wav(len(PCM), 36 + len(PCM)),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    model = fakes.write_model(tmp_path / "model")
    out = tmp_path / "out"
    flags = ["--input", str(folder), "--model", str(model), "--output", str(out), "--no_report"]
    plainly.count(options.parse(flags))
    rows = {Path(row["recording"]).name: row for row in nights.read(out / "counts.csv")}
    said = {name: (row["outcome"], row["call_count"]) for name, row in rows.items()}
    assert said["half.wav"] == said["whole.wav"] == ("ok", "3")
    assert said["two.ogg"][0] == "ok"
    assert said["double.flac"] == said["junk.wav"] == ("truncated", "3")
    assert said["cut.ogg"][0] == "truncated"
    assert rows["half.wav"]["quality_flags"] == "longer_than_header"
    assert rows["double.flac"]["duration_s"] == "15.000"
    assert "its header promises more than the file holds" in rows["double.flac"]["error"]
    assert "5,000 of 485,044 bytes are neither sound" in rows["junk.wav"]["error"]
    assert "unaccounted_bytes" in rows["junk.wav"]["quality_flags"].split()
    assert "joined_streams" in rows["two.ogg"]["quality_flags"].split()
    assert rows["whole.wav"]["error"] == rows["half.wav"]["error"] == ""


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1])
def test_a_chunk_that_claims_to_end_beyond_any_file_is_no_reason_to_try_again(
    tmp_path: Path, size: int
) -> None:
    """Such an offset cannot be sought; the file would be taken for one that is out of reach."""
    chunk = b"caff\x00\x01\x00\x00desc" + size.to_bytes(8, "big") + bytes(100)
    (tmp_path / "a.caf").write_bytes(chunk)
    with pytest.raises(AudioError):
        probe(tmp_path / "a.caf")
