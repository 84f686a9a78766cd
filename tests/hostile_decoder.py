"""A stand-in for the process that decodes: the recording's name says what goes wrong in it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from model.audio import isolated, system
from model.audio.recording import Segment

CODE = isolated._CODE.replace("model.audio.isolated", "tests.hostile_decoder")

_read = isolated._Watched.read


def _hostile_read(opened: Any, start: int, n_samples: int, measured: range) -> Segment:
    name = Path(opened.name).name
    if name.startswith("noise"):
        os.write(2, b"[src/libmpg123/layer3.c] error: part2_3_length too large\n")
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("once"):
        fallen = Path(opened.name).with_suffix(".fallen")
        if not fallen.exists():
            os.mkfifo(fallen)  # a mark that needs no file to be written
            os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("hang"):
        isolated.PATIENCE_S = 1
        system.end_in(1)
        while True:
            time.sleep(1)
    if name.startswith("memory"):
        np.ones(1 << 28)  # 2 GB
    return _read(opened, start, n_samples, measured)


def serve(channel: int) -> None:
    """Like the real one."""
    isolated._Watched.read = _hostile_read  # type: ignore[assignment, method-assign]
    isolated.serve(channel)
