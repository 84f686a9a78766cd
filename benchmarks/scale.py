"""What does a recording cost when there are many: time, memory, files and requests by archive size.

    python -m benchmarks.scale 1000 10000 30000 --json scale.json --markdown scale.md

For each size: a listing of that many files with the names and folders that recorders give, the real
job over it, and then a night of new ones over the output that is there. No audio is decoded and no
network runs: a stand-in gives silence, another gives scores. The figures are those of all that is
kept account of, which is what grows with an archive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.child import ROOT
from benchmarks.scale_job import (
    FOLDER_VARIABLE,
    LIMIT_VARIABLE,
    SECONDS_VARIABLE,
    read_tallies,
)

MODEL = str(ROOT / "model" / "released")
A_NIGHT = 1000
"""Recordings in a folder: one recorder, one night, files of some minutes."""
LOOK_S = 0.1


@dataclass(frozen=True)
class Figures:
    """One run.

    Attributes:
        recordings: given to it.
        held: recordings that the output held before.
        engine: what ran it.
        files: in the output, after it.
        peak_bytes: of memory, by kind of process: the most that one of them ever held.
        operations: on files of the archive and of the output, by kind; about a request each where
            they are objects in a bucket.
        elements: the largest elements of collections, in bytes, as far as Beam sampled them.
    """

    recordings: int
    held: int
    engine: str
    seconds: float
    cpu_s: float
    files: int
    peak_bytes: dict[str, int]
    operations: dict[str, int]
    elements: dict[str, int]

    @property
    def ms_a_recording(self) -> float:
        """Time by the clock."""
        return 1000 * self.seconds / self.recordings


def make_listing(folder: Path, n: int, first_night: int = 0) -> None:
    """Empty files, named as recorders name them, a folder for each site and night."""
    start = datetime(2026, 3, 1, 18, tzinfo=UTC)
    for done in range(0, n, A_NIGHT):
        index = first_night + done // A_NIGHT
        site, night = f"SITE{index % 100:02}", start + timedelta(days=index // 100)
        nightly = folder / site / f"{night:%Y%m%d}"
        nightly.mkdir(parents=True)
        for k in range(min(A_NIGHT, n - done)):
            (nightly / f"{site}_{night + timedelta(seconds=40 * k):%Y%m%d_%H%M%S}.wav").touch()


class Watch(threading.Thread):
    """Notes the most memory that processes ever held, by what they are."""

    def __init__(self, kind_of: Callable[[int], str]) -> None:
        super().__init__(daemon=True)
        self.peak_bytes: dict[str, int] = {}
        self._kind_of, self._ended = kind_of, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for entry in os.scandir("/proc"):
            if entry.name.isdigit() and (kind := self._kind_of(int(entry.name))):
                with open_quietly(f"/proc/{entry.name}/status") as text:
                    for line in text.splitlines():
                        if line.startswith("VmHWM:"):
                            peak = int(line.split()[1]) * 1024
                            self.peak_bytes[kind] = max(self.peak_bytes.get(kind, 0), peak)

    def stop(self) -> dict[str, int]:
        """The figures."""
        self._ended.set()
        self.join()
        return self.peak_bytes


@contextmanager
def open_quietly(name: str) -> Iterator[str]:
    """The text of a file; nothing where it has gone."""
    try:
        yield Path(name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        yield ""


def count_files(folder: Path) -> int:
    """All files below a folder."""
    return sum(len(names) for _, _, names in os.walk(folder))


def run_job(
    archive: Path,
    output: Path,
    n: int,
    held: int,
    engine: str,
    flags: Sequence[str],
    kinds: dict[int, str],
    environment: dict[str, str],
    most_bytes: int,
    given: Path,
) -> Figures:
    """Runs the job once, over ``given``."""
    folder = Path(environment[FOLDER_VARIABLE])
    for old in (*folder.glob("*.tally"), folder / "elements.json"):
        # Workers that outlive a job keep their numbers; those of the one before are not of this.
        old.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.scale_job", "--no_report", f"--model={MODEL}"]
    command += [f"--input={given}", f"--output={output}", *flags]
    with open(folder / "job.log", "w+") as log:
        start = time.monotonic()
        job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        resource.prlimit(job.pid, resource.RLIMIT_DATA, (most_bytes, most_bytes))

        def kind_of(pid: int) -> str:
            if pid == job.pid:
                return "launcher" if kinds else "job"
            parent = parent_of(pid)
            return kinds.get(pid) or ("worker" if kinds.get(parent) == "pool" else "")

        watch = Watch(kind_of)
        watch.start()
        _, status, used = os.wait4(job.pid, 0)
        seconds = time.monotonic() - start
        job.returncode = os.waitstatus_to_exitcode(status)
        peak_bytes = watch.stop()
        log.seek(0)
        if job.returncode:
            raise RuntimeError(f"the job ended with {job.returncode}:\n{log.read()[-4000:]}")
    elements = folder / "elements.json"
    return Figures(
        recordings=n,
        held=held,
        engine=engine,
        seconds=round(seconds, 1),
        cpu_s=round(used.ru_utime + used.ru_stime, 1),
        files=count_files(output),
        peak_bytes=peak_bytes,
        operations=read_tallies(folder, ("archive", "output")),
        elements=json.loads(elements.read_text()) if elements.exists() else {},
    )


def parent_of(pid: int) -> int:
    """The process that started another; 0 where it has gone."""
    with open_quietly(f"/proc/{pid}/stat") as text:
        return int(text.rpartition(")")[2].split()[1]) if text else 0


def measure(asked: argparse.Namespace, top: Path) -> Iterator[Figures]:
    """All runs that were asked for."""
    folder = top / "figures"
    folder.mkdir()
    archive, output = top / "archive", top / "output"
    (folder / "tops.json").write_text(json.dumps({"archive": str(archive), "output": str(output)}))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "-1",
        FOLDER_VARIABLE: str(folder),
        SECONDS_VARIABLE: str(asked.recording_s),
        LIMIT_VARIABLE: str(round(asked.worker_gb * 2**30)),
    }
    with engine_of(asked.engine, top, environment) as (flags, kinds):
        for n in asked.sizes:
            for folder_of_last in (archive, output):
                shutil.rmtree(folder_of_last, ignore_errors=True)
            archive.mkdir()
            make_listing(archive, n)
            limit = round(asked.job_gb * 2**30)
            common = (asked.engine, (*flags, *asked.beam), kinds, environment, limit)
            yield run_job(archive, output, n, 0, *common, archive)
            if asked.night:
                night = archive / "night"
                make_listing(night, asked.night, first_night=-(-n // A_NIGHT))
                yield run_job(archive, output, asked.night, n, *common, night)


@contextmanager
def engine_of(
    name: str, top: Path, environment: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], dict[int, str]]]:
    """Flags that send a job to an engine, and what each of the engine's processes is."""
    if name == "local":
        with nullcontext():
            yield (), {}
        return
    from tests.engines import engine

    worker = top / "worker"
    worker.write_text(f'#!/bin/sh\nexec {sys.executable} -m benchmarks.scale_job "$@"\n')
    worker.chmod(0o755)
    start = {"job_service": engine.job_service, "flink": engine.flink}[name]
    with start(top / "engine", worker=str(worker), environment=environment) as running:
        yield running.flags, running.processes


