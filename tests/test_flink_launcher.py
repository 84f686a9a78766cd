"""run_flink.sh and what sends a job to a job server: what is refused, before anything starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PortableOptions

from pipeline.beam_options import beam_options, runs_here
from pipeline.options import UsageError, parse
from pipeline.preflight import check_reach

ROOT = Path(__file__).resolve().parents[1]
POOL = ("--environment_type=EXTERNAL", "--environment_config=localhost:50000")
SETTINGS = {
    "JOB_SERVER": "localhost:8099",
    "PARALLELISM": "2",
    "INPUT": "/recordings",
    "OUTPUT": "gs://bucket/out",
}


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    """The script, with a stand-in for Python that prints what it is called with."""
    environ = {"PATH": os.environ["PATH"], "PYTHON": "echo", **variables}
    wanted = {name: value for name, value in environ.items() if value}
    return subprocess.run([ROOT / "run_flink.sh"], env=wanted, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"PARALLELISM": ""}, "PARALLELISM is not set"),
        ({"PARALLELISM": "many"}, "PARALLELISM=many: give a whole number"),
        ({"INPUT": ""}, "neither INPUT nor MANIFEST is set"),
        ({"JOB_SERVER": ""}, "neither JOB_SERVER nor FLINK_MASTER is set"),
        ({"FLINK_MASTER": "localhost:8081"}, "give JOB_SERVER or FLINK_MASTER, not both"),
        ({"JOB_SERVER": "", "FLINK_MASTER": "localhost:8081"}, "FLINK_MASTER needs JOB_SERVER_JAR"),
        ({"JOB_SERVER": "flink"}, "JOB_SERVER=flink: write it as HOST:PORT"),
        ({"JOB_SERVER": "http://flink:1"}, "JOB_SERVER=http://flink:1: write it as HOST:PORT"),
        ({"ARTIFACTS": "/staged"}, "ARTIFACTS is a setting of the job server"),
        ({"OUTPUT": "results"}, "OUTPUT=results: write a full path"),
        ({"IMAGE": "birds:1", "WORKER_POOL": "localhost:1"}, "give WORKER_POOL or IMAGE"),
        ({"DATASET": "p.birds"}, "DATASET needs NIGHT"),
        ({"NIGHT": "1 March"}, "NIGHT=1 March: write it as YYYY-MM-DD"),
    ],
)
def test_the_script_refuses(changed: dict[str, str], message: str) -> None:
    done = run(**{**SETTINGS, **changed})
    assert done.returncode == 2
    assert done.stderr.startswith(f"run_flink.sh: {message}")


def test_the_script_prints_all_settings_and_passes_them_on() -> None:
    done = run(**SETTINGS)
    assert done.returncode == 0
    printed = dict(line.split() for line in done.stderr.splitlines())
    assert {name: printed[name] for name in SETTINGS} == SETTINGS
    assert printed["WORKER_POOL"] == "localhost:50000"
    assert set(done.stdout.split()[2:]) == {
        *("--runner=FlinkRunner", "--parallelism=2", "--job_endpoint=localhost:8099", *POOL),
        *("--input=/recordings", "--output=gs://bucket/out"),
    }


def test_the_script_starts_a_job_server_with_its_artifacts_beside_the_output() -> None:
    jar = {"JOB_SERVER": "", "FLINK_MASTER": "flink:8081", "JOB_SERVER_JAR": sys.executable}
    assert {
        *("--flink_master=flink:8081", f"--flink_job_server_jar={sys.executable}"),
        "--artifacts_dir=gs://bucket/out/artifacts",
    } < set(run(**SETTINGS | jar).stdout.split())
    docker = run(**SETTINGS, IMAGE="birds:1").stdout.split()
    assert {"--environment_type=DOCKER", "--environment_config=birds:1"} < set(docker)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Where something listens."""
    server = socket.create_server(("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner=PortableRunner"], "say where the Python workers are"),
        (["--runner=PortableRunner", *POOL], "give --job_endpoint=HOST:PORT of a job server"),
        (["--runner=PortableRunner", "--environment_type=DOCKER"], "the image built from"),
        (["--runner=FlinkRunner", *POOL], "--flink_job_server_jar=FILE to start one"),
        (
            ["--runner=FlinkRunner", *POOL, "--flink_job_server_jar=/no/such.jar"],
            "--flink_job_server_jar=FILE to start one",
        ),
        (["--runner=FlinkRunner", *POOL, "--job_endpoint=127.0.0.1:1"], "no job server answers"),
        (["--runner=FlinkRunner", *POOL, "--job_endpoint=flink"], "no job server answers there"),
    ],
)
def test_a_job_for_a_job_server_that_could_not_run_is_refused(
    flags: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        beam_options(flags)


def test_the_launcher_works_itself_only_where_the_workers_are_its_own(endpoint: str) -> None:
    portable = ["--runner=FlinkRunner", f"--job_endpoint={endpoint}"]
    assert not runs_here(beam_options([*portable, *POOL]))
    assert runs_here(beam_options([*portable, "--environment_type=LOOPBACK"]))
    assert runs_here(beam_options([]))


def test_a_job_may_take_longer_than_beam_waits_for_an_answer(endpoint: str) -> None:
    flags = ["--runner=PortableRunner", f"--job_endpoint={endpoint}", *POOL]
    assert beam_options(flags).view_as(PortableOptions).job_server_timeout > 30 * 86_400
    own = beam_options([*flags, "--job_server_timeout=60"])
    assert own.view_as(PortableOptions).job_server_timeout == 60


def test_relative_paths_mean_nothing_to_workers_elsewhere(endpoint: str) -> None:
    options = beam_options(["--runner=FlinkRunner", f"--job_endpoint={endpoint}", *POOL])
    check_reach(parse(["--input=/a", "--output=gs://b/out"]), options)
    with pytest.raises(UsageError, match="--output results: workers stand in other folders"):
        check_reach(parse(["--input=/a", "--output=results"]), options)


def test_a_job_is_not_left_alone_with_a_job_server_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: program)
    jar = tmp_path / "server.jar"
    jar.touch()
    options = beam_options(["--runner=FlinkRunner", f"--flink_job_server_jar={jar}", *POOL])
    with pytest.raises(UsageError, match="--no_wait: the job server"):
        check_reach(parse(["--input=/a", "--output=/b", "--no_wait"]), options)
