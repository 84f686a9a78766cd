"""From the scores of windows to calls.

One call touches several windows, more of them the smaller the hop, so windows cannot be added up.
Windows whose scores stay up form a run; a run that reaches the threshold is a call; runs closer
together than the merge gap are one call whose score dipped for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES


@dataclass(frozen=True)
class CountingRule:
    """How scores become calls. Chosen on validation recordings, kept in the model's contract.

    Attributes:
        threshold: a run must reach this score to be a call.
        sustain_threshold: a run goes on while scores are at or above this (hysteresis).
        merge_gap_s: runs are one call when the next one's first window starts at most this long
            after the last window of the one before.
        min_windows: a run of fewer windows at or above ``sustain_threshold`` is not a call.
        start_offset_s: the call starts this long after its first window starts.
        end_offset_s: the call ends this long after its last window ends (usually negative).
    """

    threshold: float
    sustain_threshold: float
    merge_gap_s: float
    min_windows: int = 1
    start_offset_s: float = 0.0
    end_offset_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold}: a score lies between 0 and 1")
        if not 0 < self.sustain_threshold <= self.threshold:
            raise ValueError(
                f"sustain_threshold {self.sustain_threshold}: "
                f"it must lie between 0 and the threshold, {self.threshold}"
            )
        if self.merge_gap_s < 0:
            raise ValueError(f"merge_gap_s {self.merge_gap_s}: a gap cannot be negative")
        if self.min_windows < 1:
            raise ValueError(f"min_windows {self.min_windows}: a run holds at least one window")


@dataclass(frozen=True)
class Call:
    """One call: seconds from the start of the recording, its highest score, windows in its run."""

    start_s: float
    end_s: float
    score: float
    n_windows: int


def find_calls(
    starts: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    rule: CountingRule,
    n_samples: int,
) -> tuple[Call, ...]:
    """Calls in a recording, in order of time.

    Args:
        starts: first sample of each window in the recording at 16 kHz, int64 ``[n]``, any order.
        scores: score of each window, 0 to 1, float32 ``[n]``.
        rule: how scores become calls.
        n_samples: length of the recording at 16 kHz; calls do not reach past it.
    """
    order = np.argsort(starts, kind="stable")
    starts, scores = starts[order], scores[order]
    active = np.concatenate(([False], scores >= np.float32(rule.sustain_threshold), [False]))
    edges = np.flatnonzero(active[1:] != active[:-1])
    merge_gap = round(rule.merge_gap_s * SAMPLE_RATE_HZ)

    merged: list[tuple[int, int, float, int]] = []  # first start, last start, score, windows
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        score = float(scores[first:end].max())
        windows = int(end - first)
        if score < np.float32(rule.threshold) or windows < rule.min_windows:
            continue
        first_start, last_start = int(starts[first]), int(starts[end - 1])
        if merged and first_start - merged[-1][1] <= merge_gap:
            before = merged.pop()
            first_start = before[0]
            score, windows = max(score, before[2]), windows + before[3]
        merged.append((first_start, last_start, score, windows))

    duration_s = n_samples / SAMPLE_RATE_HZ
    calls = []
    for first_start, last_start, score, windows in merged:
        start_s = first_start / SAMPLE_RATE_HZ + rule.start_offset_s
        end_s = (last_start + WINDOW_SAMPLES) / SAMPLE_RATE_HZ + rule.end_offset_s
        start_s = min(max(start_s, 0.0), duration_s)
        calls.append(Call(start_s, min(max(end_s, start_s), duration_s), score, windows))
    return tuple(calls)


def count_positive_windows(scores: npt.NDArray[np.float32], threshold: float) -> int:
    """Windows at or above ``threshold``: what the tutorial counts."""
    return int(np.count_nonzero(scores >= np.float32(threshold)))
