"""What recorders note besides the time, clocks that are in doubt, the table of recorders."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.inputs.deployments import clock_flags, when_and_where
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.recorder_notes import read_note
from pipeline.inputs.times import Clock
from pipeline.records import Place, RecorderNote, RecordingCount
from pipeline.survey.histories import histories, left_out
from pipeline.survey.recorders import recorders
from tests.test_histories import recording, survey, write_results
from tests.test_recorder import AUDIO, comment, riff

NEW_COMMENT = (
    "Recorded at 10:00:00 28/05/2024 (UTC-3) by AudioMoth 243B1F026488F56E at medium-high gain "
    "while battery was 3.8V and temperature was -2.8C."
)


@pytest.mark.parametrize(
    ("text", "recorder", "gain", "battery_v", "temperature_c"),
    [
        (NEW_COMMENT, "243B1F026488F56E", "medium-high", 3.8, -2.8),
        (
            "Recorded at 10:25:00 04/04/2020 (UTC) by AudioMoth 24526B065D325963 at gain setting 2 "
            "while battery state was 4.7V.",
            *("24526B065D325963", "2", 4.7, None),
        ),
        (
            "Recorded at 10:25:00 04/04/2021 (UTC) during deployment 0123456789ABCDEF using "
            "external microphone at low gain setting while battery state was less than 2.5V and "
            "temperature was 30.1C.",
            *("", "low", 2.5, 30.1),
        ),
        (
            "Recorded at 10:25:00 04/04/2021 (UTC) by AudioMoth 24526B065D325963 at high gain "
            "setting while battery state was greater than 4.9V and temperature was 21.0C.",
            *("24526B065D325963", "high", 4.9, 21.0),
        ),
    ],
)
def test_audiomoths_of_all_ages(
    text: str, recorder: str, gain: str, battery_v: float, temperature_c: float | None
) -> None:
    note = read_note(riff(AUDIO, comment(text)), "x.wav")
    assert note.source == "audiomoth_header"
    told = (note.recorder, note.gain, note.battery_v, note.temperature_c)
    assert told == (recorder, gain, battery_v, temperature_c)


def test_guano_and_wamd_tell_of_the_recorder() -> None:
    text = (
        "GUANO|Version: 1.0\nTimestamp: 2024-06-11T05:00:00Z\nMake: Open Acoustic Devices\n"
        "Serial: 24F319055FDFD84C\nFirmware Version: 1.8.1\nTemperature Int: 23.25\n"
        "OAD|Battery Voltage: 4.1\nOAD|Gain: 2\n"
    )
    note = read_note(riff((b"guan", text.encode()), AUDIO), "x.wav")
    assert (note.recorder, note.firmware, note.gain) == ("24F319055FDFD84C", "1.8.1", "2")
    assert (note.battery_v, note.temperature_c) == (4.1, 23.25)

    def entry(kind: int, text: str) -> bytes:
        return struct.pack("<HI", kind, len(text)) + text.encode()

    content = entry(1, "SM4") + entry(2, "S4A03895") + entry(3, "2.2.1")
    content += entry(5, "2019-05-22 19:00:00-04:00") + entry(0x15, "24.50C")
    note = read_note(riff((b"wamd", content), AUDIO), "x.wav")
    assert (note.recorder, note.firmware, note.temperature_c) == ("S4A03895", "2.2.1", 24.5)


def flac(*comments: str) -> io.BytesIO:
    """A FLAC file's first blocks."""

    def piece(text: str) -> bytes:
        return struct.pack("<I", len(text.encode())) + text.encode()

    block = (
        piece("Frontier Labs") + struct.pack("<I", len(comments)) + b"".join(map(piece, comments))
    )
    info = b"\x00" + (34).to_bytes(3, "big") + b"\0" * 34
    return io.BytesIO(b"fLaC" + info + b"\x84" + len(block).to_bytes(3, "big") + block)


def test_frontier_labs() -> None:
    name = "20191026T050000+1000_REC [-27.3866 152.8761].flac"
    assert note_from_name(name) == RecorderNote(
        "2019-10-26T05:00:00", "+10:00", "file_name", -27.3866, 152.8761
    )
    assert note_from_name("20181101_060000_REC [19.2144 -52.8811].flac").longitude == -52.8811
    assert note_from_name("20181101_060000_REC [91.0 -52.8811].flac").dropped == "invalid_position"
    file = flac(
        "RecordingStart=2019-10-26T05:00:03+10:00",
        "SensorUid=00012345",
        "SensorFirmwareVersion=Firmware: V3.20",
        "BatteryLevel=95% 4.15V",
        "ChannelGain=40dB",
        "SensorLocation=-27.3866+152.8761/",
    )
    note = read_note(file, "20191026T050000+1000_REC.flac")
    assert (note.source, note.clock, note.utc_offset) == (
        "flac_comment",
        "2019-10-26T05:00:03",
        "+10:00",
    )
    assert (note.recorder, note.firmware, note.gain) == ("00012345", "3.20", "40dB")
    assert (note.battery_v, note.latitude, note.longitude) == (4.15, -27.3866, 152.8761)
    assert note.conflict == ""


