"""The same job on another engine: Beam's job service with worker processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import launch
from tests.cloud.emulators import free_port
from tests.cloud.test_buckets import count
from tests.conftest import Recordings
from tests.fakes import PeakScorer, write_model

ROOT = Path(__file__).resolve().parents[2]


class LoaderThatSigns:
    """Leaves a file named for the process that loaded the model."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self) -> PeakScorer:
        (Path(self.folder) / str(os.getpid())).touch()
        return PeakScorer()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address of a job service, address of a pool that starts worker processes."""
    # The pool starts whatever `python` is.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    service, pool = free_port(), free_port()
    commands = [
        ["tests.cloud.job_service", f"--port={service}", f"--staging_dir={tmp_path}/staging"],
        ["apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"],
    ]
    with open(tmp_path / "engine.log", "wb") as log:
        started = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            for command in commands
        ]
    try:
        for port in (service, pool):
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
        yield f"localhost:{service}", f"localhost:{pool}"
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGTERM)  # the pool's workers too
        for process in started:
            process.wait(20)


@pytest.mark.slow
def test_two_worker_processes_write_the_same_bytes(
    engine: tuple[str, str],
    recordings: Recordings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service, pool = engine
    folder, _ = recordings
    model = write_model(tmp_path / "model")
    signed = tmp_path / "signed"
    signed.mkdir()
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: LoaderThatSigns(str(signed)))
    arguments = [f"--input={folder}", "--segment_s=7", f"--model={model}"]

    assert count(*arguments, f"--output={tmp_path}/here") == 0
    assert {file.name for file in signed.iterdir()} == {str(os.getpid())}
    portable = ["--runner=PortableRunner", f"--job_endpoint={service}"]
    portable += ["--environment_type=EXTERNAL", f"--environment_config={pool}"]
    assert count(*arguments, f"--output={tmp_path}/there", *portable) == 0
    assert len({file.name for file in signed.iterdir()} - {str(os.getpid())}) == 2

    def table(place: str, name: str) -> list[bytes]:
        run_id = json.loads((tmp_path / place / "run.json").read_text())["run_id"]
        content = (tmp_path / place / name).read_bytes()
        return sorted(content.replace(run_id.encode(), b"RUN").splitlines(keepends=True))

    for name in ("counts.csv", "calls.csv", "failures.csv"):
        assert table("here", name) == table("there", name)
        assert any(b"RUN" in line for line in table("here", name))
