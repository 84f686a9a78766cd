"""Shares counted by child processes of one run, watched and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pipeline import progress
from pipeline.ledger import shares
from pipeline.options import UsageError, console
from pipeline.options.values import Share
from pipeline.run import Run
from pipeline.sharing.join import join_shares
from pipeline.sharing.spread import Spread

CODE = (
    "import sys; sys.path[:] = {path!r}; from pipeline.__main__ import run_and_leave; "
    "run_and_leave()"
)
WITH_PARENT_VARIABLE = "CAPUCHIN_ENDS_WITH_STDIN"
END_PATIENCE_S = 20
"""For children that were told to end."""
_REFUSED = 2
_LOOK_S = 0.1


def command_of(arguments: Sequence[str]) -> list[str]:
    """The command line, as a process, of a count with these arguments."""
    return [sys.executable, "-c", CODE.format(path=sys.path), "count", *arguments]


def end_with_parent() -> None:
    """In a child: ends this process when the one that started it is no more, however that ended."""
    if not os.environ.pop(WITH_PARENT_VARIABLE, ""):
        return

    def wait() -> None:
        with suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@dataclass
class _Lines:
    """What children print on standard error: each line once, whoever says it.

    Attributes:
        last: by child, the line with which its command ended.
    """

    said: set[str] = field(default_factory=set)
    last: dict[int, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def relay(self, number: int, child: subprocess.Popen[str]) -> None:
        """Passes on what a child prints, until it ends."""
        assert child.stderr
        for line in child.stderr:
            with self.lock:
                if line.startswith("capuchinbird count: "):
                    self.last[number] = line.rstrip().removeprefix("capuchinbird count: ")
                elif line not in self.said:
                    self.said.add(line)
                    print(line, end="", file=sys.stderr, flush=True)


def count_in_processes(
    run: Run, spread: Spread, command: Sequence[str], n_inputs: int | None
) -> int:
    """Counts a run's recordings in shares, each in a process of its own, and joins them.

    Args:
        run: what is counted. It is prepared.
        spread: how many processes and workers.
        command: what counts all of it; flags are added.
        n_inputs: how many recordings there are, if known.

    Returns:
        An exit code, see ``options.EXIT_CODES``.

    Raises:
        UsageError: a share refused its recordings.
    """
    of, lines = spread.processes, _Lines()
    progress.reset()
    environ = {**os.environ, WITH_PARENT_VARIABLE: "1"}
    children: dict[int, subprocess.Popen[str]] = {}
    threads = []
    try:
        with progress.watch(n_inputs, enabled=not console.is_quiet()):
            for number in range(1, of + 1):
                flags = (
                    *(f"--share={Share(number, of)}", "--processes=1", "--quiet"),
                    f"--direct_num_workers={spread.workers}",
                )
                children[number] = _start([*command, *flags], environ)
                threads.append(
                    threading.Thread(
                        target=lines.relay, args=(number, children[number]), daemon=True
                    )
                )
                threads[-1].start()
            refused = _wait(children)
    finally:
        _end(children.values())
        for thread in threads:
            thread.join(END_PATIENCE_S)
    if refused:
        raise UsageError(lines.last.get(refused, "a share was refused"))
    for number, child in children.items():
        if child.returncode:
            reason = lines.last.get(number, f"exit code {child.returncode}")
            share = Share(number, of)
            print(f"capuchinbird: share {share} has not ended: {reason}", file=sys.stderr)
    named = shares.named_of(run.config)
    cuts = [one for one in shares.cuts(run.config.output) if (one.named, one.of) == (named, of)]
    return join_shares(run, cuts[0] if cuts else shares.Cut(named, of), keeps_records=False)


def _start(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _wait(children: Mapping[int, subprocess.Popen[str]]) -> int:
    """Until all have ended, or one is refused: the number of its share, else 0."""
    while True:
        codes = {number: child.poll() for number, child in children.items()}
        for number, code in codes.items():
            if code == _REFUSED:
                return number
        if None not in codes.values():
            return 0
        time.sleep(_LOOK_S)


def _end(children: Iterable[subprocess.Popen[str]]) -> None:
    """Ends those that are still there."""
    left = [child for child in children if child.poll() is None]
    for child in left:
        with suppress(OSError):
            child.terminate()
    end = time.monotonic() + END_PATIENCE_S
    for child in left:
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, end - time.monotonic()))
        child.kill()
        child.wait()