def test_comments_of_flac_files_as_soundfile_writes_them(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16_000, 1) as file:
        file.comment = NEW_COMMENT
        file.write(np.zeros(16_000))
    note = read_note(str(tmp_path / "a.flac"), "a.flac")
    assert (note.clock, note.utc_offset) == ("2024-05-28T10:00:00", "-03:00")
    assert (note.recorder, note.battery_v) == ("243B1F026488F56E", 3.8)


@given(st.binary(max_size=200))
def test_a_damaged_flac_says_nothing_or_what_it_says(content: bytes) -> None:
    head = b"fLaC\x84" + len(content).to_bytes(3, "big")
    assert read_note(io.BytesIO(head + content), "x.flac").source in ("", "flac_comment")


@pytest.mark.parametrize(
    ("name", "recorder"),
    [
        ("S4A03895_20190522_190000.wav", "S4A03895"),
        ("SMM01234_20190522_190000.wav", "SMM01234"),
        ("24A0430263B3A7F6_20240528_100000.WAV", "24A0430263B3A7F6"),
        ("RIDGE_20240528_100000.WAV", ""),
        ("20240528_100000.WAV", ""),
    ],
)
def test_serial_numbers_in_names(name: str, recorder: str) -> None:
    assert note_from_name(name).recorder == recorder


def header(text: str, name: str) -> RecorderNote:
    return read_note(riff(AUDIO, comment(text)), name)


@pytest.mark.parametrize(
    ("name", "conflict"),
    [
        ("20240528_100000.WAV", ""),  # by the clock of the header
        ("20240528_130000.WAV", ""),  # the same in UTC
        ("20240528_100030.WAV", ""),
        ("20240528_110000.WAV", "file_name says 2024-05-28T11:00:00"),
        ("19700101_000100.WAV", "file_name says 1970-01-01T00:01:00"),
        ("x.WAV", ""),
    ],
)
def test_a_header_and_a_name_that_disagree(name: str, conflict: str) -> None:
    note = header(NEW_COMMENT, name)
    assert (note.clock, note.conflict) == ("2024-05-28T10:00:00", conflict)


@pytest.mark.parametrize(
    ("stated", "zone", "conflict"),
    [
        ("2024-05-28T10:00:00", "America/Cayenne", ""),
        ("2024-05-28T13:00:00+00:00", "", ""),
        ("2024-05-28T09:00:00", "America/Manaus", ""),
        (
            "2024-05-28T11:00:00",
            "America/Cayenne",
            "audiomoth_header says 2024-05-28T10:00:00-03:00",
        ),
        ("2023-05-28T10:00:00", "", "audiomoth_header says 2024-05-28T10:00:00-03:00"),
    ],
)
def test_a_manifest_wins_but_not_silently(stated: str, zone: str, conflict: str) -> None:
    note = header(NEW_COMMENT, "x.WAV")
    known = when_and_where(Place(recorded_at=stated, time_zone=zone), note)
    assert known["time_source"] == "manifest"
    assert known["clock_conflict"] == conflict


@given(st.datetimes(datetime(2001, 1, 2), datetime(2099, 1, 1)), st.integers(-14, 14))
def test_a_moment_agrees_with_itself_however_it_is_written(moment: datetime, hours: int) -> None:
    at = moment.replace(tzinfo=UTC)
    elsewhere = Clock.of(at.astimezone(timezone(timedelta(hours=hours))))
    assert elsewhere
    assert elsewhere.may_be(Clock.of(at))
    assert elsewhere.may_be(Clock.of(moment))
    assert not elsewhere.may_be(Clock.of(at + timedelta(minutes=90)))


def nights(
    site: str = "Ridge", recorder: str = "A", days: range = range(8), at: str = "05:00:00"
) -> list[RecordingCount]:
    """An hour every morning."""
    return [
        recording(
            f"{site}/{recorder}{day:02d}.wav",
            f"{datetime(2024, 6, 1) + timedelta(days=day):%Y-%m-%d}T{at}",
            site=site,
            recorder=recorder,
            time_source="audiomoth_header",
        )
        for day in days
    ]


def warnings_of(rows: list[RecordingCount]) -> list[str]:
    return [line.warnings for line in recorders(rows)]


def test_a_line_for_each_recorder() -> None:
    rows = [
        replace(row, battery_v=4.9 - 0.1 * n, temperature_c=20.0 + n, gain="medium")
        for n, row in enumerate(nights())
    ]
    (line,) = recorders(rows)
    assert (line.recordings, line.recorded_h, line.warnings) == (8, 8.0, "")
    assert (line.first_local, line.last_local) == ("2024-06-01T05:00:00", "2024-06-08T06:00:00")
    assert line.battery_first_v == 4.9
    assert line.battery_lowest_v == pytest.approx(4.2)
    assert (line.temperature_lowest_c, line.temperature_highest_c) == (20.0, 27.0)
    assert (line.gain, line.latitude) == ("medium", 4.5)


