"""What was said once holds: sites, zones and places of earlier runs, and recordings that moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import launch, options
from pipeline.__main__ import main
from pipeline.inputs.deployments import KEPT_TABLE, rows_of_deployments
from pipeline.ledger import sites
from pipeline.options import UsageError
from pipeline.run import run_of
from pipeline.store import parts
from pipeline.store.moves import write_moves
from pipeline.survey.findings import read_survey
from tests import fakes, nights

pytestmark = pytest.mark.usefixtures("plain_loop")

Count = Callable[..., list[tuple[str, str, str]]]


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Counts in a folder by relative names. Gives site, zone and latitude of each recording."""
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    monkeypatch.chdir(tmp_path)
    for name in ("a/20240601_050000.wav", "b/20240601_060000.wav"):
        nights.write_recording(tmp_path / name, 1)
    model = fakes.write_model(tmp_path / "model")

    def run(*arguments: str) -> list[tuple[str, str, str]]:
        assert nights.launch_here("--model", model, "--output", "out", *arguments) == 0
        rows = nights.read(tmp_path / "out" / "counts.csv")
        return [(row["site"], row["time_zone"], row["latitude"]) for row in rows]

    return run


def kept_tables(folder: Path) -> list[Path]:
    return sorted(Path(parts.ledger(str(folder / "out"))).glob(f"*{KEPT_TABLE}"))


RIDGE, CREEK = ("Ridge", "America/Cayenne", "4.000000"), ("Creek", "-03:00", "")


@pytest.mark.slow
def test_sites_and_zones_hold_until_others_are_stated(
    tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "sites.csv"
    table.write_text("folder,site,lat,lon,time_zone\na,Ridge,4,-52,America/Cayenne\nb,Creek,,,\n")
    stated = ["--deployments", "sites.csv", "--time-zone", "-03:00"]
    assert count("a", "b", *stated) == [RIDGE, CREEK]
    assert "as an earlier run" not in capsys.readouterr().err
    table.unlink()
    assert count("a", "b") == [RIDGE, CREEK]
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "an earlier run" in one]
    assert f"sites of {table} and clocks in -03:00, as an earlier run" in line
    nights.write_recording(tmp_path / "a" / "20240602_050000.wav", 1)
    nights.write_recording(tmp_path / "c" / "20240602_050000.wav", 1)
    assert count("a", "b", "c") == [RIDGE, RIDGE, CREEK, ("", "-03:00", "")]
    assert len(kept_tables(tmp_path)) == 1
    table.write_text("folder,site\nb,Stream\n")
    assert count("a", "b", "--deployments", "sites.csv")[:3] == [
        *(("", "-03:00", ""), ("", "-03:00", ""), ("Stream", "-03:00", "")),
    ]
    assert count("b", "--deployments", "none", "--time-zone", "none")[2] == ("", "", "")
    assert count("b")[2] == ("", "", "")
    assert len(kept_tables(tmp_path)) == 3


def test_what_a_manifest_said_of_a_recording_holds(tmp_path: Path, count: Count) -> None:
    table = tmp_path / "stations.csv"
    table.write_text(
        "recording,site,lat,lon,recorded_at,time_zone\n"
        "a/20240601_050000.wav,Ridge,4,-52,2024-06-01 05:30,America/Cayenne\n"
        "b/20240601_060000.wav,Creek,,,,-03:00\n"
    )
    assert count("--manifest", "stations.csv") == [RIDGE, CREEK]
    before = nights.bytes_of(tmp_path / "out")
    assert count("a", "b") == [RIDGE, CREEK]
    assert nights.bytes_of(tmp_path / "out") == before
    assert count("a", "b", "--deployments", "none") == [("", "", ""), ("", "", "")]


