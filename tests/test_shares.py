"""Shares of the recordings: how they are cut, counted and joined."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.ledger import shares
from pipeline.ledger.shares import EACH_BYTES, Record, cut, cuts_of
from pipeline.options.values import Share, one_share
from pipeline.run import run_of
from pipeline.storage import files
from pipeline.store import parts
from tests import nights
from tests.conftest import Count

pytestmark = pytest.mark.usefixtures("plain_loop")

NAMES = st.one_of(
    st.builds(
        "/a/S{}_202406{:02d}_{:02d}0000.wav".format, *map(st.integers, (0,) * 3, (3, 30, 23))
    ),
    st.builds("/b/take {}.wav".format, st.integers(0, 400)),  # without a date: one large part
)
SIZES = st.dictionaries(NAMES, st.integers(-1, 2**33), max_size=60)


@given(SIZES, st.integers(1, 20))
@example({f"/b/take {n}.wav": 10**6 for n in range(40)}, 16)
def test_each_recording_is_in_one_share_and_shares_weigh_alike(
    sizes: dict[str, int], of: int
) -> None:
    numbers = cut(sizes, of)
    assert numbers.keys() == sizes.keys()
    assert set(numbers.values()) <= set(range(1, of + 1))
    weights = {one: max(0, size) + EACH_BYTES for one, size in sizes.items()}
    of_share: Counter[int] = Counter()
    for one, number in numbers.items():
        of_share[number] += weights[one]
    stretch = sum(weights.values()) / of
    heaviest = max([*weights.values(), stretch / shares.WHOLE_PARTS], default=0)
    assert all(weight <= stretch + heaviest + 1 for weight in of_share.values())


@given(SIZES, st.integers(1, 20), st.randoms())
def test_a_cut_depends_on_the_listing_alone_and_divides_few_parts(
    sizes: dict[str, int], of: int, dice: Any
) -> None:
    items = list(sizes.items())
    dice.shuffle(items)
    numbers = cut(dict(items), of)
    assert numbers == cut(sizes, of)
    shares_of = {(parts.part_of(one), number) for one, number in numbers.items()}
    assert len(shares_of) - len({part for part, _ in shares_of}) <= of - 1


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two recorders' nights, recordings without a date, a damaged one and a copy."""
    folder = tmp_path / "archive"
    for site in ("S1", "S2"):
        for day in (1, 2):
            nights.write_recording(folder / site / f"{site}_2024060{day}_050000.wav", day, 9)
    for n in range(5):
        nights.write_recording(folder / f"take {n}.wav", n % 2, 6 + n)
    (folder / "damaged.wav").write_text("no audio" * 1000)
    (folder / "z copy.wav").write_bytes((folder / "take 3.wav").read_bytes())
    return folder


RUN_ID = re.compile(rb"\d{8}T[\d.]+Z-[0-9a-f]{6}")


def tables(output: Path) -> dict[str, bytes]:
    """All tables and other programs' files; in place of run ids, a word."""
    below = (path for path in sorted(output.rglob("*")) if path.suffix in (".csv", ".txt"))
    return {
        str(path.relative_to(output)): RUN_ID.sub(b"RUN", path.read_bytes())
        for path in below
        if "ledger" not in path.parts
    }


def run_json(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "run.json").read_text())
    return report


