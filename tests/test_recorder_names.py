"""Times, zones, positions and serial numbers in names, and in headers that hold more than one."""

from __future__ import annotations

import csv
import io
import struct
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.audio.recording import AUDIO_EXTENSIONS
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.recorder_notes import note_of_chunks, read_note
from pipeline.report.html import examples
from pipeline.report.understood import header_chunk, recorders_document
from pipeline.storage.passed_over import REMEDIES
from tests.test_recorder import AUDIO, comment, riff
from tests.test_recorders import flac

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases" / "names.csv"


def stated(name: str) -> tuple[str, str, float | None, float | None]:
    note = note_from_name(f"card/{name}")
    return note.clock, note.utc_offset, note.latitude, note.longitude


def test_the_names_that_people_met() -> None:
    if not CASES.exists():
        pytest.skip(f"the table of names is not at {CASES}")
    for row in csv.DictReader(CASES.open(newline="")):
        latitude, longitude = (float(row[of]) if row[of] else None for of in row if "itude" in of)
        clock, *rest = stated(row["name"])
        assert (clock[:19], *rest) == (row["clock"], row["utc_offset"], latitude, longitude), row


@pytest.mark.parametrize(
    ("name", "clock", "offset", "position"),
    [
        (
            "S20210205T035946676+1000_E20210205T040446501+1000_-08.0000+001.5000.wav",
            *("2021-02-05T03:59:46.676000", "+10:00", (-8.0, 1.5)),
        ),
        ("2025-09-30T03:32:35.594002Z.wav", "2025-09-30T03:32:35.594002", "+00:00", None),
        ("2020-05-27T08_00_00.000Z.mp3", "2020-05-27T08:00:00", "+00:00", None),
        ("20180226_040000Z_+40.1213-075.0015+2.79CRSWGS_84.flac",
         *("2018-02-26T04:00:00", "+00:00", (40.1213, -75.0015))),
        ("PILLIGA_20121204_234600_+13-090.wav", "2012-12-04T23:46:00", "", (13.0, -90.0)),
        ("S04.2036W052.0041_20240601_050000.wav",
         *("2024-06-01T05:00:00", "", (-4.2036, -52.0041))),
        ("WOO_20170611_100000+1000.wav", "2017-06-11T10:00:00", "+10:00", None),
        ("R_20240601_050000_GMT+5:30.wav", "2024-06-01T05:00:00", "+05:30", None),
        ("R_20240601_050000_-0300.wav", "2024-06-01T05:00:00", "-03:00", None),
        ("20180517_010348.5AFCD4F4.WAV", "2018-05-17T01:03:48", "", None),
        ("20070415051314.trimmed.wav", "2007-04-15T05:13:14", "", None),
        ("5C1A2B30.flac", "2018-12-19T11:27:44", "+00:00", None),
        ("5C1A2B30T.WAV", "2018-12-19T11:27:44", "+00:00", None),
        ("57123456.mp3", "", "", None),  # a catalogue's number
        ("20240601_050000 (1).WAV", "2024-06-01T05:00:00", "", None),
        ("20240601_0500001234.wav", "", "", None),
        ("weird20180801_240000-1030.wav", "", "", None),
        ("0.9123_20240601_050000_0+1.wav", "2024-06-01T05:00:00", "", None),
    ],
)  # fmt: skip
def test_other_names_of_these_kinds(
    name: str, clock: str, offset: str, position: tuple[float, float] | None
) -> None:
    assert stated(name) == (clock, offset, *(position or (None, None)))


def test_an_impossible_zone_makes_the_time_invalid() -> None:
    note = note_from_name("20240601_050000+1500.wav")
    assert (note.clock, note.dropped) == ("", "invalid_time")


OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters))


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2099, 12, 31)),
    st.sampled_from(["{:%Y%m%d}T{:%H%M%S}", "{:%Y%m%d}_{:%H%M%S}", "{:%Y%m%d}${:%H%M%S}"]),
    st.booleans(),
    OFFSETS | st.none(),
    st.sampled_from(["", "RIDGE_", "LODGE-CH1_0+1_", "9f1c2d3e-aaaa-4bbb-8ccc-0123456789ab_"]),
    st.sampled_from(["", "_040", "_REC [-3.1200 -60.0450]", "_Bar _-3.1200 -60.0450_"]),
)
def test_a_name_says_what_was_written_into_it(
    moment: datetime,
    style: str,
    is_fine: bool,
    offset: timedelta | None,
    prefix: str,
    suffix: str,
) -> None:
    minutes = 0 if offset is None else int(offset.total_seconds()) // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    fraction = f".{moment.microsecond:06d}" if is_fine else ""
    stamp = style.format(moment, moment) + fraction + (zone if offset is not None else "")
    clock, utc_offset, latitude, _ = stated(f"{prefix}{stamp}{suffix}.wav")
    assert datetime.fromisoformat(clock) == moment.replace(
        microsecond=moment.microsecond if is_fine else 0
    )
    assert utc_offset == (f"{zone[:3]}:{zone[3:]}" if offset is not None else "")
    assert latitude == (-3.12 if "60" in suffix else None)


