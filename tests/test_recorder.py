"""What recorders note in headers and names, and what manifests make of it."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.windows import windows_every
from pipeline.inference.count import Counting
from pipeline.inputs.deployments import (
    deployment_of,
    merge,
    read_deployments,
    when_and_where,
    where_and_when_called,
)
from pipeline.inputs.manifests import read_places
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.recorder_notes import read_note
from pipeline.records import Failure, Place, RecorderNote
from tests import fakes


def riff(*chunks: tuple[bytes, bytes]) -> io.BytesIO:
    body = b"WAVE"
    for kind, content in chunks:
        body += kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    return io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)


def comment(text: str) -> tuple[bytes, bytes]:
    content = text.encode() + b"\0"
    return b"LIST", b"INFOICMT" + struct.pack("<I", len(content)) + content


AUDIO = (b"data", b"\0" * 1001)  # odd, so that a pad byte follows


@pytest.mark.parametrize(
    ("name", "clock", "offset"),
    [
        ("S4A03895_20190522_190000.wav", "2019-05-22T19:00:00", ""),
        ("SMU01_0+1_20190522_190000_000.wav", "2019-05-22T19:00:00", ""),
        ("20200404_102500.WAV", "2020-04-04T10:25:00", ""),
        ("20200404_102500T.WAV", "2020-04-04T10:25:00", ""),
        ("24A0430263B3A7F6_20240528_100000.WAV", "2024-05-28T10:00:00", ""),
        ("gs://bucket/a/20190522T190000-0400_site.flac", "2019-05-22T19:00:00", "-04:00"),
        ("5E90A4D4.WAV", "2020-04-10T16:54:44", "+00:00"),
        ("card/20240601/050000.WAV", "2024-06-01T05:00:00", ""),
        ("20240601/050000T.WAV", "2024-06-01T05:00:00", ""),
        ("20240601/250000.WAV", "", ""),
        ("050000.WAV", "", ""),
        ("20190522.wav", "", ""),  # eight digits, but not a moment at which AudioMoths existed
        ("DEADBEEF.WAV", "", ""),
        ("night_20191322_190000.wav", "", ""),
        ("recording_07.mp3", "", ""),
    ],
)
def test_names(name: str, clock: str, offset: str) -> None:
    note = note_from_name(name)
    assert (note.clock, note.utc_offset) == (clock, offset)
    assert note.source == ("file_name" if clock else "")


@pytest.mark.parametrize(
    ("zone", "offset"), [("UTC", "+00:00"), ("UTC-3", "-03:00"), ("UTC+5:30", "+05:30")]
)
def test_audiomoth_comment_after_the_audio(zone: str, offset: str) -> None:
    text = f"Recorded at 10:25:00 04/03/2020 ({zone}) by AudioMoth 24526B065D325963 at gain 2."
    note = read_note(riff(AUDIO, comment(text)), "x.wav")
    told = RecorderNote("2020-03-04T10:25:00", offset, "audiomoth_header")
    assert note == replace(told, recorder="24526B065D325963")


def test_guano_beats_other_notes() -> None:
    text = (
        "GUANO|Version: 1.0\nTimestamp: 2019-05-22T19:00:00-04:00\nLoc Position: -3.10000 -60.02\n"
    )
    file = riff((b"guan", text.encode()), AUDIO, comment("Recorded at 10:25:00 04/03/2020 (UTC)"))
    note = read_note(file, "20010101_000000.wav")
    told = RecorderNote("2019-05-22T19:00:00", "-04:00", "guano", -3.1, -60.02)
    conflict = "audiomoth_header says 2020-03-04T10:25:00+00:00; file_name says 2001-01-01T00:00:00"
    assert note == replace(told, conflict=conflict)


def test_song_meter_header() -> None:
    def entry(kind: int, text: str) -> bytes:
        return struct.pack("<HI", kind, len(text)) + text.encode()

    content = entry(1, "SM4") + entry(5, "2019-05-22 19:00:00-04:00")
    content += entry(6, "WGS84,3.10000,S,60.02000,W")
    note = read_note(riff((b"wamd", content), AUDIO), "x.wav")
    assert note == RecorderNote("2019-05-22T19:00:00", "-04:00", "song_meter_header", -3.1, -60.02)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffWAVEguan\xff\xff\xff\x7fTimestamp",
        riff((b"guan", b"Timestamp: yesterday\nLoc Position: here")).getvalue(),
        riff((b"wamd", b"\x05\x00\xff\xff\xff\xff2019")).getvalue(),
        riff(comment("Recorded at 99:99:99 99/99/2020 (UTC)")).getvalue(),
    ],
)
def test_damaged_headers_say_nothing(content: bytes) -> None:
    assert read_note(io.BytesIO(content), "x.wav") == RecorderNote()


NAMED = RecorderNote("2019-05-22T19:00:00", "", "file_name")
STATED = RecorderNote("2019-05-22T19:00:00", "+00:00", "audiomoth_header", 1.5, 2.5)


def test_time_without_a_zone_is_not_guessed() -> None:
    known = when_and_where(Place(), NAMED)
    assert (known["recorded_at"], known["time_zone"]) == ("", "")
    assert (known["recorded_local"], known["time_source"]) == ("2019-05-22T19:00:00", "file_name")


def test_stated_zone_makes_a_clock_absolute() -> None:
    known = when_and_where(Place(time_zone="America/Cayenne"), NAMED)
    assert known["recorded_at"] == "2019-05-22T19:00:00-03:00"
    assert known["time_zone"] == "America/Cayenne"


def test_header_in_utc_is_told_in_the_sites_zone() -> None:
    known = when_and_where(Place("camp", None, None, "", "-03:00"), STATED)
    assert known["recorded_at"] == "2019-05-22T16:00:00-03:00"
    assert known["recorded_local"] == "2019-05-22T16:00:00"
    assert (known["site"], known["latitude"], known["longitude"]) == ("camp", 1.5, 2.5)
    assert when_and_where(Place(), STATED)["recorded_at"] == "2019-05-22T19:00:00+00:00"


def test_manifest_beats_the_recorder() -> None:
    known = when_and_where(Place("a", 4.0, 5.0, "2020-01-01T00:00:00", "UTC"), STATED)
    assert known["recorded_at"] == "2020-01-01T00:00:00+00:00"
    assert (known["time_source"], known["latitude"]) == ("manifest", 4.0)


@pytest.mark.parametrize("clock", ["2019-10-27T02:30:00", "2019-03-31T02:30:00"])
def test_the_hour_that_clocks_tell_twice_or_skip_stays_without_a_zone(clock: str) -> None:
    known = when_and_where(Place(time_zone="Europe/Paris"), RecorderNote(clock, "", "file_name"))
    assert (known["recorded_at"], known["recorded_local"]) == ("", clock)


GRID = windows_every(16_000)


def test_calls_are_placed_in_time() -> None:
    counting = Counting("calls", fakes.contract().rule, 16_000, GRID, "bird", "peak-1", "run")
    row = replace(
        fakes.row_and_calls("a.wav", [Failure("open", "x")], counting)[0],
        recorded_at="2019-05-22T23:59:59-03:00",
        recorded_local="2019-05-22T23:59:59",
        site="Ridge",
        latitude=4.5,
        longitude=-52.5,
    )
    known = {"site": "Ridge", "latitude": 4.5, "longitude": -52.5}
    assert where_and_when_called(row, 1.5) == known | {
        "called_at": "2019-05-23T00:00:00.500-03:00",
        "called_local": "2019-05-23T00:00:00.500",
    }
    unzoned = replace(row, recorded_at="")
    assert where_and_when_called(unzoned, 1.5)["called_at"] == ""
    assert where_and_when_called(unzoned, 1.5)["called_local"] == "2019-05-23T00:00:00.500"


def test_manifest_with_places(tmp_path: Path) -> None:
    table = tmp_path / "manifest.csv"
    table.write_text(
        "uri,site,latitude,longitude,start_time,time_zone\n"
        "a.wav,camp,-3.1,-60.02,2019-05-22 19:00:00,-04:00\n"
        "gs://b/c.wav,,,,,\n"
    )
    place = Place("camp", -3.1, -60.02, "2019-05-22T19:00:00", "-04:00")
    assert list(read_places(str(table))) == [
        (str(tmp_path / "a.wav"), place),
        ("gs://b/c.wav", Place()),
    ]


@pytest.mark.parametrize("cells", ["-91,0,", "0,200,", "north,0,", "0,0,Amazonia/Nowhere"])
def test_cells_that_cannot_be_right(tmp_path: Path, cells: str) -> None:
    table = tmp_path / "manifest.csv"
    table.write_text(f"recording,latitude,longitude,time_zone\na.wav,{cells}\n")
    with pytest.raises(ValueError, match=r"manifest\.csv"):
        list(read_places(str(table)))


def test_deployments_join_by_the_nearest_folder(tmp_path: Path) -> None:
    table = tmp_path / "deployments.csv"
    table.write_text("folder,site,time_zone\nnorth,N,UTC\nnorth/b,NB,\ngs://x/y/,Y,\n")
    deployments = read_deployments(str(table))

    def site(name: str) -> str:
        return deployment_of(name, deployments).site

    assert site(str(tmp_path / "north/a/1.wav")) == "N"
    assert site(str(tmp_path / "north/b/1.wav")) == "NB"
    assert site(str(tmp_path / "northern/1.wav")) == ""
    assert site("gs://x/y/z/1.wav") == "Y"
    assert merge(Place("camp"), Place("N", 1.0, 2.0, "", "UTC")) == Place(
        "camp", 1.0, 2.0, "", "UTC"
    )


@given(
    *[st.none() | st.floats(-80, 80)] * 2,
    st.tuples(st.floats(-80, 80), st.floats(-80, 80)) | st.just((None, None)),
)
def test_half_a_position_does_not_hide_a_whole_one(
    latitude: float | None, longitude: float | None, whole: tuple[float | None, float | None]
) -> None:
    merged = merge(Place("", latitude, longitude), Place("", *whole))
    is_whole = latitude is not None and longitude is not None
    assert (merged.latitude, merged.longitude) == ((latitude, longitude) if is_whole else whole)
