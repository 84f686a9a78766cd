"""A Slurm on loopback: munged, slurmctld and a slurmd for each node, ended by their process ids.

By hand, to look around in it: ``python -m tests.slurm.cluster FOLDER`` prints how to reach it and
stays until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cloud.emulators import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PACKAGES = "slurm-wlm munge"
"""Debian's and Ubuntu's, which hold these programs."""
NODES = 2

ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "TIMEOUT"),
}


class NotToBeHadError(Exception):
    """Slurm cannot be started here; the message says what is missing."""


@dataclass(frozen=True)
class Slurm:
    """A running Slurm.

    Attributes:
        folder: for its files; what the daemons print is in ``*.log``.
        environ: what its commands need to find it.
    """

    folder: Path
    environ: Mapping[str, str]

    def call(self, *command: str | Path) -> str:
        """What one of its commands prints.

        Raises:
            subprocess.CalledProcessError: the command ended with another code than 0.
        """
        return subprocess.run(
            command, env=self.environ, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def jobs(self, job: str) -> list[dict[str, str]]:
        """What Slurm holds of a job: one mapping for each task that has started, one for the rest.

        Args:
            job: its number.
        """
        lines = self.call("scontrol", "--oneliner", "show", "job", job).splitlines()
        return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines]

    def task(self, job: str, index: int) -> dict[str, str]:
        """What Slurm holds of a task of an array; empty while it has not been set apart."""
        of_array = (one for one in self.jobs(job) if one.get("ArrayTaskId") == str(index))
        return next(of_array, {})

    def states(self, job: str) -> list[str]:
        """States of a job, or of all tasks of an array."""
        return [one["JobState"] for one in self.jobs(job)]

    def wait(self, job: str, patience_s: float = 300) -> list[str]:
        """Waits until a job has ended, all its tasks. Returns their states."""
        wait_until(lambda: set(self.states(job)) <= ENDED, f"job {job}", patience_s)
        return self.states(job)


def wait_until(has_come: Callable[[], bool], what: str, patience_s: float = 30) -> None:
    """Looks again and again for a state.

    Raises:
        TimeoutError: it did not come.
    """
    end = time.monotonic() + patience_s
    while not has_come():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)


def check_programs() -> None:
    """Looks for what must be installed.

    Raises:
        NotToBeHadError: it says what is missing.
    """
    missing = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if missing:
        raise NotToBeHadError(f"no {', '.join(missing)} here (apt-get install {PACKAGES})")


def _path() -> str:
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Two nodes of one core each, both this machine; all files are in the folder.

    Raises:
        NotToBeHadError: a program is missing.
    """
    check_programs()
    # A socket's path may have 107 characters, and those of pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="munge-") as short:
        environ = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
        environ = {name: value for name, value in environ.items() if not _is_of_a_job(name)}
        (folder / "spool").mkdir(parents=True)
        (folder / "state").mkdir()
        (folder / "slurm.conf").write_text(_configuration(folder, Path(short, "socket")))
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        with _processes(folder, environ) as start:
            files = {"key-file": key, "socket": Path(short, "socket")}
            files |= {"pid-file": Path(short, "pid"), "seed-file": Path(short, "seed")}
            files |= {"log-file": Path(short, "log")}
            start("munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in files.items()))
            wait_until(Path(short, "socket").exists, "munged")
            start("slurmctld", "-D", "-i")
            for number in range(NODES):
                start("slurmd", "-D", "-N", f"node{number}")
            running = Slurm(folder, environ)
            try:
                wait_until(lambda: _idle_nodes(running) == NODES, "slurmd on all nodes")
            except TimeoutError as error:
                logs = (path.read_text(errors="replace") for path in folder.glob("*.log"))
                raise TimeoutError(f"{error}:\n" + "\n".join(log[-2000:] for log in logs)) from None
            try:
                yield running
            finally:
                # Tasks are no children of the daemons that are ended next.
                running.call("scancel", "--signal=KILL", "--full", f"--user={_user()}")
                running.call("scancel", f"--user={_user()}")
                with contextlib.suppress(TimeoutError):
                    wait_until(lambda: not running.call("squeue", "--noheader"), "the last job")


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _is_of_a_job(name: str) -> bool:
    """Whether a variable tells of a job that the tests themselves run in."""
    return name.startswith(("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_")) and name != "SLURM_CONF"


def _idle_nodes(running: Slurm) -> int:
    with contextlib.suppress(subprocess.CalledProcessError):
        nodes = running.call("sinfo", "--noheader", "--Node", "--format=%t").split()
        return nodes.count("idle")
    return 0


def _configuration(folder: Path, munge_socket: Path) -> str:
    """``slurm.conf`` for nodes that are this machine, without cgroups and accounts."""
    host, user = socket.gethostname().partition(".")[0], _user()
    settings = {
        "ClusterName": "loopback",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": free_port(),
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        # What is put back into the queue waits for its credential to expire, by default 2 minutes.
        "AuthInfo": f"socket={munge_socket},cred_expire=5",
        "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",
        "StateSaveLocation": folder / "state",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "%n.pid",
        "SlurmdSpoolDir": folder / "spool" / "%n",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "SlurmdLogFile": folder / "%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "MpiDefault": "none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        # What ends is noticed, and what waits starts, at once.
        "SchedulerParameters": "sched_interval=1,batch_sched_delay=0,sched_min_interval=0",
        "MinJobAge": 3600,
        "ReturnToService": 2,
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    for number in range(NODES):
        lines.append(
            f"NodeName=node{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} "
            "CPUs=1 RealMemory=8000 State=UNKNOWN"
        )
    lines.append("PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def _processes(folder: Path, environ: Mapping[str, str]) -> Iterator[Callable[..., None]]:
    """What starts a daemon; at the end all are ended, the last first."""
    started: list[subprocess.Popen[bytes]] = []
    with open(folder / "daemons.log", "wb") as log:

        def start(*command: str) -> None:
            program = shutil.which(command[0], path=environ["PATH"])
            assert program
            started.append(
                subprocess.Popen(
                    [program, *command[1:]],
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

        try:
            yield start
        finally:
            for process in reversed(started):
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)


def main(arguments: Sequence[str]) -> int:
    """Starts a Slurm and waits for Ctrl-C."""
    with slurm(Path(arguments[0])) as running:
        print(f"export SLURM_CONF={running.environ['SLURM_CONF']}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