def test_a_clock_that_was_never_set() -> None:
    lost = recording("z.wav", "1970-01-01T00:10:00", recorder="A", time_source="file_name")
    assert clock_flags(lost) == ["clock_unset"]
    assert clock_flags(replace(lost, time_source="manifest")) == []
    (said,) = warnings_of([*nights(), lost])
    assert "the clock was not set in 1 of 9 recordings (1970)" in said
    (line,) = recorders([lost])
    assert (line.first_local, line.recordings) == ("", 1)
    found = survey([*nights(), lost], [])
    assert len(histories(found, "day")) == 8  # and not all days since 1970
    assert "never set" in left_out(found)[0]


def test_a_clock_that_was_set_back_and_one_that_jumped() -> None:
    rows = nights()
    again = [replace(row, recording=f"again{row.recording}") for row in rows[:2]]
    (said,) = warnings_of([*rows, *again])
    assert "2 recordings begin before the one before has ended, first at 2024-06-01" in said
    (said,) = warnings_of([*rows, *nights(days=range(100, 103))])
    assert "nothing for 92 days after 2024-06-08T06:00:00" in said


def test_a_clock_that_is_an_hour_off_from_some_day_on() -> None:
    rows = [*nights(days=range(6)), *nights(days=range(6, 12), at="06:00:00")]
    (said,) = warnings_of(rows)
    assert said == (
        "from 2024-06-07 on the same schedule begins 60 min later: was its clock changed?"
    )
    rows = [*nights(days=range(6)), *nights(days=range(6, 12), at="09:10:00")]
    assert warnings_of(rows) == [""]  # another schedule


def test_clocks_on_site_that_change_while_the_recorder_says_nothing() -> None:
    rows = [
        recording(
            f"{day}.wav",
            f"2024-10-{day}T05:00:00",
            time_zone="Europe/Paris",
            recorded_at=f"2024-10-{day}T05:00:00+0{2 if day < 27 else 1}:00",
            time_source="file_name",
        )
        for day in range(24, 31)
    ]
    (said,) = warnings_of(rows)
    assert "clocks in Europe/Paris changed between 2024-10-26T05:00:00 and 2024-10-27" in said
    noted = [replace(row, time_source="guano") for row in rows]
    assert warnings_of(noted) == [""]
    offset = [
        replace(row, time_zone=row.recorded_at[-6:], time_source="guano", recorder="A")
        for row in rows
    ]
    (said,) = warnings_of(offset)
    assert said == "its clock's offset changes from +02:00 to +01:00 at 2024-10-27T05:00:00"


def test_two_recorders_with_one_name_and_one_at_two_sites() -> None:
    same_site = [*nights(recorder="A"), *nights(recorder="B")]
    assert warnings_of(same_site) == [
        "another recorder, B, recorded here at the same time",
        "another recorder, A, recorded here at the same time",
    ]
    two_sites = [*nights(), *nights(site="Creek")]
    assert warnings_of(two_sites) == [
        "recorded at Ridge at the same time",
        "recorded at Creek at the same time",
    ]
    moved = [*nights(), *nights(site="Creek", days=range(10, 14))]
    assert warnings_of(moved) == ["", ""]
    nameless = [
        *nights(recorder=""),
        *(replace(r, recording=f"b{r.recording}") for r in nights(recorder="")),
    ]
    (said,) = warnings_of(nameless)
    assert "two recorders have one name" in said


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = nights()
    rows[0] = replace(rows[0], clock_conflict="file_name says 2024-06-01T06:00:00")
    write_results(tmp_path, [*rows, *nights(site="Creek", recorder="B")], [])
    table = tmp_path / "recorders.csv"
    assert main(["recorders", str(tmp_path), "--output", str(table)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["Creek B: 8 recordings, 8.0 h", "Ridge A: 8 recordings, 8.0 h"]
    assert printed[2].startswith("  ! times disagree in 1 of 8 recordings: Ridge/A00.wav begins")
    assert printed[3].endswith("2 recorders, 1 with warnings")
    assert table.read_text().startswith("site,recorder,recordings,first_local")

    report = {"remarks": ["deployments.csv, line 3: no recording"], "other_files": {".wac": 9}}
    (tmp_path / "run.json").write_text(json.dumps(report))
    assert main(["recorders", str(tmp_path), "--output", str(table)]) == 0
    assert "run.json: remarks 1, other files passed over 9" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["audiomoth_gps.wav", "metadata.wav"])
def test_real_audiomoths(field: Path, name: str) -> None:
    note = read_note(str(field / name), name)
    assert len(note.recorder) == 16
    assert note.gain
    assert note.battery_v is not None
    assert 3 < note.battery_v < 5
