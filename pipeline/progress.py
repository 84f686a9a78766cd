"""Progress of a run. Steps report here; a thread of the launcher prints a line.

Worker processes write their sums into a folder, which the launcher names in the environment before
it starts them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

TERMINAL_INTERVAL_S = 1.0
KEPT_EVERY_S = 10.0
LONGEST_ESTIMATE_S = 1000 * 86_400.0  # a longer estimate is of no use
FOLDER_VARIABLE = "CAPUCHIN_PROGRESS_FOLDER"


@dataclass(frozen=True)
class Progress:
    """Finished recordings (segments count as fractions), finished and expected seconds of audio,
    listed recordings, and of the finished those that an earlier run had done.
    """

    files: float = 0.0
    audio_s: float = 0.0
    expected_audio_s: float = 0.0
    listed: int = 0
    done_before: int = 0

    def __add__(self, more: Progress) -> Progress:
        return Progress(*map(sum, zip(astuple(self), astuple(more), strict=True)))


_lock = threading.Lock()
_now = Progress()
_prints_here = False


def reset() -> None:
    """Starts from nothing; worker processes that start from here on report to this one.

    A process that itself reports to the one that started it goes on doing so.
    """
    global _now, _prints_here
    if os.environ.get(FOLDER_VARIABLE) and not _prints_here:
        return
    close()
    _prints_here = True
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="capuchin-progress-")
    with _lock:
        _now = Progress()


def close() -> None:
    """Removes the folder that ``reset`` made."""
    if not _prints_here:
        return
    if folder := os.environ.pop(FOLDER_VARIABLE, ""):
        shutil.rmtree(folder, ignore_errors=True)


def advance(**amounts: Any) -> None:
    """Adds what a step has listed, expects or has finished, by the fields of ``Progress``."""
    global _now
    with _lock:
        _now += Progress(**amounts)
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder and not _prints_here:
            mine = Path(folder, f"{os.getpid()}.json")
            with suppress(OSError):  # a full disk, say: progress is not worth a recording
                mine.with_suffix(".new").write_text(json.dumps(asdict(_now)))
                mine.with_suffix(".new").replace(mine)


def now() -> Progress:
    """The state at this moment, of this process and of the workers that it started."""
    with _lock:
        total = _now
    folder = os.environ.get(FOLDER_VARIABLE) if _prints_here else ""
    for file in Path(folder).glob("*.json") if folder else ():
        total += Progress(**json.loads(file.read_text()))
    return total


def progress_line(done: Progress, n_inputs: int | None, elapsed_s: float) -> str:
    """Files done, hours of audio, × real time and time left."""
    line = (
        f"{done.files:.0f} of {done.listed if n_inputs is None else n_inputs} files, "
        f"{done.audio_s / 3600:.2f} of {done.expected_audio_s / 3600:.2f} h audio"
    )
    rate = done.audio_s / elapsed_s if elapsed_s else 0.0
    if rate >= 1:  # else nothing to speak of is done yet
        left_s = max(0.0, done.expected_audio_s - done.audio_s) / rate
        left = timedelta(seconds=round(min(left_s, LONGEST_ESTIMATE_S)))
        line += f", {rate:.0f} × real time, {left} left"
    return line


def pause_s(elapsed_s: float) -> float:
    """Time to a log's next line; these become rarer: a night's run fills a page, not a book."""
    return min(max(10.0, 0.25 * elapsed_s), 900.0)


@contextmanager
def kept(keep: Callable[[Progress], None]) -> Iterator[None]:
    """Keeps the progress for others to read, now and then while the body runs.

    Args:
        keep: writes it down; where it cannot, progress is not worth a run.
    """

    def go_on(ended: threading.Event) -> None:
        while not ended.wait(KEPT_EVERY_S):
            with suppress(Exception):
                keep(now())

    with _beside(go_on):
        yield


@contextmanager
def _beside(go_on: Callable[[threading.Event], None]) -> Iterator[None]:
    """Lets a thread go on until the body has ended, which the event says."""
    ended = threading.Event()
    thread = threading.Thread(target=go_on, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def watch(n_inputs: int | None, *, enabled: bool) -> Iterator[None]:
    """Reports progress on standard error while the body runs.

    On a terminal one line is written over and over; anywhere else (cron's mail, a log file) each
    line stands for itself, with the time of day and without control characters.
    """
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    started = time.monotonic()

    def report(ended: threading.Event) -> None:
        elapsed_s = 0.0
        while not ended.wait(TERMINAL_INTERVAL_S if terminal else pause_s(elapsed_s)):
            elapsed_s = time.monotonic() - started
            line = progress_line(now(), n_inputs, elapsed_s)
            if terminal:
                # A line that wraps could not be written over.
                line = f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}"
            else:
                line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n"
            print(line, end="", file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    try:
        with _beside(report) if enabled else nullcontext():
            yield
    finally:
        close()
