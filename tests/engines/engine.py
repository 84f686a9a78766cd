"""Engines as processes on loopback: started, watched, killed and ended by their process ids."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam

from tests.cloud.emulators import free_port

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".engines"
"""Where engines are kept once they have been fetched."""
PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"
"""Beam's own engine, a program in Go."""
FLINK_VERSION = "1.20"
FLINK_LIBRARIES = "1.20.5"
"""Of the package ``apache-flink-libraries``: Flink without its scripts."""
TASK_MANAGERS = 2

JVM = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        *("java.lang", "java.lang.reflect", "java.util", "java.util.concurrent"),
        *("java.util.concurrent.atomic", "java.util.concurrent.locks"),
        *("java.io", "java.net", "java.nio", "java.text", "java.time", "sun.nio.ch"),
    )
]
"""What Flink must reach into from Java 17 on; its own scripts say the same."""

MEMORY_MB = {
    "framework.heap.size": 128,
    "task.heap.size": 256,
    "framework.off-heap.size": 128,
    "task.off-heap.size": 64,
    "network.min": 64,
    "network.max": 64,
    "managed.size": 256,
    "jvm-metaspace.size": 192,
    "jvm-overhead.min": 64,
    "jvm-overhead.max": 64,
}
"""Of a task manager, 1.1 GB in all; its heap and what lies beside it are the JVM's limits too."""


class NotToBeHadError(Exception):
    """An engine cannot be started here; the message says what is missing."""


@dataclass
class Engine:
    """A running engine.

    Attributes:
        flags: that send a job there.
        processes: what each process is, by process id: ``service``, ``job_manager``,
            ``task_manager``, ``job_server`` or ``pool``. Worker processes are children of the pool.
        log: what they print.
        shares_out: the kind of process that holds a job's work: killed, it takes that with it.
        start_again: starts another process of a kind, as whoever watches over an engine would.
        workers: how many worker processes it starts.
    """

    flags: tuple[str, ...]
    processes: dict[int, str]
    log: Path
    shares_out: str
    start_again: Callable[[str], None]
    workers: int = 2

    def kill_one(self, kind: str) -> None:
        """Ends one process of a kind, without warning, and starts another."""
        pid = next(pid for pid, its_kind in self.processes.items() if its_kind == kind)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        del self.processes[pid]
        self.start_again(kind)


@contextlib.contextmanager
def _processes(
    folder: Path, environment: Mapping[str, str] | None
) -> Iterator[tuple[Callable[..., None], dict[int, str]]]:
    """What starts a process, and all that run; at the end, they and what they started are ended."""
    folder.mkdir(parents=True, exist_ok=True)
    # Beam's pool starts whatever `python` is.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**(environment or os.environ), "PYTHONPATH": str(ROOT), "PATH": path}
    started: list[subprocess.Popen[bytes]] = []
    commands: dict[str, Sequence[str]] = {}
    kinds: dict[int, str] = {}
    with open(folder / "engine.log", "wb") as log:

        def start(kind: str, command: Sequence[str] = ()) -> None:
            commands[kind] = command = command or commands[kind]
            process = subprocess.Popen(
                command, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
            started.append(process)
            kinds[process.pid] = kind

        try:
            yield start, kinds
        finally:
            for process in reversed(started):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)  # the pool's workers too
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(20)


def _wait(has_come: Callable[[], bool], what: str, log: Path, patience_s: float = 180) -> None:
    end = time.monotonic() + patience_s
    while not has_come():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def _wait_for_ports(ports: Sequence[int], log: Path) -> None:
    def all_answer() -> bool:
        for port in ports:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return False
        return True

    _wait(all_answer, "the engine", log)


def _start_pool(start: Callable[..., None], worker: str) -> int:
    """A pool that starts worker processes for whoever asks. Returns its port."""
    port = free_port()
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
    command += [f"--service_port={port}"]
    start("pool", command + ([f"--container_executable={worker}"] if worker else []))
    return port


