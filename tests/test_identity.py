"""What a recording is called: fixed when it is listed, one name for one recording, moves told."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.inference import decode
from pipeline.options import UsageError
from pipeline.storage import files
from pipeline.tables.read import read_scores
from tests import nights
from tests.conftest import Count

pytestmark = pytest.mark.usefixtures("plain_loop")


def names(tmp_path: Path) -> list[str]:
    return [row["recording"] for row in nights.read(tmp_path / "out" / "counts.csv")]


@pytest.mark.slow
def test_one_name_for_two_recordings_is_refused(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    for site, bursts in (("siteA", 1), ("siteB", 2)):
        nights.write_recording(tmp_path / site / "rec" / "a.wav", bursts)
    monkeypatch.chdir(tmp_path / "siteA")
    assert count("--input", "rec") == 0
    monkeypatch.chdir(tmp_path / "siteB")
    with pytest.raises(UsageError, match=f"its rec/a.wav is {tmp_path}/siteA/rec/a.wav"):
        count("--input", "rec")
    assert count("--input", tmp_path / "siteB" / "rec") == 0
    assert names(tmp_path) == [f"{tmp_path}/siteB/rec/a.wav", "rec/a.wav"]


@pytest.mark.slow
@pytest.mark.parametrize("copied", [False, True])
def test_a_moved_archive_is_recognised_and_keeps_its_counts(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch, copied: bool
) -> None:
    usb1, usb2, out = tmp_path / "usb1", tmp_path / "usb2", tmp_path / "out"
    for k in range(3):
        nights.write_recording(usb1 / "rec" / f"{k}.wav", bursts=k, seed=k)
    (usb1 / "rec" / "damaged.wav").write_text("no audio")
    assert count("--input", usb1) == 0
    before = nights.tables(out)
    if copied:  # the times of change are those of the copy
        shutil.copytree(usb1, usb2, copy_function=shutil.copyfile)
        shutil.rmtree(usb1)
    else:
        usb1.rename(usb2)
    with pytest.raises(UsageError, match=f"3 .* gone, .* add --moved {usb1}={usb2}$"):
        count("--input", usb2)
    with pytest.raises(UsageError, match="holds no recording below"):
        count("--input", usb2, "--moved", f"{usb1}/other={usb2}")

    moved = ("--input", usb2, "--moved", f"{usb1}={usb2}")
    with monkeypatch.context() as patch:
        patch.delattr(decode, "read_header")
        patch.delattr(decode, "decode_segment")
        assert count(*moved) == 0
    for table, rows in before.items():
        for row in rows:
            row["recording"] = row["recording"].replace(str(usb1), str(usb2))
        assert [{**row, "error": ""} for row in nights.tables(out)[table]] == [
            {**row, "error": ""} for row in rows
        ]
    assert count("--input", usb2) == 0
    assert count(*moved) == 0  # as a timer would
    assert len(names(tmp_path)) == 4
    assert len(read_scores(str(out), names(tmp_path))) == 3
    rescored = ["rescore", "--output", str(out), "--model", str(tmp_path / "model")]
    assert main([*rescored, "--threshold", "0.9", "--direct_running_mode=in_memory"]) == 0
    counts = {Path(r["recording"]).name: r["threshold"] for r in nights.read(out / "counts.csv")}
    assert {counts[f"{k}.wav"] for k in range(3)} == {"0.90000"}


@pytest.mark.slow
def test_a_folder_is_recognised_under_any_name_and_again(tmp_path: Path, count: Count) -> None:
    """Nothing in its name or in those of its recordings says that it was here before."""
    card = tmp_path / "card"
    for k in range(8):
        nights.write_recording(card / f"{k}.wav", bursts=1, seed=k)
    assert count("--input", card) == 0
    for name in ("archive", "attic"):
        before, card = card, tmp_path / name
        before.rename(card)
        with pytest.raises(UsageError, match=f"8 .* gone, .* add --moved {before}={card}$"):
            count("--input", card)
        assert count("--input", card, "--moved", f"{before}={card}") == 0
    assert len(names(tmp_path)) == 8


@pytest.mark.slow
def test_one_of_many_recorders_with_one_schedule_is_recognised(
    tmp_path: Path, count: Count
) -> None:
    for site in range(9):
        for hour in (5, 6):
            path = tmp_path / "sites" / f"site{site}" / f"20240611_0{hour}0000.WAV"
            nights.write_recording(path, bursts=1, seed=10 * site + hour)
    assert count("--input", tmp_path / "sites") == 0
    (tmp_path / "sites" / "site7").rename(tmp_path / "sites" / "site70")
    with pytest.raises(UsageError, match="2 recordings are gone, and 2 new ones"):
        count("--input", tmp_path / "sites")


@pytest.mark.slow
def test_what_comes_to_lie_where_others_lay_is_another_recording(
    tmp_path: Path, count: Count
) -> None:
    card, archive = tmp_path / "card", tmp_path / "archive"
    nights.write_recording(card / "a.wav", bursts=1, seed=1)
    assert count("--input", card) == 0
    card.rename(archive)
    nights.write_recording(card / "a.wav", bursts=2, seed=2)
    assert count("--input", card, archive, "--moved", f"{card}={archive}") == 0
    rows = nights.read(tmp_path / "out" / "counts.csv")
    assert {Path(r["recording"]).parent.name: r["call_count"] for r in rows} == {
        "card": "2",
        "archive": "1",
    }


@pytest.mark.slow
def test_recorders_with_one_schedule_are_not_taken_for_each_other(
    tmp_path: Path, count: Count, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long for a checksum, with times as a card keeps them: told, and not refused."""
    from pipeline.inputs import versions

    monkeypatch.setattr(versions, "CHECKED_BYTES", 1000)
    for k, card in enumerate(("card1", "card2")):
        path = tmp_path / card / "20240601_050000.WAV"
        nights.write_recording(path, bursts=k, seed=k)
        os.utime(path, (1_717_210_800, 1_717_210_800))
        assert count("--input", tmp_path / card) == 0
        path.unlink()
    assert "if they were moved, they are counted twice now" in caplog.text
    assert len(names(tmp_path)) == 2


