"""run_slurm.sh on a real Slurm: what becomes of tasks, with a stand-in for the program."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from tests.slurm.cluster import Slurm, wait_until
from tests.slurm.disturb import pid_of, submit

STAND_IN = f"""#!/usr/bin/env bash
# Called as Python is: a share ends when its file lies in go/, and leaves one in done/.
output=${{!#}}
output=${{output#--output=}}
case "$1 ${{3:-}}" in
    "- "*) exec {sys.executable} "$@" ;;
    "-m plan") echo '{{"plan": {{"recordings": 4, "done": 0, "core_h": 0.01}}}}' ;;
    "-m count")
        share=${{output#--share=}}
        cd out
        trap 'echo "share $share: SIGTERM"; exit 143' TERM
        echo "$TMPDIR $SLURM_CPUS_PER_TASK" >"begun/${{share%/*}}"
        until [ -e "go/${{share%/*}}" ]; do sleep 0.1; done
        touch "done/${{share%/*}}"
        ;;
    "-m join")
        cd "$output"
        missing=$(for share in 1 2 3 4; do [ -e done/$share ] || echo $share; done | paste -sd,)
        echo "{{\\"shares\\": [{{\\"of\\": 4, \\"missing\\": [$missing]}}]}}" >run.json
        [ -z "$missing" ]
        ;;
esac
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder to submit from, with the stand-in and an output."""
    for name in ("begun", "go", "done"):
        (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    program = tmp_path / "python"
    program.write_text(STAND_IN)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


@pytest.mark.slow
def test_a_task_that_is_killed_cancelled_or_put_back_and_those_missing_again(
    slurm: Slurm, here: Path
) -> None:
    def has_begun(*shares: int) -> bool:
        return all((here / "out" / "begun" / str(share)).exists() for share in shares)

    settings = {"PYTHON": str(here / "python"), "INPUT": "in", "OUTPUT": "out", "MEMORY": "100M"}
    scratch = {"SCRATCH": str(here / "scratch")}
    array, join = submit(slurm, here, **settings, **scratch, SHARES="4", AT_ONCE="2")
    wait_until(lambda: has_begun(1, 2), "the first tasks")
    first = slurm.task(array, 1)
    assert (first["MinMemoryNode"], first["CPUs/Task"], first["TimeLimit"]) == (
        *("100M", "1"),
        "00:20:00",
    )
    assert slurm.jobs(join)[0]["JobState"] == "PENDING"
    begun = (here / "out" / "begun" / "1").read_text()
    assert begun == f"{here}/scratch 1\n"

    os.kill(pid_of("1/4"), signal.SIGKILL)
    (here / "out" / "begun" / "2").unlink()
    slurm.call("scontrol", "requeue", f"{array}_2")
    wait_until(lambda: has_begun(3, 4), "the next tasks")
    slurm.call("scancel", f"{array}_3")
    (here / "out" / "go" / "4").touch()
    wait_until(lambda: has_begun(2), "the task that was put back")
    (here / "out" / "go" / "2").touch()
    slurm.wait(array)
    states = {index: slurm.task(array, index)["JobState"] for index in (1, 2, 3, 4)}
    assert states == {1: "FAILED", 2: "COMPLETED", 3: "CANCELLED", 4: "COMPLETED"}
    assert slurm.wait(join) == ["FAILED"]  # it says which are missing
    logs = here / "out" / "logs"
    assert "share 3/4: SIGTERM" in (logs / f"{array}_3.txt").read_text()
    assert (logs / f"{array}_2.txt").read_text().count("temporary files in") == 2

    for share in (1, 3):
        (here / "out" / "go" / str(share)).touch()
    again, join = submit(slurm, here, **settings, ONLY="missing")
    assert slurm.wait(again) == ["COMPLETED"] * 2
    assert slurm.wait(join) == ["COMPLETED"]
    assert {one["ArrayTaskId"] for one in slurm.jobs(again)} == {"1", "3"}
    assert len(list(logs.iterdir())) == 4 + 2 + 2
