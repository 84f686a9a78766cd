"""What the network is asked for in a training stretch: targets and weights of both its heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.network import MOO_SPAN_BEFORE_STEPS, MOO_SPAN_STEPS
from model.windows import ONSETS, SAMPLE_RATE_HZ, Samples

STRETCH_SAMPLES = 160 * ONSETS.step_samples
"""Audio of a training input: 20.48 s."""

ONSET_SD_S = 0.15
"""An onset's target is a bell of this width: annotations are good to about 0.2 s."""

SUREST = 0.98
"""The highest target: asked for certainty, a network gives every loud call the same score."""

FULL_SHARE, PART_SHARE = 0.7, 0.4
"""A span is full of moo with this share of one or more, and without with the other or less."""

Moo = tuple[int, int]
"""First and end sample of a call's moo in a stretch."""


def stretch_targets(moos: Sequence[Moo], unsure: Sequence[Moo]) -> tuple[Samples, Samples]:
    """Targets 0 to 1 and weights of the steps of a stretch for both heads, float32 ``[160, 2]``.

    Args:
        moos: where calls' moos lie; a moo may reach past either end of the stretch.
        unsure: the same for calls that nobody can be sure of; steps near them weigh nothing.
    """
    n = STRETCH_SAMPLES // ONSETS.step_samples
    target, weight = np.zeros((n, 2), np.float32), np.ones((n, 2), np.float32)
    middles = (np.arange(n) + 0.5) * ONSETS.step_samples
    spans = (np.arange(n) - MOO_SPAN_BEFORE_STEPS) * ONSETS.step_samples
    full = np.zeros(n)

    def share(first: int, end: int) -> npt.NDArray[np.float64]:
        span_ends = spans + MOO_SPAN_STEPS * ONSETS.step_samples
        inside = np.minimum(end, span_ends) - np.maximum(first, spans)
        return np.asarray(np.maximum(inside, 0) / max(1, end - first))

    for first, end in moos:
        away = (middles - first) / SAMPLE_RATE_HZ / ONSET_SD_S
        target[:, 0] = np.maximum(target[:, 0], SUREST * np.exp(-(away**2) / 2))
        full = np.maximum(full, share(first, end))
    target[:, 1] = SUREST * (full >= FULL_SHARE)
    weight[(full > PART_SHARE) & (full < FULL_SHARE), 1] = 0
    for first, end in unsure:
        weight[np.abs(middles - first) / SAMPLE_RATE_HZ < 4 * ONSET_SD_S, 0] = 0
        weight[share(first, end) > PART_SHARE, 1] = 0
    return target, weight