@pytest.mark.slow
@pytest.mark.parametrize("of", [3, 13])  # 13: more than recordings
def test_shares_and_a_join_leave_what_one_run_leaves(
    archive: Path, tmp_path: Path, count: Count, of: int, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    assert count(archive, "--format", "raven", output=one) == 0
    for number in range(of, 0, -1):
        flags = ["--format", "raven", "--share", f"{number}/{of}"]
        assert count(archive, *flags, output=out) == 0
        assert not (out / "run.json").exists()
        assert not (out / "counts.csv").exists()
    capsys.readouterr()
    assert main(["join", str(out)]) == 0
    assert "11 recordings, 8 calls" in capsys.readouterr().out
    assert tables(out) == tables(one)
    joined, whole = run_json(out), run_json(one)
    for name in ("totals", "output", "other_files", "drift", "data_sets", "remarks"):
        assert joined[name] == whole[name]
    assert joined["shares"] == [{"of": of, "missing": []}]
    before = tables(out)
    assert main(["join", str(out)]) == 0  # once more changes nothing
    assert (tables(out), run_json(out)["totals"]) == (before, joined["totals"])
    assert count(archive, "--format", "raven", output=out) == 0
    assert run_json(out)["shares"] == []
    assert run_json(out)["totals"]["outcomes"]["skipped"] == 11


@pytest.mark.slow
def test_a_missing_share_is_said_until_it_or_a_whole_run_has_come(
    archive: Path, tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for number in (1, 3):
        assert count(archive, "--share", f"{number}/3", output=out) == 0
    assert main(["join", str(out)]) == 1
    assert "1 of 3 shares missing (2/3): run them again" in capsys.readouterr().err
    assert run_json(out)["shares"] == [{"of": 3, "missing": [2]}]
    assert "1 of 3 shares missing (2/3)" in run_json(out)["remarks"][-1]
    n_rows = len(nights.read(out / "counts.csv"))
    assert 0 < n_rows < 11
    assert run_json(out)["totals"]["inputs"] == n_rows

    other = tmp_path / "other"
    nights.write_recording(other / "x.wav", 1)
    assert count(other, output=out) == 1  # is no part of what was cut
    assert run_json(out)["shares"] == [{"of": 3, "missing": [2]}]
    assert len(nights.read(out / "counts.csv")) == n_rows + 1

    capsys.readouterr()
    assert main(["rescore", str(out), "--model", str(tmp_path / "model")]) == 1
    assert "1 of 3 shares missing (2/3)" in capsys.readouterr().err

    assert count(archive, "--share", "2/3", output=out) == 0
    assert main(["join", str(out)]) == 0
    assert len(nights.read(out / "counts.csv")) == 12
    assert run_json(out)["totals"]["inputs"] == 11


def test_a_whole_run_does_what_shares_have_left(
    archive: Path, tmp_path: Path, count: Count
) -> None:
    out = tmp_path / "out"
    assert count(archive, "--share", "2/3", output=out) == 0
    assert count(archive, output=out) == 0
    assert run_json(out)["shares"] == []
    assert len(nights.read(out / "counts.csv")) == 11
    assert not list((out / "ledger" / "shares").iterdir())


def test_a_share_that_was_killed_or_goes_on_is_missing(
    archive: Path, tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for number in (1, 2):
        assert count(archive, "--share", f"{number}/2", output=out) == 0
    assert main(["join", str(out)]) == 0
    config = replace(shares.as_config(shares.cuts(str(out))[0].runs[0].configuration))
    killed = run_of(replace(config, share=Share(2, 2)))
    Record.begun(killed.config, killed.counting, killed.started).write(str(out))
    killed.notes.start()
    assert main(["join", str(out)]) == 1
    assert "1 of 2 shares missing (2/2)" in capsys.readouterr().err
    assert count(archive, "--share", "2/2", output=out) == 0
    assert main(["join", str(out)]) == 0


def test_a_join_of_nothing_is_refused_and_after_a_whole_run_there_is_nothing_to_join(
    archive: Path, tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["join", str(out)]) == 2
    assert "no share was counted there" in capsys.readouterr().err
    assert not out.exists()
    assert count(archive, output=out) == 0
    assert main(["join", str(out)]) == 0
    assert "nothing to join" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["0/3", "3/2", "x", "3", "1/", "-1/2", "1/10001", "1/2/3"])
def test_what_is_no_share_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count", "x.wav", "--output", "out", f"--share={word}"]) == 2
    assert f"{word}: write it as 3/16" in capsys.readouterr().err


def test_shares_fill_no_night(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--bigquery", "p.d", "--night", "2024-06-11", "--share", "1/2"]
    assert main(["count", "x.wav", "--output", "out", *flags]) == 2
    assert "--share: fills no night" in capsys.readouterr().err


def record(run: int, number: int, of: int = 2, listing: str = "a", named: str = "n") -> Record:
    return replace(begun(run, number, of, named), finished="1", listing=listing, n_listed=10)


def begun(run: int, number: int, of: int = 2, named: str = "n") -> Record:
    return Record(f"{run}", Share(number, of), named, "s", {}, f"{run}")


@pytest.mark.parametrize(
    ("ended", "going_on", "missing"),
    [
        ([record(1, 1), record(2, 2)], [], [[]]),
        ([record(1, 1)], [], [[2]]),
        ([record(1, 1), record(3, 2)], [begun(2, 2)], [[]]),  # killed, and then done
        ([record(1, 1), record(2, 2)], [begun(3, 2)], [[2]]),  # again
        ([], [begun(1, 2)], [[1, 2]]),
        ([record(1, 1), record(2, 2), record(3, 1, listing="b")], [], [[2]]),  # files have come
        ([record(1, 1), record(2, 2)], [begun(3, 1, of=4)], [[1, 2, 3, 4]]),
        ([record(1, 1), record(3, 2)], [begun(2, 1, of=4)], [[]]),
        ([record(1, 1), record(2, 1, named="m")], [], [[2], [2]]),
    ],
)
def test_which_shares_are_missing(
    ended: list[Record], going_on: list[Record], missing: list[list[int]]
) -> None:
    assert [one.missing for one in cuts_of([*going_on, *ended])] == missing


def test_a_record_that_is_damaged_counts_as_missing(tmp_path: Path) -> None:
    for number in (1, 2):
        record(number, number).write(str(tmp_path))
    [one] = shares.cuts(str(tmp_path))
    assert one.records == {1: record(1, 1), 2: record(2, 2)}
    assert not one.missing
    Path(shares.record_files(str(tmp_path))[1]).write_bytes(b"nothing")
    [one] = shares.cuts(str(tmp_path))
    assert one.missing == [2]


def test_a_share_reads_the_beginning_of_no_file_that_cannot_be_a_copy_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        nights.write_recording(tmp_path / "rec" / f"{n}.wav", 0, 1 + n)
    opened: list[str] = []

    def read(name: str, n_bytes: int) -> bytes:
        opened.append(name)
        return Path(name).read_bytes()[:n_bytes]

    monkeypatch.setattr(files, "read_beginning", read)
    config = run_of_share(tmp_path / "rec", Share(1, 3))
    own = shares.list_share(config)
    assert sorted(opened) == [one.recording for one in own.recordings]
    assert (len(own.recordings), own.n_listed) < (6, 7)


def run_of_share(folder: Path, share: Share) -> Any:
    from pipeline import options

    words = [str(folder), "--output", str(folder / "out"), "--share", str(share)]
    return options.parse(words)


def test_shares_are_written_as_they_are_read() -> None:
    assert str(one_share("3/16")) == "3/16"
