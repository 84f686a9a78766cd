"""Nights as they happen: late and replaced files, kills, two runs at once."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fakes, kills, nights


@pytest.fixture(scope="module")
def jobs() -> Iterator[nights.Jobs]:
    """Jobs as a plain loop, many of them."""
    with nights.jobs(plain=True) as started:
        yield started


@pytest.fixture(scope="module")
def beam_jobs() -> Iterator[nights.Jobs]:
    """Jobs on Beam's runner."""
    with nights.jobs() as started:
        yield started


def arguments_in(top: Path) -> list[str]:
    model = fakes.write_model(top / "model")
    return ["--input", f"{top}/archive", "--model", f"{model}", "--segment_s", "5"]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    return arguments_in(tmp_path)


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for tests that count the same recordings; what is right is counted once."""
    return tmp_path_factory.mktemp("top")


@pytest.mark.slow
def test_three_nights_equal_one_undisturbed_run(
    tmp_path: Path, beam_jobs: nights.Jobs, arguments: list[str]
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    command = [*arguments, "--output", str(out)]
    for k in range(3):
        nights.write_recording(archive / f"night1/{k}.wav", bursts=k, seed=k)
    assert beam_jobs.run(*command) == 0

    for k in range(3):
        nights.write_recording(archive / f"night2/{k}.wav", bursts=1, seconds=20 + k, seed=10 + k)
    nights.write_recording(archive / "night1/late.wav", bursts=2, seed=20)
    (archive / "night2/damaged.wav").write_text("not audio")
    assert beam_jobs.run(*command, kill_at_write=6) == -signal.SIGKILL
    assert not (out / "run.json").exists()

    nights.write_recording(archive / "night1/1.wav", bursts=2, seed=30)
    twice = [beam_jobs.start(*command), beam_jobs.start(*command)]
    assert [beam_jobs.wait(pid) for pid in twice] == [0, 0]

    for k in range(2):
        nights.write_recording(archive / f"night3/{k}.wav", bursts=k, seed=40 + k)
    nights.write_recording(archive / "night2/damaged.wav", bursts=1, seed=50)
    assert beam_jobs.run(*command) == 0

    fresh = tmp_path / "fresh"
    assert beam_jobs.run(*arguments, "--output", str(fresh)) == 0
    assert nights.tables(out) == nights.tables(fresh)
    assert len(nights.read(out / "counts.csv")) == 10
    before = nights.bytes_of(out)
    assert beam_jobs.run(*command) == 0
    assert nights.bytes_of(out) == before


@pytest.mark.slow
def test_runs_that_overlap_with_different_recordings_keep_each_others_rows(
    tmp_path: Path, jobs: nights.Jobs, arguments: list[str]
) -> None:
    out = tmp_path / "out"
    for k in range(8):
        nights.write_recording(tmp_path / f"archive/{k}.wav", bursts=1, seed=k)
    shares = [f"{tmp_path}/archive/[{part}].wav" for part in ("0-3", "4-7", "2-5")]
    started = [
        jobs.start(*arguments[2:], "--input", share, "--output", str(out)) for share in shares
    ]
    assert [jobs.wait(pid) for pid in started] == [0, 0, 0]
    names = [Path(row["recording"]).name for row in nights.read(out / "counts.csv")]
    assert names == [f"{k}.wav" for k in range(8)]
    assert len(nights.read(out / "calls.csv")) == 8


def assert_no_row_is_doubled(out: Path) -> None:
    if (out / "counts.csv").exists():
        rows = [row["recording"] for row in nights.read(out / "counts.csv")]
        assert len(rows) == len(set(rows))


def assert_nothing_is_lost(
    out: Path, fresh: Path, jobs: nights.Jobs, arguments: list[str], archive: Path
) -> None:
    """One more run, undisturbed, equals a run that was never disturbed."""
    assert jobs.run(*arguments, "--output", out) == 0
    if not fresh.exists():
        assert jobs.run(*arguments, "--output", fresh) == 0
    assert nights.tables(out) == nights.tables(fresh)
    names = sorted(str(path) for path in archive.iterdir())
    assert sorted(row["recording"] for row in nights.read(out / "counts.csv")) == names
    assert sorted(row.recording for row, _, _ in nights.kept_scores(out)) == names


@pytest.mark.slow
def test_a_kill_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, jobs: nights.Jobs, arguments: list[str]
) -> None:
    """The first run is killed at its first write, the second at its second, until one ends."""
    archive, out = tmp_path / "archive", tmp_path / "out"
    write = 0
    code = -signal.SIGKILL
    while code == -signal.SIGKILL:
        write += 1
        # New, or in the place of an earlier one.
        nights.write_recording(archive / f"{write % 5}.wav", bursts=write % 3, seed=write)
        code = jobs.run(*arguments, "--output", out, kill_at_write=write)
        assert_no_row_is_doubled(out)
    assert code == 0
    assert write > 5
    assert_nothing_is_lost(out, tmp_path / "fresh", jobs, arguments, archive)


@pytest.mark.slow
@pytest.mark.parametrize(
    "state", ["ledger/unfinished/*.parquet", "scores/**/*.parquet", "ledger/**/*.gz", "counts.csv"]
)
def test_a_kill_from_outside_loses_and_doubles_nothing(
    tmp_path: Path, top: Path, jobs: nights.Jobs, state: str
) -> None:
    """As soon as there is something to lose, whatever the job does at that moment."""
    top = top / "outside"
    archive, out, arguments = top / "archive", tmp_path / "out", arguments_in(top)
    for k in range(6):
        nights.write_recording(archive / f"{k}.wav", bursts=k % 3, seconds=30, seed=k)
    pid = jobs.start(*arguments, "--output", out)
    nights.wait_until(lambda: any(out.glob(state)) or (out / "run.json").exists())
    os.kill(pid, signal.SIGKILL)
    assert jobs.wait(pid) in (0, -signal.SIGKILL)
    assert_no_row_is_doubled(out)
    nights.write_recording(archive / "0.wav", bursts=2, seed=20)
    assert_nothing_is_lost(out, top / "fresh", jobs, arguments, archive)


@pytest.mark.slow
@pytest.mark.parametrize("point", kills.POINTS)
def test_a_kill_at_a_named_point_loses_and_doubles_nothing(
    tmp_path: Path, top: Path, jobs: nights.Jobs, point: str
) -> None:
    """Halfway through the first such write, after the second, before the third."""
    top = top / "points"
    archive, out, arguments = top / "archive", tmp_path / "out", arguments_in(top)
    shutil.rmtree(archive, ignore_errors=True)
    for n in (1, 2, 3):
        nights.write_recording(archive / f"{n}.wav", bursts=n, seed=n)
        code = jobs.run(*arguments, "--output", out, kill_at_write=n, of=point)
        assert code in (0, -signal.SIGKILL)
        assert_no_row_is_doubled(out)
    assert_nothing_is_lost(out, top / "fresh", jobs, arguments, archive)


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, jobs: nights.Jobs, arguments: list[str]
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    nights.write_recording(archive / "damaged.wav", bursts=0, seconds=0)
    write, code = 0, 1
    while code != 0:
        write += 1
        nights.write_recording(archive / f"{write % 5}.wav", bursts=write % 3, seed=write)
        code = jobs.run(*arguments, "--output", out, full_from_write=write)
        assert code in (0, 1) or write == 1  # refused before the start
        assert_no_row_is_doubled(out)
    assert write > 5
    (archive / "damaged.wav").unlink()
    assert jobs.run(*arguments, "--output", tmp_path / "fresh") == 0
    kept = {Path(row["recording"]).name: row for row in nights.tables(out)["counts.csv"]}
    del kept["damaged.wav"]
    fresh = nights.tables(tmp_path / "fresh")["counts.csv"]
    assert [kept[Path(row["recording"]).name] for row in fresh] == fresh
