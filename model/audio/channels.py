"""Which channels of a recording count: their mean, one of them, or the best.

Each block of a recording is decided by itself, so that a block stays a function of the file and its
number. The mean of two microphones is quieter in noise than either; but channels of opposite phase
cancel in it, and a channel of nothing but noise drowns the other. Both are met with the best
channel of the block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.windows import Samples

MIX, BEST = "mix", "best"
"""Other choices are numbers of channels, from 1."""

MOST_CHANNELS = 64
"""Of a recording that is read."""

FRAME_S = 0.1
RISE_BAND_HZ = 250.0
HIGHEST_HZ = 8000.0
STEADY_DB = 3.0
"""A channel is noise only if no band rises further above its median: noise rises by 2 dB."""
LIVELY_DB = 6.0
"""By how much some band of the other channel rises."""
UNRELATED = 0.3
"""Highest correlation of a channel of noise with the other."""
AUDIBLE = 0.1
"""Noise below this share of the other channel's power does no harm in the mean."""
OPPOSITE = 0.5
"""Part of the lowest possible correlation from which on channels cancel; for two that is -1."""


@dataclass(frozen=True)
class Hearing:
    """Which channels of a block count.

    Attributes:
        channel: its index; None for the mean of all.
        cancelled: channels would cancel in the mean.
        noisy: a channel that holds only noise is left out.
    """

    channel: int | None = None
    cancelled: bool = False
    noisy: bool = False


def hearing_of(frames: Samples, sample_rate_hz: int, choice: str) -> Hearing:
    """What to hear of a block ``[n, channels]``.

    Args:
        frames: as recorded.
        sample_rate_hz: of these.
        choice: ``mix``, ``best`` or the number of a channel.
    """
    n, channels = frames.shape
    if choice not in (MIX, BEST):
        return Hearing(int(choice) - 1)
    if channels == 1 or not n:
        return Hearing()
    if choice == BEST:
        return Hearing(_liveliest(_rises(frames, sample_rate_hz)))
    power = np.array([_power(channel) for channel in frames.T])
    correlation = _correlation(frames, power)
    if correlation < -OPPOSITE / (channels - 1) - 4 / math.sqrt(n):  # few samples agree by chance
        return Hearing(_liveliest(_rises(frames, sample_rate_hz)), cancelled=True)
    if channels > 2 or abs(correlation) > UNRELATED or power.min() < AUDIBLE**2 * power.max():
        return Hearing()
    rises = _rises(frames, sample_rate_hz)
    steady, lively = int(rises.argmin()), int(rises.argmax())
    if rises[steady] < STEADY_DB and rises[lively] >= LIVELY_DB:
        levels = [np.median(np.square(frames[:, which])) for which in (steady, lively)]
        if levels[0] > AUDIBLE * levels[1]:
            return Hearing(lively, noisy=True)
    return Hearing()


def _power(channel: Samples) -> float:
    """Variance: an offset is no sound."""
    return max(0.0, float(np.square(channel).mean()) - float(channel.mean()) ** 2)


def _correlation(frames: Samples, power: npt.NDArray[np.float64]) -> float:
    """Mean correlation of pairs of channels, weighted by their power; 0 where there is no sound.

    The power of the sum is that of the channels and twice their products.
    """
    pairs = float(np.sqrt(power).sum() ** 2 - power.sum())
    if pairs <= 1e-12:
        return 0.0
    return (_power(frames.sum(axis=1)) - float(power.sum())) / pairs


def _rises(frames: Samples, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """By how many dB each channel rises above its median, in the band where it rises most.

    Bands are 250 Hz wide, up to 8 kHz; a rise lasts a twentieth of the time at least.
    """
    length = max(1, round(FRAME_S * sample_rate_hz))
    n_bins = max(1, round(RISE_BAND_HZ * FRAME_S))
    n_bands = int(min(HIGHEST_HZ, sample_rate_hz / 2) // RISE_BAND_HZ)
    n = len(frames) // length
    if not n or n_bands < 2:
        return np.zeros(frames.shape[1])
    pieces = frames[: n * length].reshape(n, length, -1)[::2]  # half of the time shows as much
    power = np.square(np.abs(np.fft.rfft(pieces, axis=1)))[:, n_bins : n_bands * n_bins]
    bands = power.reshape(len(pieces), n_bands - 1, n_bins, -1).sum(axis=2)
    decibels = 10 * np.log10(bands + 1e-12)
    rises = np.quantile(decibels, 0.95, axis=0) - np.median(decibels, axis=0)
    highest: npt.NDArray[np.float64] = rises.max(axis=0)
    return highest


def _liveliest(rises: npt.NDArray[np.float64]) -> int:
    """The channel that rises most; the first of those within a dB."""
    return int(np.argmax(rises > rises.max() - 1))
