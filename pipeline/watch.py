"""A line about how far the run has come: rewritten on a terminal, now and then in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from pipeline import progress
from pipeline.progress import Progress

TERMINAL_INTERVAL_S = 1.0
LOG_INTERVAL_S = 60.0
LONGEST_S = 1000 * 86_400.0  # an estimate beyond that tells nobody anything


def progress_line(now: Progress, n_inputs: int, elapsed_s: float) -> str:
    """Files done, hours of audio, × real time and time left."""
    line = (
        f"{now.files:.0f} of {n_inputs} files, "
        f"{now.audio_s / 3600:.2f} of {now.expected_audio_s / 3600:.2f} h audio"
    )
    if now.audio_s and elapsed_s:
        rate = now.audio_s / elapsed_s
        left_s = max(0.0, now.expected_audio_s - now.audio_s) / rate
        left = timedelta(seconds=round(min(left_s, LONGEST_S)))
        line += f", {rate:.0f} × real time, {left} left"
    return line


@contextmanager
def watch(n_inputs: int, *, enabled: bool) -> Iterator[None]:
    """Reports progress on standard error while the body runs."""
    stop = threading.Event()
    terminal = sys.stderr.isatty()
    started = time.monotonic()

    def report() -> None:
        while not stop.wait(TERMINAL_INTERVAL_S if terminal else LOG_INTERVAL_S):
            line = progress_line(progress.now(), n_inputs, time.monotonic() - started)
            print(
                f"\r\033[K{line}" if terminal else line,
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )

    thread = threading.Thread(target=report, daemon=True)
    if enabled:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if enabled:
            thread.join()
            if terminal:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
