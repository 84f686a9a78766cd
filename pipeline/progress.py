"""How far a run in this process has come. Steps report here; a thread of the launcher prints."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Recordings finished (parts count as fractions), seconds of audio finished and known of."""

    files: float = 0.0
    audio_s: float = 0.0
    expected_audio_s: float = 0.0


_lock = threading.Lock()
_now = Progress()


def reset() -> None:
    """Starts from nothing."""
    global _now
    with _lock:
        _now = Progress()


def expect(audio_s: float) -> None:
    """A header told of so much audio."""
    global _now
    with _lock:
        _now = Progress(_now.files, _now.audio_s, _now.expected_audio_s + audio_s)


def finish(files: float, audio_s: float = 0.0) -> None:
    """So much of a recording is done."""
    global _now
    with _lock:
        _now = Progress(_now.files + files, _now.audio_s + audio_s, _now.expected_audio_s)


def now() -> Progress:
    """The state at this moment."""
    with _lock:
        return _now
