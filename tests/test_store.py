"""What an output keeps: runs that overlap, files that are damaged or gone, and what heals them."""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery as google_bigquery
from hypothesis import given
from hypothesis import strategies as st

from model.windows import windows_every
from pipeline import options
from pipeline.__main__ import main
from pipeline.inference.count import Counting, count_recording
from pipeline.ledger.runs import RunNotes
from pipeline.options import UsageError
from pipeline.output import Output
from pipeline.records import Fact, Failure, Listed
from pipeline.results import join
from pipeline.results.join import join_tables, read_holdings
from pipeline.results.part_tables import PartTables
from pipeline.run import run_of
from pipeline.storage import files
from pipeline.storage.sealed import DamagedError, seal, unseal, with_checksum
from pipeline.store import entries, parts
from pipeline.store.entries import Entry
from pipeline.tables import bigquery
from pipeline.tables.read import read_run, run_file
from tests import fakes, flips, nights

RULE = fakes.RULE
DAY = "/archive/S1_20240601_{:02d}0000.wav"


def entry(n: int, run_id: str, day: str = DAY) -> Entry:
    """A recording that could not be opened: it needs no scores."""
    name = day.format(n)
    counting = Counting("calls", RULE, 16_000, windows_every(16_000), "bird", "m", run_id)
    known: list[Fact] = [
        Listed(name, 10, "1", identity=name),
        Failure("open", f"{name}: damaged", False),
    ]
    return entries.entry_of(count_recording(name, known, counting), counting)


def committed(output: str, run_id: str, numbers: range, day: str = DAY) -> str:
    """Adds recordings to a part, as a run does. Returns the part."""
    entries.write_shard(output, run_id, [entry(n, run_id, day) for n in numbers])
    return parts.part_of(day.format(0))


def rows(output: str) -> list[str]:
    return [row["recording"] for row in nights.read(files.join(output, "counts.csv"))]


def all_rows(n: int) -> list[str]:
    return [DAY.format(k) for k in range(n)]


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def joined(output: str, run_id: str = "9") -> list[str]:
    """The rows of the joined table; a join that does not end is an error."""
    done = threading.Thread(target=join_tables, args=(PartTables(output), run_id), daemon=True)
    done.start()
    done.join(60)
    assert not done.is_alive()
    return rows(output)


def test_a_killed_run_that_wrote_over_anothers_file_loses_no_row(out: str) -> None:
    part, tables = committed(out, "1", range(10)), PartTables(out)
    tables.update(part)
    file = Path(tables.file(part))
    of_first = file.read_bytes()
    committed(out, "2", range(10, 20))
    tables.update(part)
    RunNotes(out, "1").start()
    file.write_bytes(of_first)  # the first run, which had seen its own alone; then it was killed
    assert list(tables.left_undone("3")) == [part, part]
    tables.update(part)
    assert joined(out) == all_rows(20)
    assert len(nights.read(Path(out, "failures.csv"))) == 20


def test_a_file_that_is_gone_is_made_again(out: str) -> None:
    part, tables = committed(out, "1", range(3)), PartTables(out)
    tables.update(part)
    before = joined(out)
    assert before == all_rows(3)
    tables.write_made()
    assert not list(tables.left_undone("2"))
    Path(tables.file(part)).unlink()
    assert list(tables.left_undone("2")) == [part]
    tables.update(part)
    assert joined(out) == before


@pytest.mark.parametrize("at", [0.1, 0.9])
def test_a_file_that_is_damaged_is_made_again(out: str, at: float) -> None:
    part = committed(out, "1", range(3))
    PartTables(out).update(part)
    file = Path(PartTables(out).file(part))
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[int(at * len(whole))] ^= 1
    file.write_bytes(damaged)
    assert joined(out) == all_rows(3)
    assert read_holdings(out).sums.recordings == 3
    assert file.read_bytes() == whole


def test_parts_that_overlap_are_merged(out: str) -> None:
    """A folder's files lie between those of the folder above."""
    inner = "/archive/S1_20240601_020000/S1_20240602_{:02d}0000.wav"
    for day, n in ((DAY, 4), (inner, 3), (DAY.replace("S1", "S2"), 2)):
        PartTables(out).update(committed(out, "1", range(n), day))
    first, last = all_rows(3), [DAY.format(3), *(DAY.replace("S1", "S2").format(k) for k in (0, 1))]
    assert joined(out) == [*first, *(inner.format(k) for k in range(3)), *last]