@given(st.text(st.sampled_from("0123456789-+_.T$Z[] NSEWabA"), max_size=40))
def test_no_name_is_too_odd(stem: str) -> None:
    note = note_from_name(f"{stem}.wav")
    assert note.latitude is None or -90 <= note.latitude <= 90
    assert not note.clock or datetime.fromisoformat(note.clock + note.utc_offset)


@pytest.mark.parametrize(("recorder", "name"), examples("recorders")["names"])
def test_every_example_is_understood(recorder: str, name: str) -> None:
    clock, offset, *_ = stated(name)
    assert clock, recorder
    assert offset or "Z" not in name


def test_a_second_list_chunk_hides_no_comment() -> None:
    other = (b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"Lavf58")
    said = comment(
        "Recorded at 18:00:00 12/06/2024 (UTC-3) by AudioMoth 243B1F0264881CB9 at gain 2"
    )
    for chunks in ((said, AUDIO, other), (other, said, AUDIO), (said, other, AUDIO)):
        note = read_note(riff(*chunks), "x.wav")
        assert (note.clock, note.utc_offset) == ("2024-06-12T18:00:00", "-03:00")
        assert note.recorder == "243B1F0264881CB9"


def id3(n_bytes: int) -> bytes:
    size = bytes(n_bytes >> 7 * i & 0x7F for i in (3, 2, 1, 0))
    return b"ID3\x04\x00\x00" + size + b"\0" * n_bytes


@pytest.mark.parametrize("n_bytes", [0, 10, 300])
def test_a_tag_in_front_hides_no_header(n_bytes: int) -> None:
    text = b"Timestamp: 2019-05-22T19:00:00-04:00\n"
    for file in (riff((b"guan", text), AUDIO), flac("RecordingStart=2019-05-22T19:00:00-04:00")):
        note = read_note(io.BytesIO(id3(n_bytes) + file.getvalue()), "x.wav")
        assert (note.clock, note.utc_offset) == ("2019-05-22T19:00:00", "-04:00")


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        (
            "Recorded at 15:10:00 15/05/2018 by AudioMoth 0FE081F80FE081F0 at gain setting 2",
            "+00:00",
        ),
        ("Recorded at 15:10:00 15/05/2018 (UTC-0:30) by AudioMoth 0FE081F80FE081F0", "-00:30"),
        ("Recorded at 15:10:00.250 15/05/2018 (UTC+5: 5) by AudioMoth 0FE081F80FE081F0", "+05:05"),
    ],
)
def test_comments_of_old_firmware(text: str, offset: str) -> None:
    note = read_note(riff(AUDIO, comment(text)), "x.wav")
    assert (note.clock, note.utc_offset) == ("2018-05-15T15:10:00", offset)
    assert note.recorder == "0FE081F80FE081F0"


def test_a_header_without_a_zone_takes_the_names() -> None:
    file = riff((b"guan", b"Timestamp: 2019-05-22T19:00:03\n"), AUDIO)
    note = read_note(file, "S4A03895_20190522_190000-0400.wav")
    assert (note.source, note.clock, note.utc_offset) == ("guano", "2019-05-22T19:00:03", "-04:00")
    other = read_note(file, "20190522_230000Z.wav")
    assert (other.clock, other.utc_offset) == ("2019-05-22T19:00:03", "")
    assert "file_name says" in other.conflict


DOCUMENT = Path(__file__).parent.parent / "docs" / "recorders.md"


def test_the_document_is_the_one_that_the_code_makes() -> None:
    remedy = "./run_local.sh columns --recorders > docs/recorders.md"
    assert DOCUMENT.read_text("utf-8") == recorders_document(), remedy


@pytest.mark.parametrize("header", examples("recorders")["headers"])
def test_every_header_of_the_document_is_read_from_a_file(header: dict[str, str]) -> None:
    chunk = header_chunk(header["chunk"], header["text"])
    stated = note_of_chunks([chunk], "")
    assert stated.clock
    assert stated.utc_offset
    assert stated.recorder
    if chunk[0] == b"fLaC":
        info = b"\x00" + (34).to_bytes(3, "big") + b"\0" * 34
        size = len(chunk[1]).to_bytes(3, "big")
        file = io.BytesIO(b"fLaC" + info + b"\x84" + size + chunk[1])
    else:
        file = riff(AUDIO, chunk)
    assert read_note(file, "x.wav") == stated
    assert all(line in DOCUMENT.read_text("utf-8") for line in header["text"].splitlines())


def test_every_ending_stands_in_the_document() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert [ending for ending in (*AUDIO_EXTENSIONS, *REMEDIES) if f"`{ending}`" not in text] == []
