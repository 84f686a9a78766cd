"""Nights of recordings, and jobs in processes that can be killed: for the tests of the ledger.

``python -m tests.nights`` is a server that imports Beam once and forks a process for each job, so
that twenty kills take seconds. It reads a job a line from standard input.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from model.audio.recording import Recording
from pipeline import launch, options
from pipeline.inference import decode
from pipeline.run import run_of
from pipeline.storage import files
from pipeline.store import scores
from pipeline.store.ledger import Ledger
from tests import plain_runner
from tests.conftest import noise_with_bursts
from tests.fakes import CountedLoader

ROOT = Path(__file__).resolve().parents[1]


def write_recording(path: Path, bursts: int, seconds: float = 12, seed: int | None = None) -> None:
    """A recording with so many calls, unlike those of other names unless a seed is stated."""
    seed = zlib.crc32("/".join(path.parts[-2:]).encode()) if seed is None else seed
    path.parent.mkdir(parents=True, exist_ok=True)
    starts = [2.0 + 5 * k for k in range(bursts)]
    soundfile.write(path, noise_with_bursts(seconds, 16_000, 1, starts, seed), 16_000)


def read(path: Path | str) -> list[dict[str, str]]:
    content = files.read_bytes(str(path)).decode()
    return list(csv.DictReader(io.StringIO(content, newline="")))


def tables(output: Path | str) -> dict[str, list[dict[str, str]]]:
    """All tables, here or in a bucket, without the column that names the run."""
    found = {}
    for name in ("counts.csv", "calls.csv", "failures.csv"):
        found[name] = read(files.join(str(output), name))
        for row in found[name]:
            del row["run_id"]
    return found


def bytes_of(output: Path) -> dict[str, bytes]:
    return {name: (output / name).read_bytes() for name in ("counts.csv", "calls.csv")}


def launch_here(*arguments: Any) -> int:
    """The whole job in this process; the caller has replaced the network."""
    # Starts and ends sooner.
    here = ("--direct_running_mode=in_memory", "--direct_num_workers=1", "--no_report")
    return launch.launch(run_of(options.parse([*map(str, arguments), *here])))


def wait_until(has_come: Callable[[], bool], patience_s: float = 120) -> None:
    """Looks again and again for a state; gives up where nothing can be expected any more."""
    end = time.monotonic() + patience_s
    while not has_come():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.005)


def kept_scores(output: Path) -> Iterator[tuple[Any, Any, Any]]:
    """Rows with the scores they were counted from: first samples of windows in order, scores."""
    state = Ledger(str(output)).state()
    segments: dict[str, dict[int, scores.KeptSegment]] = {}
    for name in scores.kept_files(str(output)):
        for scoring in {entry.scoring for entry in state.values()}:
            for identity, segment in scores.read_of(name, (), set(state), scoring):
                first_input = segment.scores.origin.first_input
                segments.setdefault(identity, {}).setdefault(first_input, segment)
    for identity, found in sorted(segments.items()):
        parts = [found[first].scores for first in sorted(found)]
        starts = np.concatenate([part.starts for part in parts])
        yield state[identity].row, starts, np.concatenate([part.scores for part in parts])


class Jobs:
    """Starts jobs as processes of their own."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(
        self,
        *arguments: Any,
        kill_at_write: int = 0,
        of: str = "",
        full_from_write: int = 0,
        pause_s: float = 0.0,
    ) -> int:
        """Starts a job. Returns its process id.

        Args:
            arguments: of the command line.
            kill_at_write: to be killed at its n-th write of a name with ``of`` in it.
            of: part of a name.
            full_from_write: from its n-th write on the disk is full.
            pause_s: it waits this long at most, at random, before each write.
        """
        return self._ask(
            {
                "arguments": [*map(str, arguments)],
                "kill_at_write": kill_at_write,
                "of": of,
                "full_from_write": full_from_write,
                "pause_s": pause_s,
            }
        )

    def wait(self, pid: int) -> int:
        """Exit code of a job, negative for the signal that ended it."""
        return self._ask({"wait": pid})

    def run(self, *arguments: Any, **disturbed: Any) -> int:
        return self.wait(self.start(*arguments, **disturbed))

    def _ask(self, request: dict[str, Any]) -> int:
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())


@contextmanager
def jobs(*, plain: bool = False) -> Iterator[Jobs]:
    """What starts jobs, on Beam's runner or as a plain loop."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.nights", *["plain"] * plain]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield Jobs(server)
        assert server.stdin
        server.stdin.close()


def _kill_at_write(n: int, of: str) -> None:
    """Ends this process at its n-th such write: before it, halfway through it, or after it."""
    writing, count = files.writing, 0

    @contextmanager
    def counted(name: str) -> Iterator[Callable[[bytes], object]]:
        nonlocal count
        count += of in name
        if not (of in name and count == n):
            with writing(name) as write:
                yield write
            return
        chunks: list[bytes] = []
        yield chunks.append
        content = b"".join(chunks)
        if n % 3 == 1 and files.is_local(name):
            half = Path(name).with_name(f".{Path(name).name}.half")
            half.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(content[: len(content) // 2])
        if n % 3 == 2:
            with writing(name) as write:
                write(content)
        os.kill(os.getpid(), signal.SIGKILL)

    files.writing = counted


def _fill_disk_from_write(n: int) -> None:
    """Lets the disk be full from the n-th write on."""
    writing, count = files.writing, 0

    @contextmanager
    def counted(name: str) -> Iterator[Callable[[bytes], object]]:
        nonlocal count
        count += 1
        if count >= n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        with writing(name) as write:
            yield write

    files.writing = counted


def _pause_before_writes(most_s: float) -> None:
    """Lets another run write in between."""
    writing = files.writing

    @contextmanager
    def paused(name: str) -> Iterator[Callable[[bytes], object]]:
        time.sleep(random.uniform(0, most_s))
        with writing(name) as write:
            yield write

    files.writing = paused


class _DecodedHere(Recording):
    """In this process: to start one for decoders takes as long as the rest of a job."""

    restarts = 0


def _decode_here(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decode, "IsolatedRecording", _DecodedHere)
    patch.setattr(launch, "start_ahead", lambda: None)


def _child(job: dict[str, Any], patch: pytest.MonkeyPatch) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    scores.FLUSH_S = 0.0  # write scores down after each segment: more moments to be killed at
    patch.setattr(launch, "ModelLoader", lambda directory: CountedLoader())
    if job["kill_at_write"]:
        _kill_at_write(job["kill_at_write"], job["of"])
    if job["pause_s"]:
        _pause_before_writes(job["pause_s"])
    if job["full_from_write"]:
        _fill_disk_from_write(job["full_from_write"])
    return launch_here(*job["arguments"])


def _serve(*, plain: bool) -> None:
    patch = pytest.MonkeyPatch()
    if plain:
        plain_runner.use(patch)
        _decode_here(patch)
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = _child(job, patch)
            finally:
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    _serve(plain="plain" in sys.argv)
