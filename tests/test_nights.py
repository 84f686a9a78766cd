"""Nights as they happen: late and replaced files, kills, two runs at once."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests import fakes, nights


@pytest.fixture(scope="module")
def jobs():
    with nights.jobs() as started:
        yield started


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    model = fakes.write_model(tmp_path / "model")
    return ["--input", f"{tmp_path}/archive", "--model", f"{model}", "--segment_s", "5"]


def test_three_nights_equal_one_undisturbed_run(tmp_path, jobs, arguments):
    archive, out = tmp_path / "archive", tmp_path / "out"
    command = [*arguments, "--output", str(out)]
    for k in range(3):
        nights.write_recording(archive / f"night1/{k}.wav", bursts=k, seed=k)
    assert jobs.run(*command) == 0

    for k in range(3):
        nights.write_recording(archive / f"night2/{k}.wav", bursts=1, seconds=20 + k, seed=10 + k)
    nights.write_recording(archive / "night1/late.wav", bursts=2, seed=20)
    (archive / "night2/damaged.wav").write_text("not audio")
    assert jobs.run(*command, kill_at_write=6) == -signal.SIGKILL
    assert not (out / "run.json").exists()

    nights.write_recording(archive / "night1/1.wav", bursts=2, seed=30)
    twice = [jobs.start(*command), jobs.start(*command)]
    assert [jobs.wait(pid) for pid in twice] == [0, 0]

    for k in range(2):
        nights.write_recording(archive / f"night3/{k}.wav", bursts=k, seed=40 + k)
    nights.write_recording(archive / "night2/damaged.wav", bursts=1, seed=50)
    assert jobs.run(*command) == 0

    fresh = tmp_path / "fresh"
    assert jobs.run(*arguments, "--output", str(fresh)) == 0
    assert nights.tables(out) == nights.tables(fresh)
    assert len(nights.read(out / "counts.csv")) == 10
    before = nights.bytes_of(out)
    assert jobs.run(*command) == 0
    assert nights.bytes_of(out) == before


def test_runs_that_overlap_with_different_recordings_keep_each_others_rows(
    tmp_path, jobs, arguments
):
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


def test_twenty_random_kills_lose_and_double_nothing(tmp_path, jobs, arguments):
    archive, out = tmp_path / "archive", tmp_path / "out"
    command = [*arguments, "--output", str(out)]
    chance = random.Random(20)
    kills = 0
    for turn in range(40):
        name = archive / f"{chance.randrange(8)}.wav"  # new, or in the place of an earlier one
        nights.write_recording(name, chance.randrange(3), seed=turn)
        if turn % 4 == 3:
            pid = jobs.start(*command)
            time.sleep(chance.uniform(0.05, 1.0))
            os.kill(pid, signal.SIGKILL)
            code = jobs.wait(pid)
        else:
            code = jobs.run(*command, kill_at_write=chance.randrange(2, 18))
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
        if (out / "counts.csv").exists():
            rows = [row["recording"] for row in nights.read(out / "counts.csv")]
            assert len(rows) == len(set(rows))
        if kills == 20:
            break
    assert kills == 20
    assert jobs.run(*command) == 0

    fresh = tmp_path / "fresh"
    assert jobs.run(*arguments, "--output", str(fresh)) == 0
    assert nights.tables(out) == nights.tables(fresh)
    assert len(nights.read(out / "counts.csv")) == len(list(archive.iterdir()))
    scored = [row.recording for row, _, _ in nights.kept_scores(out)]
    assert sorted(scored) == sorted(str(path) for path in archive.iterdir())
