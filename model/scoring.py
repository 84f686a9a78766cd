"""From audio to a network's scores: the same steps in a job, a trial, a picture and a benchmark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.contract import ServingContract
from model.windows import Grid, Padding, Samples, Starts, samples_from_seconds

Score = Callable[[Samples], Samples]
"""A network: inputs float32 ``[n, input_samples]`` in, scores float32 ``[n, k]`` out."""

SAMPLES_AT_ONCE = 32 * 48_000  # 6 MB of audio; the model cuts this into batches of its own


def score_inputs(
    samples: Samples, inputs: Starts, score: Score, grid: Grid, padding: Padding
) -> Samples:
    """Scores of a stretch of audio, float32 ``[n, k]``, a few inputs in memory at a time.

    Args:
        samples: mono audio at 16 kHz.
        inputs: where what each of the ``n`` inputs scores begins, as indices into ``samples``.
        score, grid, padding: the network, and what it takes.
    """
    at_once = max(1, SAMPLES_AT_ONCE // grid.input_samples)
    scores = [
        score(grid.cut(samples, some, padding)).reshape(len(some), -1)
        for some in np.split(inputs, range(at_once, len(inputs), at_once))
        if len(some)
    ]
    return np.concatenate(scores) if scores else np.zeros((0, 1), np.float32)


def score_recording(
    samples: Samples, score: Score, grid: Grid, padding: Padding
) -> tuple[Starts, Samples]:
    """First samples of what the scores of a whole recording are of, and they, ``[n]`` each."""
    inputs = np.arange(grid.count_inputs(len(samples)), dtype=np.int64) * grid.hop_samples
    starts = grid.score_starts(inputs, len(samples))
    return starts, score_inputs(samples, inputs, score, grid, padding).ravel()[: len(starts)]


def score_by_contract(
    samples: Samples, score: Score, contract: ServingContract
) -> tuple[Starts, Samples]:
    """The same with windows and padding as the model's contract has them."""
    grid = contract.grid(samples_from_seconds(contract.hop_s))
    return score_recording(samples, score, grid, contract.padding)
