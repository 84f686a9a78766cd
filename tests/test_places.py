"""Tables of places: by date, with two answers, with none, and as people and Excel write them."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import launch, options
from pipeline.inputs.deployments import (
    at_its_time,
    deployment_of,
    place_from_dict,
    read_deployments,
    rows_of_deployments,
    stated,
    when_and_where,
)
from pipeline.inputs.manifests import check_deployments, check_tables, list_recordings, named_in
from pipeline.inputs.manifests import remarks as remarks_on
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.workbooks import workbook_text
from pipeline.options import UsageError
from pipeline.records import Place, RecorderNote, Stay
from pipeline.storage import files
from tests import fakes, nights

HEADER = "folder,site,lat,lon,deployed_from,deployed_to,time_zone\n"


def placed(folder: Path, *arguments: str) -> dict[str, tuple[str, str]]:
    """Site and local start of each recording that a run would count, by its name below a folder."""
    config = options.parse([*arguments, "--output", str(folder / "out")])
    listed = list_recordings(config)
    check_tables(config, [one.recording for one in listed])
    found = {}
    for one in listed:
        known = when_and_where(one.place, note_from_name(one.recording))
        name = str(Path(one.recording).relative_to(folder))
        found[name] = known["site"], known["recorded_local"]
    return found


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_the_cases_of_deployments(cases: Path) -> None:
    folder = cases / "dep"
    inputs = ["--input", str(folder / "siteA"), "--deployments"]
    first, second = "siteA/20240601_050000.WAV", "siteA/20240602_050000.WAV"
    assert placed(folder, *inputs, str(folder / "two_rows.csv")) == {
        first: ("Ridge", "2024-06-01T05:00:00"),
        second: ("Creek", "2024-06-02T05:00:00"),
    }
    assert placed(folder, *inputs, str(folder / "start_time.csv")) == {
        first: ("Ridge", "2024-06-01T05:00:00"),
        second: ("Ridge", "2024-06-02T05:00:00"),
    }
    table = folder / "same_recording_twice.csv"
    with pytest.raises(ValueError, match=r"rows 2 and 3 both name .*20240601_050000\.WAV"):
        placed(folder, "--manifest", str(table))


def test_the_cases_of_unicode(cases: Path) -> None:
    folder = cases / "unicode"
    for flags in (
        ("--input", str(folder), "--deployments", str(folder / "dep.csv")),
        ("--manifest", str(folder / "manifest.csv")),
    ):
        assert [site for site, _ in placed(folder, *flags).values()] == ["Saül"]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_accents_match_however_they_are_written(tmp_path: Path, on_disk: Any) -> None:
    (other,) = {"NFC", "NFD"} - {on_disk}
    name = "Régina/Forêt/20240601_050000.WAV"
    touch(tmp_path, unicodedata.normalize(on_disk, name))
    written = unicodedata.normalize(other, name)  # type: ignore[arg-type]
    table = tmp_path / "sites.csv"
    table.write_text(f"folder,site\n{written.rpartition('/')[0]},Creek\n")
    listing = tmp_path / "list.txt"
    listing.write_text(written)
    for flags in (["--input", str(tmp_path)], ["--manifest", str(listing)]):
        found = placed(tmp_path, *flags, "--deployments", str(table))
        assert [site for site, _ in found.values()] == ["Creek"]


def test_a_recorder_that_moves_on_within_a_day_and_across_zones(tmp_path: Path) -> None:
    names = [
        "card/20240601_235900.WAV",
        "card/20240602_110000.WAV",
        "card/20240602_110001.WAV",
        "card/20240610_120000.WAV",
        "card/20240602T015900+0000_REC.wav",
        "card/20240602T140001+0000_REC.wav",
    ]
    touch(tmp_path, *names)
    table = tmp_path / "sites.csv"
    table.write_text(
        f"{HEADER}card,Ridge,,,01/06/2024,2024-06-02 11:00,America/Cayenne\n"
        "card,Creek,,,2024-06-02 11:00:01,,-03:00\n"
    )
    found = placed(tmp_path, "--input", str(tmp_path), "--deployments", str(table))
    assert [found[name][0] for name in names] == [
        *("Ridge", "Ridge", "Creek", "Creek", "Ridge", "Creek"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["card,A,,,,,", "card,B,,,,,"], "rows 2 and 3 are both about"),
        (["card,A,,,2024-06-01,2024-06-02,", "card/,B,,,2024-06-02,,"], "rows 2 and 3 are both"),
        (["x,X,,,,,", "card,A,,,2024-05-01,,", "card,B,,,,2024-07-01,"], "rows 3 and 4 are both"),
        (["kard,A,,,,,"], "none of its folders holds a recording: row 2 means"),
        (["card,A,,,2023-06-01,2023-06-05,"], r"row 2 is of 2023-06-01T00:00:00 to 2023-06-05T23"),
        (["card,A,,,2024-06-05,2024-06-01,"], "row 2, deployed_to: lies before deployed_from"),
        (["card,A,,,sometime,,"], "row 2, deployed_from: 'sometime' is no time"),
    ],
)
def test_tables_with_two_answers_or_none_are_refused(
    tmp_path: Path, rows: Sequence[str], message: str
) -> None:
    touch(tmp_path, "card/20240602_050000.WAV", "x/20240602_050000.WAV")
    table = tmp_path / "sites.csv"
    table.write_text(HEADER + "\n".join(rows))
    with pytest.raises(ValueError, match=message) as raised:
        placed(tmp_path, "--input", str(tmp_path / "card"), "--deployments", str(table))
    assert "\n" not in str(raised.value)
    assert "sites.csv" in str(raised.value)


def test_a_day_that_two_rows_share_is_refused_only_with_a_recording_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "card/20240601_050000.WAV", "card/20240603_050000.WAV")
    table = tmp_path / "sites.csv"
    table.write_text(f"{HEADER}card,A,,,2024-06-01,2024-06-02,\ncard,B,,,2024-06-02,2024-06-04,\n")
    flags = ["--input", str(tmp_path), "--deployments", str(table)]
    assert [site for site, _ in placed(tmp_path, *flags).values()] == ["A", "B"]
    with pytest.raises(ValueError, match="rows 2 and 3"):
        check_deployments(
            "t", rows_of_deployments(str(table)), None
        )  # in a bucket: listed by the job
    touch(tmp_path, "card/20240602_050000.WAV")
    with pytest.raises(ValueError, match=r"rows 2 and 3 .*20240602_050000\.WAV"):
        placed(tmp_path, *flags)


def test_the_time_in_a_header_decides_where_a_name_says_nothing(tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    table.write_text(f"{HEADER}card,A,,,,2024-06-01,\ncard,B,,,2024-06-02,,\n")
    touch(tmp_path, "card/rec1.wav")
    place = deployment_of(str(tmp_path / "card/rec1.wav"), read_deployments(str(table)))
    for clock, site in (("2024-06-01T23:59:59", "A"), ("2024-06-02T00:00:00", "B")):
        assert when_and_where(place, RecorderNote(clock, "", "guano"))["site"] == site
    assert when_and_where(place, RecorderNote())["site"] == ""
    assert when_and_where(place, RecorderNote("1970-01-01T00:00:05", "", "guano"))["site"] == ""
    one = Place(stays=place.stays[:1])
    assert when_and_where(one, RecorderNote())["site"] == "A"
    assert when_and_where(one, RecorderNote("2024-07-01T00:00:00", "", "guano"))["site"] == ""


@given(
    st.lists(st.integers(0, 300), min_size=2, max_size=12, unique=True),
    st.integers(-5, 305),
)
def test_of_stays_that_follow_one_another_one_holds_at_most(bounds: list[int], day: int) -> None:
    def date(n: int, clock: str) -> str:
        return (
            f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}T{clock}" if n >= 0 else f"2023-12-01T{clock}"
        )

    ordered = sorted(bounds)
    stays = tuple(
        Stay(date(first, "00:00:00"), date(end - 1, "23:59:59.999999"), Place(f"{first}"))
        for first, end in itertools.pairwise(ordered)
    )
    place = at_its_time(Place(stays=stays), RecorderNote(date(day, "12:00:00")))
    inside = [str(f) for f, e in itertools.pairwise(ordered) if f <= day < e]
    assert place == Place(inside[0] if inside else "")
    kept = Place("x", stays=stays)
    assert place_from_dict(stated(kept)) == kept
    assert "stays" not in stated(Place("x"))


def test_recorded_at_of_a_folder_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "sites.csv"
    table.write_text("folder,recorded_at\ncard,2024-06-01 05:00\n")
    with pytest.raises(ValueError, match=r"row 2, recorded_at: .* state deployed_from"):
        read_deployments(str(table))


def test_rows_of_two_manifests_that_differ_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    for name, site in (("one", "Ridge"), ("same", "Ridge"), ("other", "Creek")):
        (tmp_path / f"{name}.csv").write_text(f"recording,site\n./a.wav,{site}\na.wav,{site}\n")
    one, same, other = (str(tmp_path / f"{name}.csv") for name in ("one", "same", "other"))
    assert placed(tmp_path, "--manifest", one, "--manifest", same) == {"a.wav": ("Ridge", "")}
    with pytest.raises(ValueError, match=r"row 2, and row 2 of .*one\.csv, both name"):
        placed(tmp_path, "--manifest", one, "--manifest", other)


def test_names_as_windows_and_people_write_them(tmp_path: Path) -> None:
    names = ["#1.mp3", " a.wav", "b.wav", "card/x.wav", "[s 1]/y.wav", "[s 1]/[z].wav", "s/n.wav"]
    touch(tmp_path, *names)
    listing = tmp_path / "list.txt"
    listing.write_text("# all of June\n#1.mp3\n a.wav\n  b.wav\ncard\\x.wav\n[s 1]/*.wav\n#2.mp3\n")
    found = [str(Path(n).relative_to(tmp_path)) for n in named_in(str(listing))]
    assert found == [*names[:4], "[s 1]/[z].wav", "[s 1]/y.wav"]
    config = options.parse(["--manifest", str(listing), "--output", "x"])
    (remark,) = remarks_on(config, [])
    assert "1 lines such as '#2.mp3' (row 7) are comments" in remark
    table = tmp_path / "table.csv"
    table.write_text("recording,site\n#1.mp3,A\n# a.wav,B\ncard\\x.wav,C\n  b.wav,D\n a.wav,E\n")
    assert {n: site for n, (site, _) in placed(tmp_path, "--manifest", str(table)).items()} == {
        "#1.mp3": "A",
        "card/x.wav": "C",
        "b.wav": "D",
        " a.wav": "E",
    }
    sites = tmp_path / "sites.csv"
    sites.write_text("folder,site\n.\\card,C\n[s 1],S\n")
    flags = ["--input", str(tmp_path), "--deployments", str(sites)]
    found_sites = {n: site for n, (site, _) in placed(tmp_path, *flags).items()}
    assert found_sites == dict.fromkeys(names, "") | {
        "card/x.wav": "C",
        "[s 1]/y.wav": "S",
        "[s 1]/[z].wav": "S",
    }


def test_a_manifest_of_which_nothing_is_there_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "card/1.wav")
    table = tmp_path / "stations.csv"
    for names in ("crad/1.wav\ncrad/2.wav", "/mnt/1.wav\nD:\\card\\2.wav"):
        table.write_text(f"recording\n{names}\n")
        with pytest.raises(
            ValueError, match=r"none of its 2 recordings is there, such as .*holds card"
        ):
            named_in(str(table))
    table.write_text("recording\ncrad/1.wav\ncard\\1.wav\n")
    assert len(named_in(str(table))) == 2
    table.write_text("recording\ngs://bucket/1.wav\n")
    assert named_in(str(table)) == ["gs://bucket/1.wav"]


def test_brackets_in_a_folder_need_no_escape(tmp_path: Path) -> None:
    touch(tmp_path, "[ab]/1.wav", "a/2.wav", "card [3]/4/5.wav", "card 3/6.wav", "x[-3 60]_1.wav")

    def expanded(pattern: str) -> list[str]:
        return [str(Path(n).relative_to(tmp_path)) for n in files.expand(f"{tmp_path}/{pattern}")]

    assert expanded("[ab]/*.wav") == ["[ab]/1.wav"]
    assert expanded("[xa]/*.wav") == ["a/2.wav"]
    assert expanded("card [3]/**/*.wav") == ["card [3]/4/5.wav"]
    assert expanded("*/[3]/*.wav") == []
    assert expanded("x[-3 60]*.wav") == ["x[-3 60]_1.wav"]
    listing = tmp_path / "list.txt"
    listing.write_text("gone/*.wav\n")
    with pytest.raises(ValueError, match=r"row 1, .*gone/\*\.wav: matches no file"):
        named_in(str(listing))


def workbook(path: Path, rows: Sequence[Sequence[str | float]], dates: Sequence[int] = ()) -> None:
    """A workbook whose first sheet is hidden, with dates in some columns."""
    book = openpyxl.Workbook()
    book.active.sheet_state = "hidden"
    sheet = book.create_sheet("sites")
    for row in rows:
        sheet.append(row)
    for column in dates:
        for row in sheet.iter_rows(2, min_col=column + 1, max_col=column + 1):
            row[0].number_format = "dd/mm/yyyy hh:mm"
    book.save(path)


def test_workbooks_are_tables(tmp_path: Path) -> None:
    touch(tmp_path, "Saül & co/20240601_050000.WAV", "Saül & co/20240603_120001.WAV")
    path = tmp_path / "sites.xlsx"
    day = 45444.0  # 2024-06-01
    workbook(
        path,
        [
            ["folder", "site", "lat", "lon", "deployed_from", "deployed_to", "time_zone"],
            [],
            ["Saül & co", "Ridge", 3.6, -53.2, day, day + 2.5, "America/Cayenne"],
        ],
        dates=(4, 5),
    )
    lines = workbook_text(path.read_bytes()).splitlines()
    assert lines[1:] == [
        "",
        "Saül & co,Ridge,3.6,-53.2,2024-06-01,2024-06-03 12:00:00,America/Cayenne",
    ]
    flags = ["--input", str(tmp_path), "--deployments", str(path)]
    assert [site for site, _ in placed(tmp_path, *flags).values()] == ["Ridge", ""]
    config = options.parse([*flags, "--output", "x"])
    names = [one.recording for one in list_recordings(config)]
    assert ["1 recordings were made, by their names, before or after" in line
            for line in remarks_on(config, names)] == [True]  # fmt: skip
    workbook(path, [["folder", "site", "lat"], ["card", "A", 93.5]])
    with pytest.raises(ValueError, match=r"sites\.xlsx: row 2, latitude: 93\.5 degrees"):
        read_deployments(str(path))


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 cut off", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 of Excel 97"]
)
def test_a_spreadsheet_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    table = tmp_path / "sites.xls"
    table.write_bytes(content)
    with pytest.raises(ValueError, match=r"sites\.xls: is no \.xlsx workbook .* save it as CSV"):
        read_deployments(str(table))


@pytest.mark.usefixtures("plain_loop")
def test_a_run_goes_by_the_date_or_is_refused_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    for name in ("20240601_050000.WAV", "20240602_050000.WAV"):
        nights.write_recording(tmp_path / "card" / name, 1)
    flags = ["--model", fakes.write_model(tmp_path / "model"), "--output", tmp_path / "out"]
    table = tmp_path / "sites.csv"
    flags += ["--input", tmp_path / "card", "--deployments", table]
    table.write_text("folder,site\ndrac,Ridge\n")
    with pytest.raises(UsageError, match="none of its folders holds a recording"):
        nights.launch_here(*flags)
    assert not (tmp_path / "out").exists()
    table.write_text(f"{HEADER}card,Ridge,,,,2024-06-01,\ncard,Creek,4,-52,2024-06-02,,\n")
    assert nights.launch_here(*flags) == 0
    rows = nights.read(tmp_path / "out/counts.csv")
    assert [(row["site"], row["latitude"]) for row in rows] == [
        ("Ridge", ""),
        ("Creek", "4.000000"),
    ]
    before = nights.bytes_of(tmp_path / "out")
    assert nights.launch_here(*flags) == 0
    assert nights.bytes_of(tmp_path / "out") == before