def test_a_listing_ends_though_links_lead_round_and_round(tmp_path: Path) -> None:
    folder = tmp_path / "archive" / "night3"
    folder.mkdir(parents=True)
    (folder / "a.wav").touch()
    (tmp_path / "archive" / "latest").symlink_to("night3")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.wav").touch()
    (tmp_path / "archive" / "linked").symlink_to(elsewhere)
    for link in ("one", "two", "three"):
        (folder / link).symlink_to(tmp_path / "archive")
        (elsewhere / link).symlink_to(elsewhere)
    archive = f"{tmp_path}/archive"
    expected = [f"{archive}/linked/b.wav", f"{archive}/night3/a.wav"]
    assert files.expand(f"{archive}/**/*.wav") == expected
    assert files.expand(archive) == expected[1:]  # a folder's own


def test_the_stars_of_a_pattern_reach_as_far_as_glob_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import glob

    for name in ("a.wav", "x/b.wav", "x/y/c.wav", "x/[z]/d.wav", ".hidden/e.wav", "x/y/w/f.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for pattern in ("**/*.wav", "x/**/*.wav", "**/y/**/*.wav", "**", "x/**", "*/**/c.wav", "./**"):
        for written in (pattern, f"{tmp_path}/{pattern}"):
            expected = filter(os.path.isfile, glob.iglob(written, recursive=True))
            found = filter(os.path.isfile, files._glob(written))
            assert set(map(os.path.normpath, found)) == set(map(os.path.normpath, expected))


@pytest.mark.slow
def test_the_note_of_drift_goes_when_run_json_has_it(tmp_path: Path, count: Count) -> None:
    nights.write_recording(tmp_path / "rec" / "a.wav", bursts=1)
    assert count("--input", tmp_path / "rec") == 0
    assert list((tmp_path / "out" / "ledger").glob("*.drift.json")) == []
    assert "histogram" in (tmp_path / "out" / "run.json").read_text()
