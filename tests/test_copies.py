"""The same content under several names is counted once, whatever the order of names and runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inputs.copies import SMALLEST_BYTES, content_key, marked
from pipeline.records import Listed, Place
from tests import nights
from tests.conftest import Count
from tests.test_recorder import AUDIO, comment, riff

pytestmark = pytest.mark.usefixtures("plain_loop")

NAMES = (
    "card1/20240601_050000.WAV",
    "card1/20240601_050000 (1).WAV",
    "card1 copy/20240601_050000.WAV",
)


def lay_out(folder: Path, names: Iterable[str] = NAMES, bursts: int = 2) -> Path:
    first, *others = (folder / name for name in names)
    nights.write_recording(first, bursts)
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(first, other)
    return folder


def outcomes(tmp_path: Path) -> dict[str, str]:
    rows = nights.read(tmp_path / "out" / "counts.csv")
    return {row["recording"][len(str(tmp_path)) + 1 :]: row["outcome"] for row in rows}


def test_copies_are_listed_and_counted_once(tmp_path: Path, count: Count) -> None:
    archive = lay_out(tmp_path / "a")
    nights.write_recording(archive / "card1" / "20240602_050000.WAV", 1)
    assert count("--input", archive) == 0
    assert outcomes(tmp_path) == {
        "a/card1 copy/20240601_050000.WAV": "copy",
        "a/card1/20240601_050000 (1).WAV": "copy",
        "a/card1/20240601_050000.WAV": "ok",
        "a/card1/20240602_050000.WAV": "ok",
    }
    rows = nights.read(tmp_path / "out" / "counts.csv")
    assert rows[0]["error"] == (
        f"has the same content as {archive}/card1/20240601_050000.WAV, which is counted; "
        "--keep_copies counts both"
    )
    assert (rows[0]["call_count"], rows[0]["heard_s"]) == ("", "")
    assert len(nights.read(tmp_path / "out" / "calls.csv")) == 3
    assert [row["calls"] for row in nights.read(tmp_path / "out" / "activity.csv")] == ["2", "1"]
    before = nights.bytes_of(tmp_path / "out")
    assert count("--input", archive) == 0
    assert nights.bytes_of(tmp_path / "out") == before
    assert count("--input", archive, "--keep_copies") == 0
    assert set(outcomes(tmp_path).values()) == {"ok"}
    assert len(nights.read(tmp_path / "out" / "calls.csv")) == 7
    assert count("--input", archive) == 0
    assert len(nights.read(tmp_path / "out" / "calls.csv")) == 3


@pytest.mark.slow
def test_copies_in_later_runs(tmp_path: Path, count: Count) -> None:
    archive = lay_out(tmp_path / "a")
    assert count("--input", archive / "card1") == 0
    assert count("--input", archive / "card1 copy") == 0  # of a card that is not named now
    assert outcomes(tmp_path)["a/card1 copy/20240601_050000.WAV"] == "copy"
    before = nights.bytes_of(tmp_path / "out")
    for _ in range(2):
        assert count("--input", archive / "card1 copy") == 0
        assert nights.bytes_of(tmp_path / "out") == before
    assert count("--input", archive) == 0
    assert list(outcomes(tmp_path).values()) == ["copy", "copy", "ok"]
    # The original becomes another recording: of its copies one is counted now.
    nights.write_recording(archive / NAMES[0], 1, seed=7)
    assert count("--input", archive) == 0
    assert outcomes(tmp_path) == {
        "a/card1 copy/20240601_050000.WAV": "copy",
        "a/card1/20240601_050000 (1).WAV": "ok",
        "a/card1/20240601_050000.WAV": "ok",
    }


def test_two_cards_of_one_schedule_are_no_copies(tmp_path: Path, count: Count) -> None:
    for site in "ab":
        nights.write_recording(tmp_path / "x" / site / "20240601_050000.WAV", 1)
    assert count("--input", tmp_path / "x") == 0
    assert set(outcomes(tmp_path).values()) == {"ok"}


def listed_of(folder: Path, contents: dict[str, bytes]) -> list[Listed]:
    found = []
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        found.append(Listed(str(path), len(content), "1", identity=str(path)))
    return found


def copies_of(listed: Iterable[Listed]) -> dict[str, str]:
    groups: dict[str, list[Listed]] = {}
    for one in listed:
        groups.setdefault(content_key(one), []).append(one)
    found = (one for group in groups.values() for one in marked(group))
    return {os.path.basename(m.recording): os.path.basename(m.copy_of) for m in found if m.copy_of}


HEAD = bytes(range(256)) * 100


def test_only_the_whole_content_tells(tmp_path: Path) -> None:
    contents = {"a.wav": HEAD + b"1", "b.wav": HEAD + b"2", "c.wav": HEAD + b"1", "d.wav": HEAD}
    assert copies_of(listed_of(tmp_path, contents)) == {"c.wav": "a.wav"}


def test_stubs_are_no_copies_of_each_other(tmp_path: Path) -> None:
    stub = b"RIFF" + bytes(SMALLEST_BYTES - 5)
    assert copies_of(listed_of(tmp_path, {"a.wav": stub, "b.wav": stub})) == {}
    assert copies_of(listed_of(tmp_path, {"a.wav": b"", "b.wav": b""})) == {}


def test_names_that_state_different_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("20240601_050000.wav", "20240602_050000.wav", "x_20240601_050000.wav", "y.wav")
    listed = listed_of(tmp_path, dict.fromkeys(names, HEAD))
    assert copies_of(listed) == {names[2]: names[0], "y.wav": names[0]}
    assert "state different times: both are counted" in caplog.text
    stated = comment("Recorded at 05:00:00 01/06/2024 (UTC) by AudioMoth 24526B065D325963")
    content = riff(stated, AUDIO, AUDIO, AUDIO, AUDIO, AUDIO).getvalue()
    listed = listed_of(tmp_path, dict.fromkeys(names[:2], content))  # the header's time holds
    assert copies_of(listed) == {names[1]: names[0]}


def test_a_copy_with_a_place_is_kept(tmp_path: Path) -> None:
    short, long = listed_of(tmp_path, {"a.wav": HEAD, "longer.wav": HEAD})
    placed = Listed(long.recording, long.size, "1", place=Place("Ridge"), identity=long.identity)
    assert copies_of([short, placed]) == {"a.wav": "longer.wav"}


def test_objects_are_compared_by_what_the_listing_tells() -> None:
    found = [
        Listed(f"gs://b/{name}.wav", 5000, "1", told, identity=f"gs://b/{name}.wav")
        for name, told in (("a", "AAAA"), ("b", "BBBB"), ("cc", "AAAA"))
    ]
    assert copies_of(found) == {"cc.wav": "a.wav"}


def test_what_cannot_be_read_is_like_nothing_else(tmp_path: Path) -> None:
    listed = listed_of(tmp_path, {"a.wav": HEAD, "b.wav": HEAD})
    for one in listed:
        os.unlink(one.recording)
    assert copies_of(listed) == {}


@given(st.permutations(range(5)))
def test_the_order_of_names_changes_nothing(order: list[int]) -> None:
    names = ["a.wav", "b (1).wav", "b.wav", "c/a.wav", "d.wav"]
    told = ["AAAA", "AAAA", "BBBB", "AAAA", "BBBB"]
    listed = [
        Listed(f"gs://b/{names[n]}", 5000, "1", told[n], identity=f"gs://b/{names[n]}")
        for n in order
    ]
    assert {m.recording: m.copy_of for m in marked(listed)} == {
        "gs://b/a.wav": "",
        "gs://b/b (1).wav": "gs://b/a.wav",
        "gs://b/b.wav": "",
        "gs://b/c/a.wav": "gs://b/a.wav",
        "gs://b/d.wav": "gs://b/b.wav",
    }
