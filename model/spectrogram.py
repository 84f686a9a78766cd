"""Spectrograms for people; the networks compute their own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.windows import SAMPLE_RATE_HZ

FRAME_SAMPLES = 1024
"""64 ms: enough to separate harmonics 135 Hz apart."""


def spectrogram_db(
    samples: npt.NDArray[np.float32], step_samples: int = 256, top_hz: int = 3000
) -> npt.NDArray[np.float32]:
    """Levels in decibels, float32 ``[frequencies, times]``, 0 to ``top_hz`` upwards.

    A frequency step is 15.6 Hz; the first and last columns are centred on the first and last
    samples, mono at 16 kHz.

    >>> spectrogram_db(np.zeros(16_000, np.float32)).shape
    (192, 63)
    """
    margin = np.zeros(FRAME_SAMPLES // 2, np.float32)
    padded = np.concatenate((margin, samples, margin))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::step_samples]
    n_bins = top_hz * FRAME_SAMPLES // SAMPLE_RATE_HZ
    spectra = np.fft.rfft(frames * np.hanning(FRAME_SAMPLES).astype(np.float32), axis=1)
    power = np.abs(spectra[:, :n_bins].T) ** 2
    return (10 * np.log10(power + 1e-8)).astype(np.float32)