@contextlib.contextmanager
def job_service(
    folder: Path, worker: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Engine]:
    """Beam's job service: its in-process engine behind a door, and two worker processes.

    Args:
        folder: for its files.
        worker: a program to start for each worker, instead of Beam's own.
        environment: of all processes.
    """
    command = [sys.executable, "-m", "tests.engines.job_service"]
    command += [f"--staging_dir={folder}/staging", "--port"]
    with _one_process(folder, command, worker, environment) as running:
        yield running


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One test process at a time fetches engines; the others then have them."""
    KEPT.mkdir(exist_ok=True)
    with open(KEPT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@_alone()
def prism_program() -> Path:
    """Beam's engine Prism, of the same version as Beam here, built once.

    Raises:
        NotToBeHadError: there is no Go, or it has no such module.
    """
    version = apache_beam.__version__
    program = KEPT / f"prism-{version}" / "prism"
    if not program.exists():
        if not shutil.which("go"):
            raise NotToBeHadError("no go on this machine")
        module = f"{PRISM}@v{version}"
        into = {**os.environ, "GOBIN": str(program.parent)}
        _fetch(["go", "install", module], f"go has no {module}", into)
    return program


@contextlib.contextmanager
def prism(
    folder: Path, worker: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Engine]:
    """Prism, which starts one worker process for a job.

    Raises:
        NotToBeHadError: it cannot be built on this machine.
    """
    command = [str(prism_program()), "--serve_http=false", "--job_port"]
    with _one_process(folder, command, worker, environment) as running:
        running.workers = 1
        yield running


@contextlib.contextmanager
def _one_process(
    folder: Path, command: Sequence[str], worker: str, environment: Mapping[str, str] | None
) -> Iterator[Engine]:
    """An engine in one process, with a worker pool. Its command lacks its port."""
    with _processes(folder, environment) as (start, kinds):
        port = free_port()
        start("service", [*command, str(port)])
        pool = _start_pool(start, worker)
        log = folder / "engine.log"
        _wait_for_ports((port, pool), log)
        flags = ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}", *_external(pool))

        def start_again(kind: str) -> None:
            start(kind)
            _wait_for_ports((port,), log)

        yield Engine(flags, kinds, log, "service", start_again)


def _external(pool: int) -> tuple[str, str]:
    return "--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}"


@_alone()
def flink_parts() -> tuple[Path, Path]:
    """Beam's job server for Flink, and the folder of Flink's libraries, fetched once.

    Raises:
        NotToBeHadError: Java, Maven, the job server or Flink is missing.
    """
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise NotToBeHadError(f"no {program} on this machine")
    name = f"beam-runners-flink-{FLINK_VERSION}-job-server"
    jar = KEPT / f"{name}-{apache_beam.__version__}.jar"
    if not jar.exists():
        artifact = f"org.apache.beam:{name}:{apache_beam.__version__}"
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
        _fetch([*copy, f"-DoutputDirectory={KEPT}"], f"Maven has no {artifact}")
    libraries = KEPT / f"apache-flink-libraries-{FLINK_LIBRARIES}"
    if not libraries.exists():
        wanted = f"apache-flink-libraries=={FLINK_LIBRARIES}"
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:all:"]
        _fetch([*download, f"--dest={KEPT}", wanted], f"pip has no {wanted}")
        [archive] = KEPT.glob(f"apache[-_]flink[-_]libraries-{FLINK_LIBRARIES}.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(KEPT, filter="data")
        (KEPT / archive.name.removesuffix(".tar.gz")).rename(libraries)
        archive.unlink()
    return jar, libraries / "deps" / "lib"


_refused: set[str] = set()


def _fetch(
    command: Sequence[str], otherwise: str, environment: Mapping[str, str] | None = None
) -> None:
    if otherwise not in _refused:
        done = subprocess.run(command, capture_output=True, env=environment)
        if done.returncode:
            _refused.add(otherwise)  # whoever asks next need not wait
    if otherwise in _refused:
        raise NotToBeHadError(otherwise)


@contextlib.contextmanager
def flink(
    folder: Path, worker: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Engine]:
    """A standalone Flink cluster: one job manager, two task managers, Beam's job server, a pool.

    Raises:
        NotToBeHadError: something is missing on this machine.
    """
    jar, libraries = flink_parts()
    with flink_cluster(folder, libraries, environment) as (rest, start, kinds):
        log = folder / "engine.log"
        job, artifacts = free_port(), free_port()
        command = ["java", *JVM, "-Xmx512m", "-jar", str(jar), f"--flink-master=127.0.0.1:{rest}"]
        command += [f"--job-port={job}", f"--artifact-port={artifacts}", "--expansion-port=0"]
        start("job_server", [*command, f"--artifacts-dir={folder}/artifacts"])
        pool = _start_pool(start, worker)
        _wait_for_ports((job, pool), log)
        flags = ["--runner=FlinkRunner", f"--job_endpoint=localhost:{job}", *_external(pool)]
        flags += [f"--parallelism={TASK_MANAGERS}"]
        yield Engine(tuple(flags), kinds, log, "task_manager", start)


@contextlib.contextmanager
def flink_cluster(
    folder: Path, libraries: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, Callable[..., None], dict[int, str]]]:
    """The cluster alone: port of its REST service, what starts more processes, all there are."""
    rest = free_port()
    configuration = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": free_port(),
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": rest,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.cpu.cores": 1.0,
        "taskmanager.numberOfTaskSlots": 1,
        # A task manager that is killed is missed soon, and the job starts again without being told.
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 10_000,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 3,
        "restart-strategy.fixed-delay.delay": "1 s",
        "io.tmp.dirs": f"{folder}/tmp",
        **{f"taskmanager.memory.{name}": f"{mb}m" for name, mb in MEMORY_MB.items()},
    }
    (folder / "conf").mkdir(parents=True)
    (folder / "tmp").mkdir()
    lines = (f"{key}: {value}\n" for key, value in configuration.items())
    (folder / "conf" / "config.yaml").write_text("".join(lines))
    heap = MEMORY_MB["framework.heap.size"] + MEMORY_MB["task.heap.size"]
    beside = sum(MEMORY_MB[f"{of}.off-heap.size"] for of in ("framework", "task"))
    limits = [f"-Xmx{heap}m", f"-XX:MaxDirectMemorySize={beside + MEMORY_MB['network.max']}m"]
    limits += [f"-XX:MaxMetaspaceSize={MEMORY_MB['jvm-metaspace.size']}m"]
    path = ["-cp", os.pathsep.join(map(str, sorted(libraries.glob("*.jar"))))]
    runtime = "org.apache.flink.runtime"
    where = ["--configDir", str(folder / "conf")]
    with _processes(folder, environment) as (start, kinds):
        manager = f"{runtime}.entrypoint.StandaloneSessionClusterEntrypoint"
        start("job_manager", ["java", *JVM, "-Xmx512m", *path, manager, *where])
        for _ in range(TASK_MANAGERS):
            runner = f"{runtime}.taskexecutor.TaskManagerRunner"
            start("task_manager", ["java", *JVM, *limits, *path, runner, *where])
        log = folder / "engine.log"
        _wait(lambda: task_managers(rest) == TASK_MANAGERS, "the Flink cluster", log)
        yield rest, start, kinds


def task_managers(rest: int) -> int:
    """How many task managers a cluster has; none where it does not answer."""
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{rest}/overview", timeout=5) as answer,
    ):
        return int(json.load(answer)["taskmanagers"])
    return 0


STARTS = {"job_service": job_service, "prism": prism, "flink": flink}
"""What starts each engine."""
