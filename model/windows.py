"""The one place where the edges of windows are decided.

A recording of ``n`` samples is covered by windows of ``WINDOW_SAMPLES`` samples that start at
0, hop, 2 hop, … The last window is the first one that reaches the end of the recording, so every
sample is heard, no window starts after the end, and a recording that is an exact number of hops
long gets no padded window. An empty recording has no window; one shorter than a window has one.

A window is named by the integer index of its first sample in the whole recording. Times derive
from that index and are never added up, so they cannot drift.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio at 16 kHz, ``[n]``, or windows of it, ``[n, 48000]``; full scale is 1."""

SAMPLE_RATE_HZ = 16_000
"""Sample rate of everything the network hears."""

WINDOW_SAMPLES = 48_000
"""Samples in a window: 3 s at 16 kHz."""

WINDOW_S = WINDOW_SAMPLES / SAMPLE_RATE_HZ

Padding = Literal["end", "front"]
"""Where zeros go when a window holds less audio than its length."""


def samples_from_seconds(seconds: float) -> int:
    """The number of 16 kHz samples nearest to ``seconds``."""
    return round(seconds * SAMPLE_RATE_HZ)


def seconds_from_samples(samples: int) -> float:
    """Samples at 16 kHz as seconds."""
    return samples / SAMPLE_RATE_HZ


def count_windows(n_samples: int, hop_samples: int) -> int:
    """How many windows cover a recording.

    Args:
        n_samples: length of the recording at 16 kHz, 0 or more.
        hop_samples: distance between the starts of neighbouring windows, in samples,
            1 to ``WINDOW_SAMPLES``; a longer hop would leave audio unheard.

    Raises:
        ValueError: a negative length, or a hop outside that range.

    >>> [count_windows(n, hop_samples=16_000) for n in (0, 1, 48_000, 48_001, 96_000)]
    [0, 1, 1, 2, 4]
    """
    if n_samples < 0:
        raise ValueError(f"a recording cannot hold {n_samples} samples")
    if not 1 <= hop_samples <= WINDOW_SAMPLES:
        raise ValueError(
            f"hop of {hop_samples} samples: it must lie between 1 and {WINDOW_SAMPLES}, "
            "or audio between the windows would not be heard"
        )
    if n_samples == 0:
        return 0
    overhang = max(0, n_samples - WINDOW_SAMPLES)
    return 1 + -(-overhang // hop_samples)


def window_starts(n_samples: int, hop_samples: int) -> npt.NDArray[np.int64]:
    """First sample of every window of a recording, int64 ``[n]``, ascending.

    >>> window_starts(n_samples=100_000, hop_samples=20_000).tolist()
    [0, 20000, 40000, 60000]
    """
    return np.arange(count_windows(n_samples, hop_samples), dtype=np.int64) * hop_samples


def cut_windows(
    samples: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    padding: Padding = "end",
) -> npt.NDArray[np.float32]:
    """Windows of a stretch of audio.

    Args:
        samples: mono audio at 16 kHz, float32 ``[n]``.
        starts: first sample of each window, as indices into ``samples``, each 0 ≤ start < n.
        padding: where zeros go in a window that reaches past the end of ``samples``.

    Returns:
        float32 ``[len(starts), WINDOW_SAMPLES]``.
    """
    windows = np.zeros((len(starts), WINDOW_SAMPLES), dtype=np.float32)
    for window, start in zip(windows, starts, strict=True):
        audio = samples[start : start + WINDOW_SAMPLES]
        if padding == "end":
            window[: len(audio)] = audio
        else:
            window[WINDOW_SAMPLES - len(audio) :] = audio
    return windows
