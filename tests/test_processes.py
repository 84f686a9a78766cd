"""How many processes and workers there are, and a run that counts in several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import options
from pipeline.beam_options import beam_options
from pipeline.launch import launch
from pipeline.options import UsageError
from pipeline.run import run_of
from pipeline.runtime import MOST_WORKERS, usable_cores
from pipeline.sharing.spread import best_spread, spread_of, work_s_of
from tests import fakes, nights

ROOT = Path(__file__).resolve().parents[1]
CHILD = [sys.executable, "-W", "ignore", "-m", "tests.share_child", "count"]

works = st.floats(0, 1e6)


@given(st.integers(1, 256), works, st.integers(0, 10**6))
def test_a_layout_uses_no_more_than_there_is_and_more_cores_are_never_slower(
    cores: int, work_s: float, recordings: int
) -> None:
    one, more = (best_spread(some, work_s, recordings) for some in (cores, cores + 1))
    assert 1 <= one.workers <= MOST_WORKERS
    assert one.processes * one.workers <= cores
    assert cores > MOST_WORKERS or one.processes == 1
    taken = [spread.seconds(work_s, recordings) for spread in (one, more)]
    assert taken[1] <= taken[0]


def test_little_work_takes_few_workers_and_much_takes_all() -> None:
    three_minutes_s, year_s = 0.3, 1e6
    for cores in (2, 8, 64, 256):
        assert best_spread(cores, three_minutes_s, 1).workers == 1
        assert best_spread(cores, three_minutes_s, 1).processes == 1
        spread = best_spread(cores, year_s)
        assert spread.processes * spread.workers == cores
    assert best_spread(64, 0.3, processes=3).processes == 3
    assert best_spread(1, year_s).memory_gb < best_spread(8, year_s).memory_gb < 2.5


def machine(root: Path, groups: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name.replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")).write_text(
            content
        )
    return root


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.usefixtures("many_cores")
def test_cores_are_those_of_the_allocation(tmp_path: Path) -> None:
    assert usable_cores({}, tmp_path) == 64
    assert usable_cores({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "8"}, tmp_path) == 4
    assert usable_cores({"SLURM_CPUS_ON_NODE": "8"}, tmp_path) == 8
    assert usable_cores({"NSLOTS": "100"}, tmp_path) == 64
    assert usable_cores({"NSLOTS": "some"}, tmp_path) == 64
    limits = {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "250000 100000"}
    v2 = machine(tmp_path / "v2", "0::/a/b\n", **limits)
    assert usable_cores({}, v2) == 3  # of the group above, rounded up
    assert usable_cores({"SLURM_CPUS_PER_TASK": "2"}, v2) == 2
    quota = {"cpu__cpu_cfs_quota_us": "400000\n", "cpu__cpu_cfs_period_us": "100000\n"}
    v1 = machine(tmp_path / "v1", "4:memory:/x\n1:cpu:/of/container\n0::/\n", **quota)
    assert usable_cores({}, v1) == 4
    none = {"cpu__cpu_cfs_quota_us": "-1\n", "cpu__cpu_cfs_period_us": "100000\n"}
    assert usable_cores({}, machine(tmp_path / "none", "1:cpu:/\n", **none)) == 64


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="taskset is Linux's")
def test_a_process_on_one_core_has_one_worker() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from pipeline.beam_options import DirectOptions, beam_options; "
        "print(beam_options([]).view_as(DirectOptions).direct_num_workers)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert printed.stdout == "1\n"


def test_work_is_told_by_sizes(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.mp3").write_bytes(b"0" * 10**6)
        (tmp_path / f"{n}.wav").write_bytes(b"0" * 10**6)
    mp3, wav = ([str(tmp_path / f"{n}.{kind}") for n in range(4)] for kind in ("mp3", "wav"))
    assert work_s_of(mp3, 4) > 4 * work_s_of(wav, 4)
    assert work_s_of(wav, 400) == pytest.approx(100 * work_s_of(wav, 4))
    assert work_s_of(["gs://b/a.wav"], 1) == work_s_of([], 0) == float("inf")


@pytest.mark.usefixtures("many_cores")
def test_who_asks_for_workers_gets_them_and_what_cannot_be_divided_is_refused(
    tmp_path: Path,
) -> None:
    def spread(*flags: str) -> tuple[int, int]:
        words = [str(tmp_path), "--output", str(tmp_path / "out"), "--model", str(model), *flags]
        config = options.parse(words)
        found = spread_of(run_of(config), beam_options(config.beam_args), None)
        return found.processes, found.workers

    model = fakes.write_model(tmp_path / "model")
    processes, workers = spread()
    assert processes * workers == 64
    assert spread("--direct_num_workers=3") == (1, 3)
    assert spread("--processes=2", "--direct_num_workers=3") == (2, 3)
    assert spread("--processes=2") == (2, 8)
    assert spread("--share=1/2") == (1, 8)
    with pytest.raises(UsageError, match="--processes: goes neither"):
        spread("--share=1/2", "--processes=2")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for n in range(4):
        nights.write_recording(tmp_path / "archive" / f"S_2024060{n + 1}_050000.wav", n % 2, 6)
    (tmp_path / "archive" / "a_copy.wav").write_bytes(
        (tmp_path / "archive" / "S_20240601_050000.wav").read_bytes()
    )
    return tmp_path / "archive"


def words(archive: Path, out: str, processes: int) -> list[str]:
    model = archive.parent / "model"
    if not model.exists():
        fakes.write_model(model)
    flags = ["--model", str(model), "--no-report", "--processes", str(processes)]
    return [str(archive), "--output", str(archive.parent / out), *flags]


def count(archive: Path, out: str, processes: int) -> int:
    argv = words(archive, out, processes)
    return launch(run_of(options.parse(argv)), [*CHILD, *argv])


def leave_of_processes(output: Path) -> list[str]:
    return [path.name for path in (output / "ledger").rglob("*") if path.suffix in (".started",)]


@pytest.mark.slow
@pytest.mark.usefixtures("plain_loop")
def test_processes_leave_what_one_leaves(
    archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("pipeline.launch.ModelLoader", lambda directory: fakes.CountedLoader())
    assert count(archive, "one", 1) == 0
    assert count(archive, "out", 2) == 0
    assert nights.tables(archive.parent / "out") == nights.tables(archive.parent / "one")
    assert "5 recordings, 2 calls" in capsys.readouterr().out
    assert leave_of_processes(archive.parent / "out") == []
    assert not list((archive.parent / "out/ledger/shares").iterdir())

    monkeypatch.setenv("FAIL_SHARE", "2")
    assert count(archive, "broken", 2) == 1
    said = capsys.readouterr().err
    assert "share 2/2 has not ended: exit code 9" in said
    assert "1 of 2 shares missing (2/2)" in said
    monkeypatch.delenv("FAIL_SHARE")
    assert count(archive, "broken", 1) == 0
    assert nights.tables(archive.parent / "broken") == nights.tables(archive.parent / "one")

    monkeypatch.setenv("REFUSE_SHARE", "1")
    with pytest.raises(UsageError, match="these were moved"):
        count(archive, "refused", 2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_children_end_with_the_run(archive: Path, number: signal.Signals) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from pipeline import __main__; from pipeline.sharing import processes; "
        f"processes.command_of = lambda argv: [*{CHILD!r}, *argv]; __main__.run_and_leave()"
    )
    argv = ["count", *words(archive, "out", 2)]
    environ = {**os.environ, "HANG_SHARE": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, "-c", code, *argv], env=environ, cwd=ROOT)

    def children() -> list[str]:
        mark = str(archive.parent / "out")
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = place.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if mark in command and place.parent.name != str(run.pid):
                found.append(command)
        return found

    def hangs() -> bool:
        return any("--share=1/2" in one for one in children()) and len(children()) == 1

    try:
        nights.wait_until(lambda: (archive.parent / "out/ledger/shares").exists() and hangs())
        run.send_signal(number)
        expected = {signal.SIGINT: 130, signal.SIGKILL: -9}
        assert run.wait(60) == expected[number]
        nights.wait_until(lambda: not children())
    finally:
        run.kill()
