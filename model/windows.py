"""The one place where the edges of windows are decided.

A recording of ``n`` samples is covered by windows of ``WINDOW_SAMPLES`` samples that start at
0, hop, 2 hop, … The last window is the first one that reaches the end of the recording, so every
sample is heard, no window starts after the end, and a recording that is an exact number of hops
long gets no padded window. An empty recording has no window; one shorter than a window has one.

A window is named by the integer index of its first sample in the whole recording. Times derive
from that index and are never added up, so they cannot drift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio at 16 kHz, ``[n]``, or windows of it, ``[n, 48000]``; full scale is 1."""

Starts = npt.NDArray[np.int64]
"""First samples in a recording at 16 kHz, ``[n]``."""

Padding = Literal["end", "front"]
"""Where zeros go when a window holds less audio than its length."""

SAMPLE_RATE_HZ = 16_000
"""Sample rate of everything the network hears."""

WINDOW_SAMPLES = 48_000
"""Samples in a window: 3 s at 16 kHz."""

WINDOW_S = WINDOW_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Grid:
    """Where a network's inputs and scores lie in a recording, in samples at 16 kHz.

    Input ``i`` scores the audio from ``i hop_samples`` on, and hears ``context_samples`` more on
    either side of it. Each input gives ``hop_samples / step_samples`` scores.

    Attributes:
        input_samples: what the network takes at once, context included.
        hop_samples: from one input to the next.
        context_samples: on either side of what an input scores.
        step_samples: from one score to the next.
        short_samples: shorter inputs that the network takes as well, context included, ascending;
            a short recording is scored in the shortest that holds it.
    """

    input_samples: int
    hop_samples: int
    context_samples: int
    step_samples: int
    short_samples: tuple[int, ...] = ()

    @property
    def scored_samples(self) -> int:
        """What an input covers, without its context."""
        return self.input_samples - 2 * self.context_samples

    @property
    def scores_windows(self) -> bool:
        """Whether a score is that of a whole input: a window."""
        return self.step_samples == self.hop_samples

    @property
    def score_samples(self) -> int:
        """What a score is the score of: a window, or a step."""
        return self.input_samples if self.scores_windows else self.step_samples

    def count_inputs(self, n_samples: int) -> int:
        """How many inputs cover a recording.

        >>> [windows_every(16_000).count_inputs(n) for n in (0, 1, 48_000, 48_001, 96_000)]
        [0, 1, 1, 2, 4]
        >>> [ONSETS.count_inputs(n) for n in (0, 1, 983_040, 983_041)]
        [0, 1, 1, 2]
        """
        if n_samples < 0:
            raise ValueError(f"a recording cannot hold {n_samples} samples")
        if n_samples == 0:
            return 0
        return 1 + -(-max(0, n_samples - self.scored_samples) // self.hop_samples)

    def for_rest(self, n_samples: int) -> Grid:
        """The same with the shortest input that scores all of what is left of a recording.

        >>> [ONSETS.for_rest(n).scored_samples for n in (16_000, 49_153, 900_000, 2_000_000)]
        [49152, 327680, 983040, 983040]
        """
        for length in self.short_samples:
            scored = length - 2 * self.context_samples
            if n_samples <= scored:
                return replace(self, input_samples=length, hop_samples=scored)
        return self

    def score_starts(self, inputs: Starts, n_samples: int) -> Starts:
        """First samples of what the inputs give scores of, where a recording has any audio.

        Args:
            inputs: where what they score begins, in the recording, int64 ``[n]``.
            n_samples: length of the recording.
        """
        starts = inputs[:, None] + np.arange(0, self.hop_samples, self.step_samples)
        return starts[starts < n_samples]

    def cut(self, samples: Samples, inputs: Starts, padding: Padding) -> Samples:
        """Inputs of a stretch of audio, float32 ``[n, input_samples]``; not to be written to.

        Args:
            samples: mono audio at 16 kHz, float32 ``[m]``.
            inputs: where what they score begins, as indices into ``samples``.
            padding: where zeros go in a window that reaches past the end of ``samples``. What
                lies beyond either end is zero in an input with context.
        """
        starts = inputs - self.context_samples
        if len(starts) == 1 and 0 <= starts[0] <= len(samples) - self.input_samples:
            return samples[None, starts[0] : starts[0] + self.input_samples]
        cut = np.empty((len(inputs), self.input_samples), dtype=np.float32)
        for row, start in zip(cut, starts, strict=True):
            audio = samples[max(start, 0) : max(start + self.input_samples, 0)]
            first = max(-start, 0)
            if self.scores_windows and padding == "front":
                first = self.input_samples - len(audio)
            row[:first] = 0
            row[first : first + len(audio)] = audio
            row[first + len(audio) :] = 0
        return cut


_ONSET_CONTEXT = 61_440
ONSETS = Grid(
    input_samples=983_040 + 2 * _ONSET_CONTEXT,
    hop_samples=983_040,
    context_samples=_ONSET_CONTEXT,
    step_samples=2048,
    short_samples=(49_152 + 2 * _ONSET_CONTEXT, 327_680 + 2 * _ONSET_CONTEXT),
)
"""Of the network ``onset``: a score every 0.128 s, computed for 61.44 s at once so that all windows
share the work; 3.84 s of context, more than a score depends on. What is left of a recording after
the last 61.44 s is scored in 3.07 or 20.48 s where it fits."""


def windows_every(hop_samples: int) -> Grid:
    """Of a network that scores windows."""
    return Grid(WINDOW_SAMPLES, hop_samples, 0, hop_samples)


def samples_from_seconds(seconds: float) -> int:
    """The number of 16 kHz samples nearest to ``seconds``."""
    return round(seconds * SAMPLE_RATE_HZ)


def seconds_from_samples(samples: int) -> float:
    """Samples at 16 kHz as seconds."""
    return samples / SAMPLE_RATE_HZ


def window_starts(n_samples: int, hop_samples: int) -> Starts:
    """First sample of every window of a recording, ascending.

    Args:
        n_samples: length of the recording at 16 kHz, 0 or more.
        hop_samples: distance between the starts of neighbouring windows, in samples,
            1 to ``WINDOW_SAMPLES``; a longer hop would leave out audio.

    Raises:
        ValueError: a negative length, or a hop outside that range.

    >>> window_starts(n_samples=100_000, hop_samples=20_000).tolist()
    [0, 20000, 40000, 60000]
    """
    if not 1 <= hop_samples <= WINDOW_SAMPLES:
        raise ValueError(
            f"hop of {hop_samples} samples: it must lie between 1 and {WINDOW_SAMPLES}, "
            "or audio between the windows would not be heard"
        )
    count = windows_every(hop_samples).count_inputs(n_samples)
    return np.arange(count, dtype=np.int64) * hop_samples