def test_a_disk_that_gives_back_other_bytes_ends_a_join(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = committed(out, "1", range(3))
    PartTables(out).update(part)
    name = PartTables(out).file(part)
    read = files.read_bytes
    monkeypatch.setattr(files, "read_bytes", lambda n: read(n) + (b"x" if n == name else b""))
    with pytest.raises(OSError, match="times in vain"):
        join_tables(PartTables(out), "9")


def test_a_join_leaves_to_another_run_what_it_will_join(
    out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a cluster works, a part changes at every moment."""
    part = committed(out, "1", range(3))
    PartTables(out).update(part)
    file = Path(PartTables(out).file(part))
    passes = []
    join_all = join.join_all

    def join_and_change(*arguments: Any) -> tuple[str, ...]:
        passes.append(1)
        assert len(passes) < 18
        apart = join_all(*arguments)
        os.replace(file, file.with_suffix(".new"))  # written anew by another run
        file.write_bytes(file.with_suffix(".new").read_bytes())
        if len(passes) == 9:
            monkeypatch.undo()
        return apart

    monkeypatch.setattr(join, "join_all", join_and_change)
    other = RunNotes(out, "8")
    other.start()
    join_tables(PartTables(out), "9")
    assert len(passes) == join.PASSES
    other.start_joining()  # both write tables now: who writes last must have seen all
    passes.clear()
    join_tables(PartTables(out), "9")
    assert len(passes) == 9
    other.end(["9"])
    assert not list(Path(out, "ledger").glob("*.joining"))


def test_a_file_gets_the_mode_that_the_process_gives_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without changing the process's umask, be it for a moment: other threads write files too."""
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)
        files.write_atomically(str(tmp_path / "a"), [b"1"])
        monkeypatch.undo()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_load_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a runner does again needs the files that it loads."""
    rows_file = tmp_path / "2024-06-01-0.json"
    rows_file.write_bytes(b"{}\n")

    class Client:
        def load_table_from_uri(self, sources: list[str], *_: Any, **__: Any) -> Client:
            assert [Path(name).read_bytes() for name in sources] == [b"{}\n"]
            return self

        def result(self) -> None:
            pass

    monkeypatch.setattr(bigquery, "client", lambda dataset: Client())
    assert google_bigquery.LoadJobConfig
    night = ("2024-06-01", dict[str, Any](night=[True], files=[str(rows_file)]))
    for _ in range(2):
        assert list(bigquery._load_night(night, "p.d.counts", "1", True)) == [str(rows_file)]


def test_tables_of_formats_that_were_asked_for_once_are_kept_up(tmp_path: Path) -> None:
    model, out = fakes.write_model(tmp_path / "model"), tmp_path / "out"
    flags = ["--input", "x", "--model", str(model), "--output", str(out)]
    assert run_of(options.parse(flags)).config.formats == ()
    PartTables(str(out), ("raven", "parquet")).write_made()
    files.write_atomically(str(out / "raven" / "a.selections.txt"), [b""])
    run = run_of(options.parse([*flags, "--format", "excel"]))
    assert run.config.formats == ("excel", "raven")  # the Parquet files were removed by somebody


def test_a_threshold_is_chosen_when_rescoring_has_succeeded(
    tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fakes.write_model(tmp_path / "model")
    config = options.parse(["--input", "x", "--model", str(model), "--output", out])
    run = run_of(config)
    row = replace(entry(0, "1"), scoring=run.counting.scoring)
    row = replace(row, row=replace(row.row, outcome="ok", error="", model_version="test"))
    entries.write_shard(out, "1", [row])

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pipeline.runtime.run_to_end", fail)
    with pytest.raises(OSError, match="no space"):
        main(["rescore", "--output", out, "--model", str(model), "--threshold", "0.9"])
    assert run_of(config).counting.rule == run.counting.rule


json_values = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3))
json_objects = st.dictionaries(st.text(max_size=3), json_values, max_size=3)


@given(json_objects, st.data())
def test_damage_of_a_sealed_file_is_seen_and_what_is_written_twice_heals(
    value: dict[str, Any], data: st.DataObject
) -> None:
    once, twice = seal(value), seal(value, copies=2)
    assert unseal(once) == unseal(twice) == value

    def flipped(content: bytes) -> bytes:
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        return bytes(b ^ (1 << bit % 8) if n == bit // 8 else b for n, b in enumerate(content))

    assert unseal(flipped(twice)) == value
    with suppress(DamagedError):  # else it was in the end of the line, which says nothing
        assert unseal(flipped(once)) == value


@given(json_objects)
def test_what_an_earlier_version_wrote_is_read(value: dict[str, Any]) -> None:
    assert unseal(json.dumps(value).encode()) == value


@pytest.mark.slow
def test_whichever_bit_is_wrong_the_tables_come_out_right() -> None:
    """A sample; ``python -m tests.flips`` does thousands."""
    with flips.prepared(seed=7) as some:
        wrong = [number for number in range(50) if not some.one(number)]
    assert not wrong


def test_what_was_chosen_and_cannot_be_read_is_one_line(tmp_path: Path, out: str) -> None:
    model = fakes.write_model(tmp_path / "model")
    flags = ["--input", "x", "--model", str(model), "--output", out]
    RunNotes(out, "1").keep_choice(options.parse([*flags, "--threshold", "0.6"]), "peak-1")
    (chosen,) = Path(out, "ledger").glob("*.chosen.json")
    chosen.write_bytes(chosen.read_bytes().replace(b"0.6", b"0.7"))
    with pytest.raises(UsageError, match=r"is damaged; state --threshold, or choose it again"):
        run_of(options.parse(flags))
    assert run_of(options.parse([*flags, "--threshold", "0.5"])).counting.rule.threshold == 0.5


def test_a_damaged_run_json_is_said(out: str) -> None:
    value = {"run_id": "1", "totals": {"calls": 3}, "name": "Guyane, été"}
    name = run_file(out)
    files.write_atomically(name, [json.dumps(with_checksum(value), indent=2).encode()])
    assert read_run(out) == value
    Path(name).write_text(Path(name).read_text().replace('"calls": 3', '"calls": 7'))
    with pytest.raises(OSError, match=r"run.json: is damaged; count again"):
        read_run(out)


def test_a_table_whose_header_is_damaged_is_still_ours(out: str) -> None:
    name = files.join(out, "calls.csv")
    files.write_atomically(name, [b"recordinG,run_id\n"])
    with pytest.raises(UsageError, match=r"calls.csv there is not from this program"):
        Output(out).make_ready()
    PartTables(out).write_made()
    Output(out).make_ready()