def as_markdown(all_figures: Sequence[Figures]) -> str:
    """A table, a line for each run."""
    kinds = sorted({kind for figures in all_figures for kind in figures.peak_bytes})
    head = ["new", "held", "engine", "s", "ms a recording", *(f"{k}, MB" for k in kinds)]
    head += ["largest element, MB", "files", "read", "written", "listed", "deleted"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for f in all_figures:
        operations = [
            f"{f.operations[f'archive {kind}'] + f.operations[f'output {kind}']:,}"
            for kind in ("read", "written", "listed", "deleted")
        ]
        largest = f"{max(f.elements.values()) / 1e6:.1f}" if f.elements else "–"
        cells = [f"{f.recordings:,}", f"{f.held:,}", f.engine, f"{f.seconds:.0f}"]
        cells += [f"{f.ms_a_recording:.2f}"]
        cells += [f"{f.peak_bytes[k] / 1e6:.0f}" if k in f.peak_bytes else "–" for k in kinds]
        lines.append("| " + " | ".join([*cells, largest, f"{f.files:,}", *operations]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints, writes the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sizes", type=int, nargs="+", help="recordings in the archive")
    parser.add_argument("--night", type=int, default=1000, help="new ones over each (0: none)")
    parser.add_argument("--engine", choices=("local", "job_service", "flink"), default="local")
    parser.add_argument("--worker_gb", type=float, default=1.5, help="memory of a worker process")
    parser.add_argument("--job_gb", type=float, default=8, help="memory of the launcher")
    parser.add_argument("--recording_s", type=float, default=60, help="length of each, seconds")
    parser.add_argument("--beam", action="append", default=[], help="a further flag of the job")
    parser.add_argument("--folder", help="where to put archive and output while it runs")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there")
    asked = parser.parse_args()
    done: list[Figures] = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as top:
        for figures in measure(asked, Path(top)):
            done.append(figures)
            print(json.dumps(asdict(figures)), flush=True)
            if asked.json:
                text = json.dumps([asdict(one) for one in done], indent=2)
                Path(asked.json).write_text(text + "\n", encoding="utf-8")
            if asked.markdown:
                Path(asked.markdown).write_text(as_markdown(done), encoding="utf-8")
    print(as_markdown(done))


if __name__ == "__main__":
    main()
