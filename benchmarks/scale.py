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
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.harness import RELEASED, ROOT, markdown, parser, write_json
from benchmarks.scale_job import (
    FOLDER_VARIABLE,
    KINDS,
    SECONDS_VARIABLE,
    read_tallies,
)

A_NIGHT = 1000
"""Recordings in a folder: one recorder, one night, files of some minutes."""
LOOK_S = 0.5


@dataclass(frozen=True)
class Figures:
    """One run.

    Attributes:
        recordings: given to it.
        held: recordings that the output held before.
        engine: what ran it.
        files: in the output, after it.
        cpu_s: of all processes.
        peak_bytes: of memory, by kind of process: the most that one of them ever held.
        operations: on files of the archive and of the output, by kind. Of an output in a bucket
            they are the requests; of files on this machine, what would be about a request each.
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
    """Notes the most memory that processes ever held, by what they are, and their CPU time.

    A process that ever held more than its kind may is ended, as a container's limit would end it.
    """

    def __init__(self, kind_of: Callable[[int, int], str], most_bytes: Mapping[str, int]) -> None:
        super().__init__(daemon=True)
        self._most_bytes = most_bytes
        self.peak_bytes: dict[str, int] = {}
        self._ticks: dict[int, tuple[int, int]] = {}  # first and last seen, by process
        self._kind_of, self._ended = kind_of, threading.Event()

    def run(self) -> None:
        self._look()
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for pid in [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]:
            with suppress(OSError):  # it has gone
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                if kind := self._kind_of(pid, int(fields[1])):
                    ticks = int(fields[11]) + int(fields[12])
                    self._ticks[pid] = (self._ticks.get(pid, (ticks, 0))[0], ticks)
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                        if line.startswith("VmHWM:"):
                            peak = int(line.split()[1]) * 1024
                            self.peak_bytes[kind] = max(self.peak_bytes.get(kind, 0), peak)
                            if peak > self._most_bytes.get(kind, peak):
                                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """No more looks."""
        self._ended.set()
        self.join()

    def cpu_s(self, without: int) -> float:
        """CPU time of all processes but one."""
        ticks = [last - first for pid, (first, last) in self._ticks.items() if pid != without]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")


def count_files(folder: Path) -> int:
    """All files below a folder."""
    return sum(len(names) for _, _, names in os.walk(folder))


def kind_of_request(method: str, path: str) -> str:
    """What a request to a bucket does.

    >>> kind_of_request("GET", "/storage/v1/b/birds/o?prefix=a")
    'listed'
    """
    if method == "GET":
        if "alt=media" in path or path.startswith("/download/"):
            return "read"
        return "listed" if re.search(r"/o(\?|$)", path) else "looked up"
    if method == "DELETE":
        return "deleted"
    if "/compose" in path:
        return "joined"
    return "batches" if path.startswith("/batch") else "written"


@dataclass(frozen=True)
class Bench:
    """Where runs take place.

    Attributes:
        folder: for the figures of a run's processes.
        output: the output folder, here or in a bucket.
        flags: that send a job to the engine.
        kinds: what each of the engine's processes is.
        most_bytes: of memory, by kind of process.
        requests: (method, path) of what was asked of the bucket.
    """

    engine: str
    folder: Path
    output: str
    flags: tuple[str, ...]
    kinds: dict[int, str]
    environment: dict[str, str]
    most_bytes: dict[str, int]
    requests: list[tuple[str, str]]


def run_job(bench: Bench, archive: Path, n: int, held: int) -> Figures:
    """Runs the job once, over ``n`` recordings in a folder."""
    folder, kinds = bench.folder, bench.kinds
    for old in (*folder.glob("*.tally"), folder / "elements.json"):
        # Workers that outlive a job keep their numbers; those of the one before are not of this.
        old.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.scale_job", "--no_report", f"--model={RELEASED}"]
    command += [f"--input={archive}", f"--output={bench.output}", *bench.flags]
    bench.requests.clear()
    with open(folder / "job.log", "w+") as log:
        start = time.monotonic()
        job = subprocess.Popen(command, cwd=ROOT, env=bench.environment, stdout=log, stderr=log)

        def kind_of(pid: int, parent: int) -> str:
            if pid == job.pid:
                return "launcher" if kinds else "job"
            return kinds.get(pid) or ("worker" if kinds.get(parent) == "pool" else "")

        watch = Watch(kind_of, bench.most_bytes)
        watch.start()
        _, status, used = os.wait4(job.pid, 0)
        seconds = time.monotonic() - start
        job.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        log.seek(0)
        if job.returncode:
            logs = [log.read(), *(file.read_text() for file in folder.glob("../engine/*.log"))]
            ends = "\n…\n".join(text[-3000:] for text in logs)
            raise RuntimeError(f"the job ended with {job.returncode}:\n{ends}")
    elements = folder / "elements.json"
    operations = read_tallies(folder, ("archive", "output"))
    for request in bench.requests:
        kind = f"output {kind_of_request(*request)}"
        operations[kind] = operations.get(kind, 0) + 1
    return Figures(
        recordings=n,
        held=held,
        engine=bench.engine,
        seconds=round(seconds, 1),
        cpu_s=round(used.ru_utime + used.ru_stime + watch.cpu_s(without=job.pid), 1),
        files=count_files(Path(bench.output)),
        peak_bytes=watch.peak_bytes,
        operations=operations,
        elements=json.loads(elements.read_text()) if elements.exists() else {},
    )


def measure(options: argparse.Namespace, top: Path) -> Iterator[Figures]:
    """All runs, of each size in turn."""
    folder = top / "figures"
    folder.mkdir()
    archive, output = top / "archive", top / "output"
    (folder / "tops.json").write_text(json.dumps({"archive": str(archive), "output": str(output)}))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "-1",
        FOLDER_VARIABLE: str(folder),
        SECONDS_VARIABLE: str(options.recording_s),
    }
    requests: list[tuple[str, str]] = []
    with (
        bucket(top / "gcs", requests) if options.bucket else nullcontext("") as url,
        engine_of(options.engine, top, environment) as (flags, kinds),
    ):
        if url:
            environment |= {"STORAGE_EMULATOR_HOST": url, "GOOGLE_CLOUD_PROJECT": "forest"}
        for n in options.sizes:
            for last in (archive, output):
                shutil.rmtree(last, ignore_errors=True)
            bench = Bench(
                engine=options.engine,
                folder=folder,
                output=f"gs://scale/{n}" if url else str(output),
                flags=(*flags, *options.beam),
                kinds=kinds,
                environment=environment,
                most_bytes={
                    "worker": round(options.worker_gb * 2**30),
                    "job": round(options.job_gb * 2**30),
                },
                requests=requests,
            )
            archive.mkdir()
            make_listing(archive, n)
            yield run_job(bench, archive, n, 0)
            if options.night:
                night = archive / "night"
                make_listing(night, options.night, first_night=-(-n // A_NIGHT))
                yield run_job(bench, night, options.night, n)


@contextmanager
def bucket(folder: Path, requests: list[tuple[str, str]]) -> Iterator[str]:
    """The address of an emulated bucket ``scale``; what is asked of it is noted."""
    from tests.cloud import emulators

    folder.mkdir()

    def note(request: emulators.Request, pass_on: emulators.PassOn) -> emulators.Answer:
        requests.append((request.method, request.path))
        return pass_on()

    with emulators.gcs_server(folder) as server, emulators.proxy(server, note) as proxy:
        make = urllib.request.Request(
            f"{proxy.url}/storage/v1/b?project=forest",
            data=b'{"name": "scale"}',
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(make, timeout=10).close()
        yield proxy.url


@contextmanager
def engine_of(
    name: str, top: Path, environment: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], dict[int, str]]]:
    """Flags that send a job to an engine, and what each of the engine's processes is."""
    if name == "local":
        yield (), {}
        return
    from tests.engines import engine

    worker = top / "worker"
    worker.write_text(f'#!/bin/sh\nexec {sys.executable} -m benchmarks.scale_job "$@"\n')
    worker.chmod(0o755)
    start = engine.STARTS[name]
    with start(top / "engine", worker=str(worker), environment=environment) as running:
        yield running.flags, running.processes