def test_a_run_with_nothing_to_do_keeps_what_it_was_told(
    tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sites.csv").write_text("folder,site,observer\na,Ridge,Ana\n")
    flags = ["a", "--deployments", "sites.csv", "--model", "model", "--output", "out"]
    assert main(["count", *flags]) == 0
    (remark,) = json.loads((tmp_path / "out/run.json").read_text())["remarks"]
    assert remark == "sites.csv: columns that are not used: observer"
    assert remark in (tmp_path / "out/report.html").read_text("utf-8")
    assert f"capuchinbird: {remark}\n" in capsys.readouterr().err
    (kept,) = kept_tables(tmp_path)  # of an output that an earlier version made there is none
    kept.unlink()
    assert main(["count", *flags]) == 0
    assert len(kept_tables(tmp_path)) == 1
    assert main(["count", flags[0], *flags[3:]]) == 0
    (remark,) = json.loads((tmp_path / "out/run.json").read_text())["remarks"]
    assert f"sites of {tmp_path}/sites.csv, as an earlier run" in remark


def test_damage_is_seen_and_one_copy_is_enough(tmp_path: Path, count: Count) -> None:
    (tmp_path / "sites.csv").write_text("folder,site\na,Ridge\n")
    count("a", "--deployments", "sites.csv")
    (kept,) = kept_tables(tmp_path)
    content = kept.read_bytes()
    kept.write_bytes(b"x" + content[1:])
    assert count("a")[0][0] == "Ridge"
    kept.write_bytes(content.replace(b"Ridge", b"Rigde"))
    with pytest.raises(UsageError, match="is damaged; state --deployments and --time-zone again"):
        count("a")


def test_folders_of_sites_move_with_their_recordings(tmp_path: Path, count: Count) -> None:
    (tmp_path / "sites.csv").write_text("folder,site\na,Ridge\n")
    count("a", "--deployments", "sites.csv")
    ledger = parts.ledger("out")
    write_moves(ledger, "9", [(str(tmp_path / "a"), "/archive/a")])
    sites.keep(run_of(options.parse(["x", "--output", "out", "--model", "model"])).config, "91")
    config = run_of(options.parse(["x", "--output", "out", "--model", "model"])).config
    assert config.deployments
    assert [row.folder for row in rows_of_deployments(config.deployments)] == ["/archive/a"]


@pytest.mark.slow
def test_clips_and_reviews_find_recordings_that_were_moved(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sites.csv").write_text("folder,site\ncard,Ridge\n")
    for n in range(4):
        nights.write_recording(tmp_path / "card" / f"2024060{n + 1}_050000.wav", 1, seed=n)
    count("card", "--deployments", "sites.csv")
    (tmp_path / "card").rename(tmp_path / "archive")
    found = count("archive", "--moved", "card=archive")
    assert [site for site, _, _ in found] == ["Ridge"] * 4
    for folder in (tmp_path, tmp_path / "elsewhere"):
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        out = str(tmp_path / "out")
        assert main(["clips", out, "--output", str(folder / "clips")]) == 0
        assert len(list((folder / "clips" / "Ridge").glob("*.flac"))) == 4
        assert main(["review", out, "--output", str(folder / "review")]) == 0
        assert (folder / "review" / "review.html").is_file()
    monkeypatch.chdir(tmp_path)
    labels = tmp_path / "labels.csv"  # of before the move, and of after it
    stratum = "call 0.000000-1.000000"
    labels.write_text(
        "recording,start_s,end_s,score,site,stratum,label\n"
        f"card/20240601_050000.wav,2,5,0.9,Ridge,{stratum},yes\n"
        f"{tmp_path}/archive/20240602_050000.wav,2,5,0.9,Ridge,{stratum},no\n"
    )
    survey = read_survey(out, labels=[str(labels)])
    assert not survey.remarks
    judged = [finding for finding in survey.findings if finding.verdict]
    assert {Path(one.recording.recording).name: one.is_verified for one in judged} == {
        "20240601_050000.wav": True,
        "20240602_050000.wav": False,
    }
    labels.write_text(labels.read_text().replace("card/", "drac/").replace("archive/", "gone/"))
    with pytest.raises(ValueError, match=r"labels no recording of .*, but .*gone/20240602"):
        read_survey(out, labels=[str(labels)])
