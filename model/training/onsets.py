"""Where moos begin, in the audio of calls that are marked by their start and end only.

Somebody marks a call's end where it dies away, and moos differ in length: ``MOO_S`` before the end
lies up to 0.3 s beside the onset of some birds, which a network would learn as an onset of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model.training.clips import Example
from model.windows import SAMPLE_RATE_HZ

EDGE_BAND_HZ = (850.0, 1750.0)
"""Harmonics of the moo lie here, and little of the growl before it."""

SEARCH_S = 0.6
"""The edge is looked for so far before and after the marked onset."""

HALF_S = 0.12
"""The edge is the steepest rise from so long before it to so long after it."""

LEAST_CALLS = 5
"""A bird's offset is the median of its calls', where it has so many: one edge may be a branch's."""

LEAST_OFFSET_S = 0.1
"""Smaller offsets lie within what marks are good to."""

_FRAME, _STEP = 1024, 256


def onset_offset_s(call: Example) -> float | None:
    """Seconds from the marked onset to the steepest rise of power in ``EDGE_BAND_HZ`` near it.

    None where the audio is too short to say.
    """
    count = (len(call.audio) - _FRAME) // _STEP
    half = round(HALF_S * SAMPLE_RATE_HZ / _STEP)
    if count <= 2 * half:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(call.audio, _FRAME)[::_STEP][:count]
    first, end = (round(hz * _FRAME / SAMPLE_RATE_HZ) for hz in EDGE_BAND_HZ)
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME))[:, first:end]) ** 2
    level = np.concatenate([[0.0], np.cumsum(np.log(power + 1e-9).mean(axis=1))])
    edge = np.arange(half, count - half)
    rise = level[edge + half] - 2 * level[edge] + level[edge - half]
    offset_s = (edge * _STEP + (_FRAME - _STEP) / 2 - call.cue_start) / SAMPLE_RATE_HZ
    near = np.abs(offset_s) < SEARCH_S
    return float(offset_s[near][np.argmax(rise[near])]) if near.any() else None


def with_onsets(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The examples, their cues moved to where the moos of their birds begin.

    All calls of a bird move alike, by the median of ``onset_offset_s``.
    """
    offsets: dict[str, list[float]] = defaultdict(list)
    for example in examples:
        if example.kind == "call" and (offset_s := onset_offset_s(example)) is not None:
            offsets[example.take].append(offset_s)
    medians_s = {
        take: float(np.median(of_take))
        for take, of_take in offsets.items()
        if len(of_take) >= LEAST_CALLS
    }
    moves = {
        take: round(median_s * SAMPLE_RATE_HZ)
        for take, median_s in medians_s.items()
        if abs(median_s) >= LEAST_OFFSET_S
    }
    return tuple(
        replace(e, cue_start=max(e.call_start, e.cue_start + moves[e.take]))
        if e.kind == "call" and e.take in moves
        else e
        for e in examples
    )