def as_markdown(all_figures: Sequence[Figures]) -> str:
    """A table, a line for each run."""
    kinds = sorted({kind for figures in all_figures for kind in figures.peak_bytes})
    head = ["new", "held", "engine", "s", "ms a recording", *(f"{k}, MB" for k in kinds)]
    head += ["CPU ms a recording", "largest element, MB", "files"]
    head += ["archive operations", "output: read", "written", "listed", "deleted", "other"]
    rows = []
    for f in all_figures:
        of_output = {kind: n for kind, n in f.operations.items() if kind.startswith("output ")}
        named = [of_output.pop(f"output {kind}") for kind in KINDS]
        operations = [sum(f.operations.values()) - sum(named) - sum(of_output.values()), *named]
        cells = [f"{n:,}" for n in (*operations, sum(of_output.values()))]
        largest = f"{max(f.elements.values()) / 1e6:.1f}" if f.elements else "–"
        costs = [f"{f.recordings:,}", f"{f.held:,}", f.engine, f"{f.seconds:.0f}"]
        costs += [f"{1000 * f.seconds / f.recordings:.2f}"]
        costs += [f"{f.peak_bytes[k] / 1e6:.0f}" if k in f.peak_bytes else "–" for k in kinds]
        costs += [f"{1000 * f.cpu_s / f.recordings:.2f}", largest, f"{f.files:,}"]
        rows.append([*costs, *cells])
    return markdown(head, rows, 3) + "\n"


def main() -> None:
    """Measures, prints, writes the figures."""
    flags = parser(__doc__)
    flags.add_argument("sizes", type=int, nargs="+", help="recordings in the archive")
    flags.add_argument("--night", type=int, default=1000, help="new ones over each (0: none)")
    engines = ("local", "job_service", "prism", "flink")
    flags.add_argument("--engine", choices=engines, default="local")
    flags.add_argument("--bucket", action="store_true", help="output in an emulated bucket")
    flags.add_argument("--worker_gb", type=float, default=1.5, help="memory of a worker process")
    flags.add_argument("--job_gb", type=float, default=8, help="memory of a local run")
    flags.add_argument("--recording_s", type=float, default=60, help="length of each, seconds")
    flags.add_argument("--beam", action="append", default=[], help="a further flag of the job")
    flags.add_argument("--folder", help="where to put archive and output while it runs")
    flags.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    options = flags.parse_args()
    done: list[Figures] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as top:
        for figures in measure(options, Path(top)):
            done.append(figures)
            print(json.dumps(asdict(figures)), flush=True)
            write_json(options.json, [asdict(one) for one in done])
            if options.markdown:
                options.markdown.write_text(as_markdown(done), encoding="utf-8")
    print(as_markdown(done))


if __name__ == "__main__":
    main()
