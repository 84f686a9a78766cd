"""From audio to a network's scores: the same steps in a job, a trial, a picture and a benchmark."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model.contract import ServingContract
from model.windows import Grid, Padding, Samples, Starts, samples_from_seconds

Score = Callable[[Samples], Samples]
"""A network: inputs float32 ``[n, input_samples]`` in, scores float32 ``[n, k]`` out; ``k`` is less
for the grid's shorter inputs."""

SAMPLES_AT_ONCE = 32 * 48_000  # 6 MB of audio; the model cuts this into batches of its own


def score_inputs(
    samples: Samples, inputs: Starts, score: Score, grid: Grid, padding: Padding
) -> Samples:
    """Scores of a stretch of audio, float32 ``[n, k]``, a few inputs in memory at a time.

    An input whose audio ends early, as a recording's last does, is scored in the shortest input
    that holds it; scores of what lies behind the audio's end are then 0.

    Args:
        samples: mono audio at 16 kHz, to the recording's end or as far as the inputs hear.
        inputs: where what each of the ``n`` inputs scores begins, as indices into ``samples``.
        score, grid, padding: the network, and what it takes.
    """
    at_once = max(1, SAMPLES_AT_ONCE // grid.input_samples)
    scores = np.zeros((len(inputs), max(1, grid.hop_samples // grid.step_samples)), np.float32)
    for first in range(0, len(inputs), at_once):
        some = inputs[first : first + at_once]
        needed = grid.for_rest(len(samples) - int(some[0]))
        part = score(needed.cut(samples, some, padding)).reshape(len(some), -1)
        scores[first : first + len(some), : part.shape[1]] = part
    return scores


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
