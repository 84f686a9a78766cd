"""How sound a recording is, measured on the audio as recorded: before mixing and resampling.

Silence is that of all channels, clipping that of the channel with most of it.

A recording is measured in the blocks that ``model.audio`` decodes. All figures are whole numbers
that add up, so they do not depend on how a recording was cut into segments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from model.audio.channels import Hearing
from model.windows import SAMPLE_RATE_HZ

CLIPPED_AT = 0.9995
"""A sample at or beyond this, of a full scale of 1, counts as clipped; lossy codecs round."""

PIECE_S = 0.01
"""A dropout is at least one stretch so long of nothing but zeros, amid a block with sound."""

SILENT_RMS = 1e-4
"""A block quieter than this, -80 dBFS, is silent: forests are not, dead microphones are."""

_STEPS = 1 << 20  # of full scale: sums are kept as whole numbers of these

CLIPPED_SHARE = 0.001
SILENT_SHARE = 0.5
DROPOUT_SHARE = 0.001
DC_OFFSET = 0.02
SHORT_S = 0.1
ODD_SHARE = 0.01
"""Limits above which a flag is raised: shares of the recording, parts of full scale, seconds."""


@dataclass(frozen=True)
class Quality:
    """Sums over blocks of a recording.

    Attributes:
        frames: measured, as recorded.
        samples: the same times channels.
        clipped_samples: at full scale, if all channels were like the one with most of them.
        silent_frames: in blocks in which all channels are silent.
        dropout_frames: in stretches of zeros amid sound.
        sum_steps, square_steps: sums of the mono samples and of their squares.
        cancelled_frames: in blocks whose channels cancel in their mean.
        noisy_frames: in blocks of which a channel of nothing but noise was left out.
        lone_frames: in blocks in which some channels are silent and others are not.
    """

    frames: int = 0
    samples: int = 0
    clipped_samples: int = 0
    silent_frames: int = 0
    dropout_frames: int = 0
    sum_steps: int = 0
    square_steps: int = 0
    cancelled_frames: int = 0
    noisy_frames: int = 0
    lone_frames: int = 0

    @property
    def clipped_share(self) -> float:
        """Share of the samples at full scale, in the channel with most of them."""
        return self.clipped_samples / max(1, self.samples)

    @property
    def silent_share(self) -> float:
        """Share of the recording that lies in silent blocks."""
        return self.silent_frames / max(1, self.frames)

    @property
    def dropout_share(self) -> float:
        """Share of the recording that is zeros amid sound."""
        return self.dropout_frames / max(1, self.frames)

    @property
    def dc_offset(self) -> float:
        """Mean of the samples, of a full scale of 1."""
        return self.sum_steps / _STEPS / max(1, self.frames)

    @property
    def rms_dbfs(self) -> float:
        """Loudness in dB below full scale, at least -120."""
        mean_square = self.square_steps / _STEPS / max(1, self.frames)
        return 10 * math.log10(max(mean_square, 1e-12))


NOTHING = Quality()
"""The quality of no audio at all."""


def total(parts: Iterable[Quality]) -> Quality:
    """The figures of several stretches of a recording together."""
    return Quality(*(sum(column) for column in zip(*map(astuple, parts), strict=True)))


def measure(
    frames: npt.NDArray[np.float32],
    mono: npt.NDArray[np.float32],
    sample_rate_hz: int,
    loudest: float,
    hearing: Hearing = Hearing(),  # noqa: B008
) -> Quality:
    """Measures a block.

    Args:
        frames: as recorded, float32 ``[n, channels]``.
        mono: their mean or the chosen channel, float32 ``[n]``.
        sample_rate_hz: as recorded.
        loudest: what no sample of ``frames`` exceeds.
        hearing: of channels.
    """
    n, channels = frames.shape
    if not n:
        return Quality()
    clipped = 0
    if loudest >= CLIPPED_AT:
        clipped = channels * int(np.count_nonzero(np.abs(frames) >= CLIPPED_AT, axis=0).max())
    square = float(np.square(mono).sum())  # a dot product rounds otherwise on other processors
    squares = [float(np.square(c).sum()) for c in frames.T] if channels > 1 else [square]
    silent = [square < SILENT_RMS**2 * n for square in squares]
    piece = max(1, round(PIECE_S * sample_rate_hz))
    pieces = mono[: n - n % piece].reshape(-1, piece)
    suspects = np.flatnonzero(pieces[:, 0] == 0)  # few: looking at all of every piece costs more
    of_all = frames[: n - n % piece].reshape(-1, piece * channels)
    zero_pieces = int(np.count_nonzero(~of_all[suspects].any(axis=1)))
    return Quality(
        frames=n,
        samples=frames.size,
        clipped_samples=clipped,
        silent_frames=n if all(silent) else 0,
        dropout_frames=zero_pieces * piece if any(squares) else 0,
        sum_steps=round(float(mono.sum()) * _STEPS),
        square_steps=round(square * _STEPS),
        cancelled_frames=n if hearing.cancelled else 0,
        noisy_frames=n if hearing.noisy else 0,
        lone_frames=n if any(silent) and not all(silent) else 0,
    )


def flags(quality: Quality, sample_rate_hz: int, lost_s: float) -> tuple[str, ...]:
    """What someone should know of a recording before trusting its count.

    Args:
        quality: of the whole recording.
        sample_rate_hz: as recorded.
        lost_s: seconds that the header promises and the decoder could not give.

    >>> flags(Quality(frames=8000, samples=8000, clipped_samples=80), 8000, lost_s=0)
    ('clipped', 'low_sample_rate')
    """
    raised = {
        "clipped": quality.clipped_share > CLIPPED_SHARE,
        "silent": quality.silent_share > SILENT_SHARE,
        "silent_channel": quality.lone_frames > SILENT_SHARE * quality.frames,
        "cancelled_channels": quality.cancelled_frames > ODD_SHARE * quality.frames,
        "noisy_channel": quality.noisy_frames > ODD_SHARE * quality.frames,
        "dropouts": quality.dropout_share > DROPOUT_SHARE,
        "dc_offset": abs(quality.dc_offset) > DC_OFFSET,
        "shorter_than_header": lost_s > SHORT_S,
        "low_sample_rate": sample_rate_hz < SAMPLE_RATE_HZ,
    }
    return tuple(name for name, is_raised in raised.items() if is_raised)
