"""Tables as people's spreadsheets save them, and what is said where nothing can be understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import options
from pipeline.inputs.deployments import read_deployments
from pipeline.inputs.manifests import read_manifest, read_places, remarks
from pipeline.records import Place

CAMP = Place("Saül", 3.6, -53.2, "2024-06-01T05:45:00", "America/Cayenne")
COMMA = "recording,site,latitude,longitude,recorded_at,time_zone\n"
SEMICOLON = COMMA.replace(",", ";")


@pytest.mark.parametrize(
    "text",
    [
        COMMA + "a.wav,Saül,3.6,-53.2,2024-06-01 05:45,America/Cayenne\n",
        COMMA + 'a.wav,Saül,"3,6","-53,2",01/06/2024 5:45,America/Cayenne\n',
        SEMICOLON + "a.wav;Saül;3,6;-53,2;01/06/2024 5:45;America/Cayenne\n",
        SEMICOLON + "a.wav; Saül ;3,6°;-53,2;01.06.2024 05:45:00;America/Cayenne;;\n;;;;;\n",
        COMMA.replace(",", "\t") + "a.wav\tSaül\t3,6\t-53,2\t2024/6/1 5:45\tAmerica/Cayenne\n",
        "sep=;\r\n" + SEMICOLON + "a.wav;Saül;3,6;-53,2;1-6-2024 5h45;America/Cayenne\r\n",
        "# made by hand\n" + COMMA + "# one\na.wav,Saül,3.6,-53.2,2024-06-01T05:45,America/Cayenne",
        "Time Zone;Lat;LON;Start time;Station;URI;Notas\n"
        "America/Cayenne;3,6;-53,2;01/06/2024 05:45;Saül;a.wav;llovió\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_the_same_table_from_any_country(tmp_path: Path, text: str, encoding: str) -> None:
    table = tmp_path / "manifest.csv"
    table.write_bytes(text.encode(encoding))
    assert list(read_places(str(table))) == [(str(tmp_path / "a.wav"), CAMP)]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("a.wav,,north,0,,", "row 3, latitude: 'north' is no position; write decimal degrees"),
        ("a.wav,,91,0,,", "row 3, latitude: 91 degrees lie outside -90 to 90"),
        ("a.wav,,0,0,,Saül", "row 3, time_zone: time zone 'Saül': give a name such as"),
        (
            "a.wav,,0,0,06/13/2024 05:45,",
            "row 3, recorded_at: '06/13/2024 05:45' is no time",
        ),
        ("a.wav,,0,0,yesterday,", "write 2024-06-01 05:45, 2024-06-01T05:45:00-03:00 or"),
        ("a.wav,,0,0,01/06/1024 5:45,", "the year must be 1970 to 2100"),
        ("a.wav,,3,6,-53,2,01/06/2024", "row 3 has 7 cells, the header 6"),
    ],
)
def test_what_cannot_be_understood_is_named_in_one_line(
    tmp_path: Path, cells: str, message: str
) -> None:
    table = tmp_path / "manifest.csv"
    table.write_text(f"{COMMA}b.wav,,,,,\n{cells}\n")
    with pytest.raises(ValueError, match="manifest") as raised:
        list(read_places(str(table)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_columns_of_one_meaning_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "manifest.csv"
    table.write_text("recording,lat,latitude\na.wav,1,2\n")
    with pytest.raises(ValueError, match="two columns for latitude"):
        list(read_manifest(str(table)))


def test_a_list_may_hold_comments_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("card/1.wav", "card/sub/2.WAV", "other/3.flac", "other/4.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    listing = tmp_path / "list.txt"
    listing.write_text("# Saül, June\ncard\n\nother/*.flac\nmissing.wav\n")
    names = [str(Path(name).relative_to(tmp_path)) for name in read_manifest(str(listing))]
    assert names == ["card/1.wav", "card/sub/2.WAV", "other/3.flac", "missing.wav"]


def test_deployments_without_recordings_and_unused_columns_are_said(tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    table.write_text("folder;site;lat;lon;observer\nA;Ridge;4,1;-52,6;Ana\nB;Creek;4,2;-52,7;Luz\n")
    assert read_deployments(str(table))[str(tmp_path / "A")] == Place("Ridge", 4.1, -52.6)
    flags = ["--input", str(tmp_path), "--output", "x", "--deployments", str(table)]
    names = [str(tmp_path / "A" / "1.wav"), str(tmp_path / "C" / "2.wav")]
    nobody, without, unused = remarks(options.parse(flags), names)
    assert f"no recording lies in {tmp_path / 'B'}" in nobody
    assert "has no row for 1 of the recordings" in without
    assert "columns that are not used: observer" in unused


def test_a_deployment_table_without_folders_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    table.write_text("sitio;lat;lon\nRidge;4,1;-52,6\n")
    with pytest.raises(ValueError, match="no column named folder in its first row"):
        read_deployments(str(table))
