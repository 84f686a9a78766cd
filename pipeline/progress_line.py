"""A line about how far the run has come: rewritten on a terminal, now and then in a log."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from pipeline import progress
from pipeline.progress import Progress

TERMINAL_INTERVAL_S = 1.0
WORKERS_LOG = "apache_beam.runners.portability.local_job_service"
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


def pause_before_next_line_s(elapsed_s: float) -> float:
    """Lines in a log become rarer as a run goes on: a night's run fills a page, not a book."""
    return min(max(10.0, 0.25 * elapsed_s), 900.0)


def _is_news(record: logging.LogRecord) -> bool:
    """False for what Beam 2.77 says of every worker process on every machine."""
    text = record.getMessage()
    return "Resource module is not" not in text and "No semi_persistent_directory" not in text


@contextmanager
def watch(n_inputs: int, *, enabled: bool) -> Iterator[None]:
    """Reports progress on standard error while the body runs.

    On a terminal one line is written over and over; anywhere else (cron's mail, a log file) each
    line stands for itself, with the time of day and without control characters.
    """
    stop = threading.Event()
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    started = time.monotonic()
    logging.getLogger(WORKERS_LOG).addFilter(_is_news)

    def report() -> None:
        while True:
            elapsed_s = time.monotonic() - started
            if stop.wait(TERMINAL_INTERVAL_S if terminal else pause_before_next_line_s(elapsed_s)):
                return
            line = progress_line(progress.now(), n_inputs, time.monotonic() - started)
            if terminal:
                # A line that wraps could not be written over.
                line = f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}"
            else:
                line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n"
            print(line, end="", file=sys.stderr, flush=True)

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
        progress.close()
