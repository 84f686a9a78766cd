"""The job on engines with worker processes of their own: the bytes of the local run's tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline import launch, options
from pipeline.run import run_of
from tests.conftest import Recordings
from tests.engines.engine import ROOT, Engine
from tests.engines.held import HeldLoader, processes
from tests.fakes import write_model
from tests.nights import wait_until

TABLES = ("counts.csv", "calls.csv", "failures.csv", "activity.csv")

pytestmark = pytest.mark.slow


def count(*arguments: object) -> int:
    return launch.launch(run_of(options.parse([*map(str, arguments), "--no_report"])))


def tables(output: Path) -> dict[str, bytes]:
    """All tables, with the run's name, which no two runs share, taken out."""
    run_id = json.loads((output / "run.json").read_text())["run_id"].encode()
    content = {name: (output / name).read_bytes() for name in TABLES}
    assert run_id in content["counts.csv"]
    return {name: text.replace(run_id, b"RUN") for name, text in content.items()}


def on_flink(running: Engine, given: Path, output: Path) -> int:
    """The job by the script that users start; all settings by name. Returns its exit code."""
    server, pool = (flag.partition("=")[2] for flag in (running.flags[1], running.flags[3]))
    variables = {
        "JOB_SERVER": server,
        "WORKER_POOL": pool,
        "PARALLELISM": "2",
        "INPUT": str(given),
        "OUTPUT": str(output),
        "PYTHON": sys.executable,
    }
    script = [str(ROOT / "run_flink.sh"), "--no_report"]
    return subprocess.run(script, env={**os.environ, **variables}).returncode


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where workers say what they do; a file `hold` in it makes them wait."""
    folder = tmp_path / "network"
    folder.mkdir()
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: HeldLoader(folder))
    return folder


@pytest.fixture(scope="module")
def arguments(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    model = write_model(tmp_path_factory.mktemp("model"))
    return [f"--input={recordings[0]}", "--segment_s=7", f"--model={model}"]


@pytest.fixture(scope="module")
def here(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables by the local run, in this process."""
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "ModelLoader", lambda directory: HeldLoader(folder))
        assert count(*arguments, f"--output={folder}/out") == 0
    assert processes(folder, "loaded") == {os.getpid()}
    return tables(folder / "out")


@pytest.fixture(scope="module")
def forest_here(
    eight_of_the_forest: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The tables of the forest by the local run."""
    output = tmp_path_factory.mktemp("forest")
    assert count(f"--input={eight_of_the_forest}", f"--output={output}") == 0
    return tables(output)


def test_worker_processes_write_the_same_bytes(
    running: Engine,
    arguments: list[str],
    here: dict[str, bytes],
    network: Path,
    eight_of_the_forest: Path,
    forest_here: dict[str, bytes],
    tmp_path: Path,
) -> None:
    assert count(*arguments, f"--output={tmp_path}/there", *running.flags) == 0
    assert len(processes(network, "loaded") - {os.getpid()}) == running.workers
    assert tables(tmp_path / "there") == here
    assert on_flink(running, eight_of_the_forest, tmp_path / "forest") == 0
    assert tables(tmp_path / "forest") == forest_here


class Job(threading.Thread):
    """A run in a thread."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(daemon=True)
        self._arguments, self.code = arguments, -1

    def run(self) -> None:
        self.code = count(*self._arguments)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("victim", ["worker", "engine"])
def test_what_is_killed_in_mid_run_is_made_up_for(
    victim: str,
    running: Engine,
    arguments: list[str],
    here: dict[str, bytes],
    network: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = [*arguments, f"--output={tmp_path}/there", *running.flags]
    (network / "hold").touch()
    job = Job(there)
    job.start()
    wait_until(lambda: bool(processes(network, "waits")))
    if victim == "worker":
        os.kill(processes(network, "waits").pop(), signal.SIGKILL)
    else:
        running.kill_one(running.shares_out)
    (network / "hold").unlink()
    job.join()
    if job.code != 0:  # Beam's job service makes no second attempt; Flink does
        assert job.code == 1
        assert not (tmp_path / "there" / "run.json").exists()
        last_line = capsys.readouterr().err.splitlines()[-1]
        assert last_line.startswith("capuchinbird: the job failed: ")
        assert ("no longer answers" in last_line) == (victim == "engine")
        assert count(*there) == 0
    assert tables(tmp_path / "there") == here
