"""What a name, a header, a table or a file of the ledger may say without stopping a night."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model.windows import windows_every
from pipeline import launch, options
from pipeline.__main__ import main
from pipeline.inference import count, decode
from pipeline.inputs import recorder_notes
from pipeline.inputs.deployments import resolve
from pipeline.inputs.times import parse_moment
from pipeline.records import Listed, RecorderNote
from pipeline.storage import files
from pipeline.store.ledger import Ledger
from tests import fakes, nights

pytestmark = pytest.mark.usefixtures("plain_loop")

Job = Callable[..., int]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Counts ``archive`` into ``out`` with the stand-in network."""
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model = fakes.write_model(tmp_path / "model")

    def run(*arguments: str) -> int:
        paths = ["--input", tmp_path / "archive", "--model", model, "--output", tmp_path / "out"]
        return nights.launch_here(*paths, *arguments)

    return run


def rows(tmp_path: Path) -> list[dict[str, str]]:
    return nights.read(tmp_path / "out" / "counts.csv")


@pytest.mark.slow
def test_a_line_separator_in_a_name_leaves_the_output_usable(tmp_path: Path, job: Job) -> None:
    separators = ["\x85", "\u2028", "\u2029", "\x0b", "\x1c", "\r", "\n"]
    for separator in separators:
        nights.write_recording(tmp_path / "archive" / f"a{separator}b.wav", bursts=1)
    assert job() == 0
    before = nights.bytes_of(tmp_path / "out")
    assert job() == 0
    assert nights.bytes_of(tmp_path / "out") == before
    assert [row["call_count"] for row in rows(tmp_path)] == ["1"] * len(separators)


def write_instead(shard: Path, text: str) -> None:
    """A shard of other entries, as if they had been written so."""
    shard.unlink()
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    name = f"{shard.name.rpartition('-')[0]}-{digest}.jsonl.gz"
    shard.with_name(name).write_bytes(gzip.compress(text.encode()))


@pytest.mark.slow
def test_a_ledger_that_an_earlier_version_broke_heals(tmp_path: Path, job: Job) -> None:
    nights.write_recording(tmp_path / "archive" / "a\u2028b.wav", bursts=1)
    assert job() == 0
    before = nights.bytes_of(tmp_path / "out")
    [shard] = (tmp_path / "out" / "ledger").rglob("*.jsonl.gz")
    entry = json.loads(gzip.decompress(shard.read_bytes()))
    write_instead(shard, json.dumps(entry, ensure_ascii=False) + "\n")
    assert job() == 0
    assert nights.bytes_of(tmp_path / "out") == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["not json", '{"identity": "x"}', "[]", '{"place": 3}'])
