"""Parts: what is kept account of together, and that a run leaves all other parts alone."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline import launch
from pipeline.__main__ import main
from pipeline.ledger.runs import RunNotes
from pipeline.options import UsageError
from pipeline.results import join
from pipeline.results.join import merged, read_holdings
from pipeline.storage import files
from pipeline.storage.sealed import write_sealed
from pipeline.store import part_file, parts
from pipeline.store.ledger import Ledger
from tests import nights
from tests.conftest import Count

pytestmark = pytest.mark.usefixtures("plain_loop")


def times(n: int, step: timedelta) -> Iterator[str]:
    start = datetime(2024, 6, 1)
    return (f"{start + k * step:%Y%m%d_%H%M%S}" for k in range(n))


@pytest.mark.parametrize(
    ("names", "most", "at_least"),
    [
        ([f"/a/S4A01_{t}.wav" for t in times(20_000, timedelta(minutes=1))], 1440, 14),
        ([f"/a/{site}/{t}.WAV" for site in "ab" for t in times(500, timedelta(hours=1))], 24, 42),
        ([f"/a/REC_{n:07d}.wav" for n in range(5_000)], 100, 50),
        ([f"/a/{n:08X}.WAV" for n in range(0x665A0000, 0x665A0000 + 86_400 * 9, 600)], 110, 12),
        ([f"/a/{os.urandom(16).hex()}.flac" for _ in range(8_000)], 16, 3_000),
        ([f"/a/{n // 100:05d}/x{n % 100:02d}.mp3" for n in range(10_000)], 100, 100),
        ([f"/a/2024-06-{d:02d}/{n:06d}.wav" for d in range(1, 5) for n in range(900)], 900, 4),
    ],
)
def test_a_part_stays_small_however_many_recordings_there_are(
    names: list[str], most: int, at_least: int
) -> None:
    sizes = Counter(map(parts.part_of, names))
    assert max(sizes.values()) <= most
    assert len(sizes) >= at_least


@pytest.mark.parametrize(
    ("folder", "names", "n_parts"),
    [
        ("/a/2024-06-11", [f"{n:06d}.wav" for n in range(0, 240_000, 10_000)], 1),
        ("/a/night", [f"S{s}_20240611_{h:02d}0000.wav" for s in "12" for h in range(24)], 2),
        ("/a/forest", [f"recording_{n:02d}.mp3" for n in range(40)], 1),
        ("gs://b/demo", ["lek_at_dawn.mp3", "river_trail.flac", "damaged.flac"], 1),
    ],
)
def test_a_night_lies_in_few_parts(folder: str, names: list[str], n_parts: int) -> None:
    assert len({parts.part_of(f"{folder}/{name}") for name in names}) == n_parts
    assert {parts.part_of(f"{folder}/{name}") for name in names}.isdisjoint(
        {parts.part_of(f"{folder}2/{name}") for name in names}
    )


@given(st.text())
def test_a_key_is_a_name_that_every_store_takes(identity: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}\.[0-9a-f]{12}", parts.part_of(identity))


@given(st.lists(st.lists(st.integers(0, 30), min_size=1).map(sorted)))
def test_merging_gives_all_rows_in_order_whatever_overlaps(sources: list[list[int]]) -> None:
    ordered = sorted(sources, key=lambda rows: rows[0])
    opened: list[int] = []

    def source(n: int, rows: list[int]) -> Callable[[], Iterator[tuple[int, int]]]:
        def rows_of() -> Iterator[tuple[int, int]]:
            opened.append(n)
            return iter([(row, n) for row in rows])

        return rows_of

    found = list(merged([(rows[0], source(n, rows)) for n, rows in enumerate(ordered)]))
    assert [row for row, _ in found] == sorted(row for rows in ordered for row in rows)
    assert sorted(opened) == list(range(len(ordered)))


def test_a_source_is_opened_when_its_rows_are_due() -> None:
    opened: list[int] = []

    def source(n: int) -> Callable[[], Iterator[tuple[int, int]]]:
        def rows() -> Iterator[tuple[int, int]]:
            opened.append(n)
            yield from ((10 * n + k, n) for k in range(3))

        return rows

    rows = merged((10 * n, source(n)) for n in range(5))
    assert [next(rows) for _ in range(3)] == [(0, 0), (1, 0), (2, 0)]
    assert opened == [0]


def test_pieces_are_read_several_at_a_time_and_come_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(4, timeout=60)

    def read(name: str) -> bytes:
        if int(name) < 4:
            together.wait()  # goes on when four have come
        return name.encode()

    monkeypatch.setattr(files, "read_bytes", read)
    names = [f"{k}" for k in range(64)]
    assert [piece.decode() for piece in files.read_ahead(files.read_bytes, names)] == names


def test_a_piece_that_has_gone_is_said_in_its_turn(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(b"rows")
    pieces = files.read_ahead(files.read_bytes, [f"{there}", f"{tmp_path}/gone"])
    assert next(pieces) == b"rows"
    with pytest.raises(FileNotFoundError):
        next(pieces)


def night(tmp_path: Path, date: str, n: int = 2, bursts: int = 1) -> Path:
    folder = tmp_path / "archive" / date
    for k in range(n):
        day = date.replace("-", "")
        nights.write_recording(folder / f"S1_{day}_{k:02d}0000.wav", bursts=bursts, seed=k)
    return folder


def counts(tmp_path: Path) -> dict[str, str]:
    rows = nights.read(tmp_path / "out" / "counts.csv")
    return {Path(row["recording"]).name: row["call_count"] for row in rows}


@pytest.mark.slow
def test_a_night_reads_and_writes_its_own_parts_alone(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(1, 4):
        assert count("--input", night(tmp_path, f"2024-06-0{day}")) == 0
    before = nights.tables(tmp_path / "out")
    read: list[str] = []
    written: list[str] = []
    read_bytes, writing = files.read_bytes, files.writing

    def noted_read(name: str) -> bytes:
        read.append(name)
        return read_bytes(name)

    def noted_write(name: str) -> AbstractContextManager[Callable[[bytes], object]]:
        written.append(name)
        return writing(name)

    monkeypatch.setattr(files, "read_bytes", noted_read)
    monkeypatch.setattr(files, "writing", noted_write)
    assert count("--input", night(tmp_path, "2024-06-04")) == 0
    old = re.compile("S1_2024060[1-3]")
    # Their sums are added up, and their lines copied.
    from_others = Counter(Path(name).parent.name for name in read if old.search(name))
    assert from_others == {"tables": 3}
    assert not any(old.search(name) for name in written)
    monkeypatch.undo()
    after = nights.tables(tmp_path / "out")
    assert after["counts.csv"][:6] == before["counts.csv"]
    assert len(after["counts.csv"]) == 8
    names = [row["recording"] for row in after["counts.csv"]]
    assert names == sorted(names)
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (told["totals"]["inputs"], told["output"]["inputs"]) == (2, 8)


@pytest.mark.slow
def test_what_a_killed_run_committed_is_shown_by_a_run_over_other_recordings(
    tmp_path: Path, count: Count
) -> None:
    first, second = night(tmp_path, "2024-06-01"), night(tmp_path, "2024-06-02")
    model = str(tmp_path / "model")
    arguments = ["--input", first, "--model", model, "--output", tmp_path / "out"]
    with nights.jobs(plain=True) as jobs:
        code = jobs.run(*arguments, kill_at_write=1, of="/ledger/tables/")
    assert code == -signal.SIGKILL
    assert not (tmp_path / "out" / "counts.csv").exists()
    assert count("--input", second) == 0
    assert len(counts(tmp_path)) == 4


def test_an_output_of_version_0_1_is_refused(tmp_path: Path, count: Count) -> None:
    files.write_atomically(str(tmp_path / "out" / "ledger" / "1-2.jsonl.gz"), [b""])
    with pytest.raises(UsageError, match=r"version 0.1 wrote what lies there; give another folder"):
        count("--input", night(tmp_path, "2024-06-01"))


@pytest.mark.slow
def test_pieces_of_an_earlier_version_make_way(tmp_path: Path, count: Count) -> None:
    ledger = tmp_path / "out" / "ledger"
    assert count("--input", night(tmp_path, "2024-06-01")) == 0
    for path in (ledger / "tables").iterdir():
        path.unlink()
    for name in ("pieces/counts/S1.1.csv", "summaries/S1.1.json"):
        files.write_atomically(str(ledger / name), [b"{}"])
    write_sealed(str(ledger / "made.json"), {"layout": 2})
    assert count("--input", night(tmp_path, "2024-06-02")) == 0
    assert len(counts(tmp_path)) == 4
    assert not [*ledger.glob("pieces/*/*"), *ledger.glob("summaries/*")]


@pytest.mark.slow
def test_a_threshold_chosen_by_rescoring_holds_until_another_is_stated(
    tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    assert count("--input", night(tmp_path, "2024-06-01")) == 0
    rescored = ["rescore", "--output", str(tmp_path / "out"), "--model", str(tmp_path / "model")]
    here = "--direct_running_mode=in_memory"
    capsys.readouterr()
    assert main([*rescored, "--threshold", "+2.2", here]) == 0
    assert "threshold 0.90025 (the model's own: 0.5), hop" in capsys.readouterr().out
    assert set(counts(tmp_path).values()) == {"0"}
    night(tmp_path, "2024-06-02")
    archive = tmp_path / "archive"
    assert count("--input", archive) == 0
    assert "counting with --threshold 0.90025, as rescore chose" in capsys.readouterr().err
    assert list(counts(tmp_path).values()) == ["0"] * 4
    assert count("--input", archive, "--threshold", "0.5") == 0
    assert list(counts(tmp_path).values()) == ["1"] * 4
    assert count("--input", archive) == 0
    assert list(counts(tmp_path).values()) == ["0"] * 4
    assert main([*rescored, here]) == 0  # back to the model's own
    assert count("--input", archive) == 0
    assert list(counts(tmp_path).values()) == ["1"] * 4


@pytest.mark.slow
def test_tables_too_large_to_be_joined_stay_in_parts_and_run_json_says_so(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    for day in (1, 2):
        night(tmp_path, f"2024-06-0{day}")
    assert count("--input", tmp_path / "archive", "--format=parquet") == 0
    whole = (out / "counts.csv").read_bytes()
    monkeypatch.setattr(join, "JOINED_AT_MOST_BYTES", 100)
    (tmp_path / "archive" / "damaged.wav").write_text("no audio")
    assert count("--input", tmp_path / "archive", "--format=parquet") == 0
    assert not (out / "counts.csv").exists()
    told = json.loads((out / "run.json").read_text())
    assert told["apart"]["counts.csv"] == "ledger/tables/*.part"
    assert told["data_sets"]["counts"] == "counts.parquet/*.parquet"
    tables = [part_file.read_lines(str(name)) for name in (out / "ledger/tables").glob("S1_*.part")]
    lines = [line for table in tables if table for line in table["counts"].to_pylist()]
    assert b"".join(sorted(lines)) == whole.partition(b"\n")[2]


@pytest.mark.slow
def test_too_many_failures_end_a_job_elsewhere_after_its_tables_are_written(
    tmp_path: Path, count: Count, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    (night(tmp_path, "2024-06-01", n=1) / "damaged.wav").write_text("no audio")
    few = ("--input", tmp_path / "archive", "--max_failed_fraction", "0.3")
    monkeypatch.setattr(launch, "LOCAL_RUNNERS", ())  # as on Dataflow
    monkeypatch.setattr(
        launch,
        "new_pipeline",
        lambda options: beam.Pipeline(runner=FnApiRunner(), options=options),
    )
    assert count(*few) == 3
    assert "failures: 1 of 2 recordings failed" in caplog.text
    assert len(nights.read(out / "counts.csv")) == 2
    assert json.loads((out / "run.json").read_text())["totals"]["outcomes"]["failed"] == 1
    assert not RunNotes(str(out), "").others()


@pytest.mark.slow
def test_a_refused_run_changes_nothing(tmp_path: Path, count: Count) -> None:
    folder = night(tmp_path, "2024-06-01")
    assert count("--input", folder) == 0
    before = (tmp_path / "out" / "run.json").read_bytes()
    folder.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="2 recordings are gone"):
        count("--input", tmp_path / "moved")
    assert (tmp_path / "out" / "run.json").read_bytes() == before
    assert not RunNotes(str(tmp_path / "out"), "").others()


@pytest.mark.slow
def test_moves_take_recordings_from_part_to_part(tmp_path: Path, count: Count) -> None:
    """From a folder with two days in it to one of a date: from two parts to one, and on."""
    old, new, last = (tmp_path / name for name in ("card", "2024-06-30", "last"))
    for k, day in enumerate((1, 2)):
        nights.write_recording(old / f"2024060{day}_000000.wav", bursts=k + 1, seed=k)
    nights.write_recording(old / "note.wav", bursts=0, seed=9)
    assert count("--input", old) == 0
    before = counts(tmp_path)
    old.rename(new)
    assert count("--input", new, "--moved", f"{old}={new}") == 0
    assert counts(tmp_path) == before
    new.rename(last)
    # Only one of them is listed: the others move with it.
    assert count("--input", last / "note.wav", "--moved", f"{new}={last}") == 0
    assert counts(tmp_path) == before
    names = {row["recording"] for row in nights.read(tmp_path / "out" / "counts.csv")}
    assert names == {f"{last}/{name}" for name in before}
    assert read_holdings(str(tmp_path / "out")).sums.recordings == 3


def test_an_output_without_parts_has_no_entries(tmp_path: Path) -> None:
    assert list(Ledger(str(tmp_path)).entries()) == []
