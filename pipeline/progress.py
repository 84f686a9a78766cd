"""How far a run has come. Steps report here; a thread of the launcher prints.

A run with several worker processes sums up what each of them wrote into a folder that the launcher
named in the environment before it started them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER_VARIABLE = "CAPUCHIN_PROGRESS_FOLDER"


@dataclass(frozen=True)
class Progress:
    """Recordings finished (parts count as fractions), seconds of audio finished and known of."""

    files: float = 0.0
    audio_s: float = 0.0
    expected_audio_s: float = 0.0

    def __add__(self, more: Progress) -> Progress:
        return Progress(
            self.files + more.files,
            self.audio_s + more.audio_s,
            self.expected_audio_s + more.expected_audio_s,
        )


_lock = threading.Lock()
_now = Progress()
_prints_here = False


def reset() -> None:
    """Starts from nothing; worker processes that start from here on report to this one."""
    global _now, _prints_here
    close()
    _prints_here = True
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="capuchin-progress-")
    with _lock:
        _now = Progress()


def close() -> None:
    """Ends what ``reset`` began."""
    if folder := os.environ.pop(FOLDER_VARIABLE, ""):
        shutil.rmtree(folder, ignore_errors=True)


def expect(audio_s: float) -> None:
    """A header told of so much audio."""
    _add(Progress(expected_audio_s=audio_s))


def finish(files: float, audio_s: float = 0.0) -> None:
    """So much of a recording is done."""
    _add(Progress(files, audio_s))


def _add(more: Progress) -> None:
    global _now
    with _lock:
        _now += more
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
    folder = os.environ.get(FOLDER_VARIABLE)
    for file in Path(folder).glob("*.json") if folder else ():
        total += Progress(**json.loads(file.read_text()))
    return total