def test_a_line_that_cannot_be_read_is_reported_and_its_recording_done_again(
    tmp_path: Path, job: Job, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "ab":
        nights.write_recording(tmp_path / "archive" / f"{name}.wav", bursts=1)
    assert job() == 0
    before = nights.tables(tmp_path / "out")
    for shard in (tmp_path / "out" / "ledger").rglob("*.jsonl.gz"):
        lines = gzip.decompress(shard.read_bytes()).decode().split("\n")
        write_instead(shard, "\n".join(damage if "a.wav" in line else line for line in lines))
    assert job() == 0
    assert "a line cannot be read" in caplog.text
    assert nights.tables(tmp_path / "out") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "damaged"),
    [('"identity": "/', '"identity": "/x/'), ('"call_count": 1', '"call_count": 7')],
)
def test_an_entry_that_was_changed_is_not_believed(
    tmp_path: Path, job: Job, written: str, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    nights.write_recording(tmp_path / "archive" / "a.wav", bursts=1)
    assert job() == 0
    before = nights.tables(tmp_path / "out")
    [shard] = (tmp_path / "out" / "ledger").rglob("*.jsonl.gz")
    text = gzip.decompress(shard.read_bytes()).decode()
    assert written in text
    shard.write_bytes(gzip.compress(text.replace(written, damaged).encode()))
    assert job() == 0
    assert f"{shard}: is damaged" in caplog.text
    assert nights.tables(tmp_path / "out") == before


@pytest.mark.slow
def test_a_truncated_ledger_or_score_file_is_reported_and_made_good(
    tmp_path: Path, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    nights.write_recording(tmp_path / "archive" / "a.wav", bursts=1)
    assert job() == 0
    before = nights.tables(tmp_path / "out")
    damaged = [
        *(tmp_path / "out" / "ledger").rglob("*.jsonl.gz"),
        *(tmp_path / "out" / "scores").rglob("*.parquet"),
    ]
    assert len(damaged) == 2
    for file in damaged:
        file.write_bytes(file.read_bytes()[:-20])
    assert job() == 0
    assert all(file.name in caplog.text for file in damaged)
    assert nights.tables(tmp_path / "out") == before


@pytest.mark.slow
def test_an_impossible_time_in_a_name_is_dropped_and_flagged(tmp_path: Path, job: Job) -> None:
    for time in ("00010101_000000Z", "99991231_235959Z", "19000101_000000"):
        nights.write_recording(tmp_path / "archive" / f"REC_{time}.wav", bursts=1)
    assert job("--time_zone", "America/Cayenne") == 0
    assert len(rows(tmp_path)) == 3
    for row in rows(tmp_path):
        assert (row["call_count"], row["recorded_at"], row["recorded_local"]) == ("1", "", "")
        assert row["quality_flags"] == "invalid_time"


def with_guano(path: Path, text: str) -> None:
    """Adds a GUANO chunk to a WAV."""
    content = text.encode()
    content += b"\0" * (len(content) % 2)
    chunk = b"guan" + struct.pack("<I", len(content)) + content
    riff = path.read_bytes() + chunk
    path.write_bytes(riff[:4] + struct.pack("<I", len(riff) - 8) + riff[8:])


FLAGGED = {
    "Loc Position: nan nan": "invalid_position",
    "Loc Position: 91 0": "invalid_position",
    "Loc Position: inf 5": "invalid_position",
    "Loc Position: 0 0": "",
    "Timestamp: 2024-06-11T05:30:00+00:00:30": "invalid_time",
    "Timestamp: 2024-06-11T05:30:00+00:00:00999999": "",
    "Timestamp: 2024-06-11T05:30:00+23:00": "invalid_time",
    "Timestamp: 0001-01-01T00:00:00Z\nLoc Position: nan 1": "invalid_position invalid_time",
}
"""What a header says, and the row's flags."""


@pytest.mark.slow
def test_what_a_header_cannot_mean_is_dropped_and_flagged(tmp_path: Path, job: Job) -> None:
    for number, guano in enumerate(FLAGGED):
        path = tmp_path / "archive" / f"{number}.wav"
        nights.write_recording(path, bursts=1)
        with_guano(path, f"GUANO|Version: 1.0\n{guano}\n")
    assert job() == 0
    for row, flags in zip(rows(tmp_path), FLAGGED.values(), strict=True):
        assert (row["call_count"], row["quality_flags"]) == ("1", flags)
        assert (row["latitude"], row["longitude"], row["recorded_at"]) == ("", "", "")


@pytest.mark.slow
@given(st.text())
def test_no_timestamp_or_position_reaches_a_row_unchecked(text: str) -> None:
    note = recorder_notes._guano(f"Timestamp: {text}\nLoc Position: {text}")
    if note.clock:
        parse_moment(note.clock + note.utc_offset)
    assert note.latitude is None or -90 <= note.latitude <= 90


def test_a_long_wamd_position_takes_no_time() -> None:
    entry = struct.pack("<HI", 0x06, 200_000) + b"1" * 200_000
    assert recorder_notes._wamd(entry).latitude is None


@pytest.mark.slow
def test_whatever_counting_trips_over_is_that_recordings_failure(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        nights.write_recording(tmp_path / "archive" / f"{name}.wav", bursts=1)
    real = count._counted_row

    def trip(recording: str, *rest: object) -> object:
        if recording.endswith("a.wav"):
            raise OverflowError("date value out of range")
        return real(recording, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(count, "_counted_row", trip)
    assert job() == 0
    found = {Path(row["recording"]).name: (row["outcome"], row["error"]) for row in rows(tmp_path)}
    assert found["b.wav"] == ("ok", "")
    assert found["a.wav"][0] == "failed"
    assert "OverflowError: date value out of range" in found["a.wav"][1]


@pytest.mark.slow
def test_a_recording_whose_version_cannot_be_read_fails_alone(
    tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.inputs import versions

    for name in "ab":
        nights.write_recording(tmp_path / "archive" / f"{name}.wav", bursts=1)

    def forbidden(known: object) -> object:
        raise PermissionError("403")

    monkeypatch.setattr(versions, "with_version", forbidden)
    assert job() == 0
    assert {row["outcome"] for row in rows(tmp_path)} == {"ok"}


def with_header(path: Path, **fields: int) -> None:
    """A WAV of 1,000 bytes of audio whose header says something else."""
    stated = {"channels": 1, "rate": 16_000, "size": 1_000, **fields}
    block = stated["channels"] * 2
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"RIFF"
        + struct.pack("<I", min(stated["size"] + 36, 0xFFFF_FFFF))
        + b"WAVEfmt "
        + struct.pack(
            "<IHHIIHH",
            *(16, 1, stated["channels"], stated["rate"]),
            *(min(stated["rate"] * block, 0xFFFF_FFFF), block, 16),
        )
        + b"data"
        + struct.pack("<I", stated["size"])
        + bytes(1_000)
    )


@pytest.mark.slow
def test_a_header_that_lies_fails_its_recording_alone(tmp_path: Path, job: Job) -> None:
    lies = [
        ({"rate": 40_000_000}, "a sample rate of 40000000 Hz"),
        ({"rate": 1, "size": 0x7FFE_FFFF}, "a sample rate of 1 Hz"),
        ({"channels": 100}, "100 channels"),
        ({"rate": 1_000, "size": 0x7FFE_FFFE}, "s of audio in 1044 bytes"),
    ]
    for number, (fields, _) in enumerate(lies):
        with_header(tmp_path / "archive" / f"{number}.wav", **fields)
        nights.write_recording(tmp_path / "archive" / f"sound{number}.wav", bursts=1)
    assert job() == 0
    assert [row["outcome"] for row in rows(tmp_path)] == ["failed"] * 4 + ["ok"] * 4
    for row, (_, problem) in zip(rows(tmp_path), lies, strict=False):
        assert problem in row["error"]


@pytest.mark.slow
def test_a_pipe_named_like_a_recording_fails_at_once(tmp_path: Path, job: Job) -> None:
    nights.write_recording(tmp_path / "archive" / "a.wav", bursts=1)
    os.mkfifo(tmp_path / "archive" / "x.wav")
    assert job() == 0
    assert [row["outcome"] for row in rows(tmp_path)] == ["ok", "failed"]
    assert "is no regular file" in rows(tmp_path)[1]["error"]


@pytest.mark.slow
def test_samples_far_above_full_scale_are_said(tmp_path: Path, job: Job) -> None:
    path = tmp_path / "archive" / "a.wav"
    path.parent.mkdir()
    soundfile.write(path, np.full(48_000, 3e38, np.float32), 16_000, subtype="FLOAT")
    assert job() == 3
    [row] = rows(tmp_path)
    assert "far above full scale" in row["error"]


@pytest.mark.slow
def test_entries_are_written_in_ascii(tmp_path: Path, job: Job) -> None:
    nights.write_recording(tmp_path / "archive" / "araponga-é-\u2029.wav", bursts=0)
    assert job() == 0
    [shard] = Ledger(str(tmp_path / "out")).shards()
    assert gzip.decompress(Path(shard).read_bytes()).isascii()


@pytest.mark.slow
def test_rescoring_from_another_folder_counts_the_same_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative name means another file there; the ledger keeps what it meant when listed."""
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model = fakes.write_model(tmp_path / "model")
    data = tmp_path / "data"
    nights.write_recording(data / "recordings" / "a.wav", bursts=2)
    monkeypatch.chdir(data)
    output = tmp_path / "out"
    assert nights.launch_here("--input", "recordings", "--model", model, "--output", output) == 0
    monkeypatch.chdir(tmp_path)
    arguments = ["rescore", "--output", str(output), "--model", str(model), "--threshold", "0.9"]
    assert main([*arguments, "--direct_running_mode=in_memory", "--direct_num_workers=1"]) == 0
    [row] = rows(tmp_path)
    assert (row["recording"], row["call_count"], row["threshold"]) == (
        "recordings/a.wav",
        "0",
        "0.90000",
    )


@pytest.mark.parametrize("name", ["../../x.wav", "../../other/x.wav", "/etc/passwd"])
def test_a_table_in_a_bucket_does_not_lead_out_of_it(name: str) -> None:
    with pytest.raises(ValueError, match="leads out of the bucket"):
        resolve("gs://bucket/night", name)
    assert resolve("gs://bucket/night", "../a.wav") == "gs://bucket/a.wav"


def test_two_stars_behind_a_folder_mean_its_recordings(tmp_path: Path) -> None:
    nights.write_recording(tmp_path / "card" / "20240601" / "050000.WAV", bursts=0)
    (tmp_path / "card" / "CONFIG.TXT").write_text("gain: medium")
    expected = [str(tmp_path / "card" / "20240601" / "050000.WAV")]
    assert files.expand(f"{tmp_path}/card/**") == files.expand(f"{tmp_path}/card") == expected
    assert files.expand(f"{tmp_path}/c*d/**") == expected


def test_switches_as_templates_write_them() -> None:
    plain = ["--input=x", "--output=y"]
    assert options.parse([*plain, "--allow_empty=true"]).allow_empty
    assert not options.parse([*plain, "--allow_empty=false"]).allow_empty
    assert options.parse([*plain, "--no_report=True"]).report is False


def with_stated_frames(path: Path, frames: int) -> None:
    """A FLAC whose header states another length; 0 leaves it open."""
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | frames >> 32
    content[22:26] = (frames & 0xFFFF_FFFF).to_bytes(4, "big")
    path.write_bytes(content)


@pytest.mark.slow
def test_a_length_that_is_left_open_or_a_lie_is_bounded_by_what_is_there(
    tmp_path: Path, job: Job
) -> None:
    archive = tmp_path / "archive"
    for name in ("lies", "open", "true"):
        nights.write_recording(archive / f"{name}.flac", bursts=2)
    size = (archive / "open.flac").stat().st_size
    with_stated_frames(archive / "open.flac", 0)
    with_stated_frames(archive / "lies.flac", size * 5_000)
    assert job() == 0
    lies, left_open, true = rows(tmp_path)
    assert [r["outcome"] for r in (lies, left_open, true)] == ["truncated", "ok", "ok"]
    assert {r["call_count"] for r in (lies, left_open, true)} == {"2"}
    assert float(left_open["duration_s"]) == pytest.approx(12, abs=0.001)
    assert float(lies["duration_s"]) == pytest.approx(12, abs=0.001)
    assert lies["quality_flags"].split()[0] == "shorter_than_header"
    assert float(lies["heard_s"]) == pytest.approx(12, abs=0.1)


def test_a_header_that_promises_years_plans_no_more_than_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lies.flac"
    nights.write_recording(path, bursts=2)
    with_stated_frames(path, path.stat().st_size * 5_000)
    path.write_bytes(path.read_bytes()[:-100])  # or its last frame would tell how long it is
    header = decode.read_header(Listed(str(path)), windows_every(16_000), 80_000)
    assert header.n_samples > 1e9
    plans = list(decode.plan_segments(Listed(str(path)), header, windows_every(16_000), 80_000))
    assert len(plans) == header.n_segments == 3


def test_a_chunk_longer_than_any_file_ends_the_search_for_notes() -> None:
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 2**64 - 1, 2**64 - 1, 0, 0)
    content = b"RF64\xff\xff\xff\xffWAVE" + ds64 + b"data\xff\xff\xff\xff" + bytes(100)
    assert recorder_notes.read_note(io.BytesIO(content), "a.wav") == RecorderNote()


def with_lie(path: Path, n_frames: int) -> None:
    """States another number of frames where the file's format states it."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".mp3":
        tag = max(content.find(b"Xing"), content.find(b"Info"))
        content[tag + 8 : tag + 12] = (n_frames // 576).to_bytes(4, "big")
    elif path.suffix == ".ogg":
        page = content.rfind(b"OggS")
        content[page + 6 : page + 14] = struct.pack("<q", n_frames)
        content[page + 22 : page + 26] = bytes(4)
        content[page + 22 : page + 26] = struct.pack("<I", ogg_checksum(bytes(content[page:])))
    else:
        ds64 = content.find(b"ds64")
        sizes = struct.pack("<QQQ", n_frames * 2 + 100, n_frames * 2, n_frames)
        content[ds64 + 8 : ds64 + 32] = sizes
    path.write_bytes(content)


def ogg_checksum(page: bytes) -> int:
    """CRC-32 of an Ogg page: polynomial 0x04C11DB7, neither reflected nor inverted."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C1_1DB7 if crc & 0x8000_0000 else crc << 1) & 0xFFFF_FFFF
    return crc


@pytest.mark.slow
@pytest.mark.parametrize("frames_a_byte", [5_000, 50_000])
def test_lengths_that_lie_in_tags_and_pages_are_bounded_by_the_files_size(
    tmp_path: Path, job: Job, frames_a_byte: int
) -> None:
    archive = tmp_path / "archive"
    for name in ("a.mp3", "b.ogg", "c.rf64"):
        nights.write_recording(archive / name, bursts=2)
        with_lie(archive / name, (archive / name).stat().st_size * frames_a_byte)
    nights.write_recording(archive / "sound.wav", bursts=1)
    assert job() in (0, 3)
    *lies, sound = rows(tmp_path)
    assert sound["outcome"] == "ok"
    for row in lies:
        assert row["outcome"] in ("failed", "truncated"), row
        assert row["error"]
        assert not row["heard_s"] or float(row["heard_s"]) < 13
