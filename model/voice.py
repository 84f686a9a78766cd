"""What a call is like: its level, the spacing of its harmonics, the length of its moo.

All is measured in a stretch of audio around the step where the moo begins. The stretch lies within
what the network hears around that step, so the same call is measured in the same samples however a
recording is cut. A network that scores whole windows does not say where a moo begins: then nothing
is measured.

*Spacing.* Noise has no lines; a moo has them at equal distances ``s``, at ``a + k s`` (``a`` need
not be 0: a forest shifts no line, but two slopes of a recorder's filter may hide the lowest). Each
frame of 0.256 s gives the magnitudes ``S(f)`` of its spectrum in ``LINES_HZ``, divided by their
running mean over ``WHITEN_HZ``, less 1. Then

    A(s) = mean over m = 1, 2, 3 of |sum over f of w(f) S(f) exp(2 pi i m f / s)| / sum of w(f)

(``w`` a Hann window over the band) is highest where lines lie ``s`` apart: the envelope of the
autocorrelation at one, two and three periods, of a flattened spectrum (Noll 1967 has it of its
logarithm, the cepstrum). The call's spacing is the median over its frames, the error their spread
(1.4826 times the median deviation) divided by the root of the number of frames that do not overlap.

*Length.* ``A(s)`` at m = 1, of frames of 64 ms, is high in the moo and low in all others, growl
included. Less ``_SHARE`` of the way from its 40 % point to its median over the moo's middle, its
sum over a stretch is highest for the moo: the stretch around the onset with the highest sum.

*Level.* Mean power in ``LINES_HZ`` over the moo, less that of the background: the lower quartile of
the power of 0.128 s, before the call and behind it.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calls import MOO_S, PEAK_S, Floats
from model.windows import ONSETS, SAMPLE_RATE_HZ, Samples

LINES_HZ = (350.0, 1800.0)
"""Where a call's lines lie."""
SPACINGS_HZ = np.arange(100.0, 190.1, 0.5)
WHITEN_HZ = 300.0
LEAST_LINES = 0.12
"""``A(s)`` of a moo that is hoarse, or too faint, lies below: it has no spacing."""

REACH_SAMPLES = 60_800
"""Audio before and behind the beginning of an onset's step that a call is measured in: 3.8 s."""
LEAST_SCORE = 0.02
"""Steps that score less are not measured: no threshold of use makes a call of them."""

_LONG, _SHORT, _HOP = 4096, 1024, 512
_PLATEAU_S = (0.15, 1.75)
"""Of the moo, from its onset: where its lines are steady."""
_BEND = 0.09
"""How far a moo's lines come closer at its end, as a share."""
_SHARE = 0.3
"""Of the plateau's clearness above the surroundings': what is clearer is moo."""
_EDGE_S = 0.05
"""How long a moo rises before its lines are that clear, and fades after; from made-up calls."""
_BEFORE_S, _AFTER_S = 2.2, 0.4
"""Before the onset and behind the end there may be growl, lead-in and echo: no background."""


@dataclass(frozen=True)
class Voice:
    """What a call is like. None where it cannot be told.

    Attributes:
        level_dbfs: mean power of the moo in ``LINES_HZ``, without the background's, in dB; full
            scale has power 1.
        above_background_db: the same against the background's power in the band.
        spacing_hz: from one harmonic to the next; the median over the moo.
        spacing_error_hz: its standard error.
        moo_s: length of the moo.
    """

    level_dbfs: float
    above_background_db: float
    spacing_hz: float | None = None
    spacing_error_hz: float | None = None
    moo_s: float | None = None


def rounded(voice: Voice) -> Voice:
    """As tables show it, so that what is kept is short."""
    values: list[Any] = [
        None if value is None else round(value, digits)
        for value, digits in zip(astuple(voice), (1, 1, 2, 2, 2), strict=True)
    ]
    return Voice(*values)


def onset_steps(scores: Samples) -> npt.NDArray[np.int64]:
    """Indices of the steps at which a call may be measured: highest within ``PEAK_S`` on each side.

    Args:
        scores: of steps one behind the other, float32 ``[n]``. Of a recording's part, what lies
            beyond its ends counts as lower: a part gives all steps that the recording gives of it.
    """
    reach = _reach()
    if not len(scores):
        return np.zeros(0, np.int64)
    padded = np.pad(scores, reach, constant_values=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.flatnonzero((scores >= LEAST_SCORE) & (scores >= around.max(axis=1)))


def onset_step(scores: Samples, index: int) -> int:
    """The step of ``onset_steps`` that a peak belongs to: uphill from it.

    Args:
        scores: of a recording's steps, float32 ``[n]``.
        index: of the peak's step.
    """
    while True:
        first = max(0, index - _reach())
        highest = first + int(np.argmax(scores[first : index + _reach() + 1]))
        if scores[highest] <= scores[index]:
            return index
        index = highest


def _reach() -> int:
    return round(PEAK_S * SAMPLE_RATE_HZ / ONSETS.step_samples)


def measure_call(samples: Samples, onset: int) -> Voice | None:
    """The voice of a call; None where there is no audio to tell it from.

    Args:
        samples: mono audio at 16 kHz, ``REACH_SAMPLES`` on both sides of the onset's step, or less
            at a recording's ends.
        onset: about where the moo begins, index into ``samples``; good to 0.3 s.
    """
    moo = samples[max(0, onset + _n(_PLATEAU_S[0])) : onset + _n(_PLATEAU_S[1])]
    if len(moo) < _LONG or not np.any(moo):
        return None
    power, band = _frames(samples, _SHORT, _HOP)
    times_s = (np.arange(len(power)) * _HOP + _SHORT / 2 - onset) / SAMPLE_RATE_HZ
    spacing, error, lines = _spacing(moo)
    first_s, end_s = 0.0, MOO_S
    if lines >= LEAST_LINES:
        first_s, end_s = _extent(band, times_s, spacing)
    level, above = _levels(power, times_s, first_s, end_s)
    if lines < LEAST_LINES:
        return Voice(level, above)
    return Voice(level, above, spacing, error, end_s - first_s)


def _n(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


@cache
def _kernel(n: int) -> tuple[Any, Any, Any, Any]:
    """For frames of ``n``: window, bins in the band, running mean over bins, waves by spacing."""
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    inside = np.flatnonzero((frequency >= LINES_HZ[0]) & (frequency <= LINES_HZ[1]))
    f = frequency[inside]
    near = np.maximum(0, np.cos(np.pi * (f[:, None] - f) / WHITEN_HZ)) ** 2
    near[np.abs(f[:, None] - f) > WHITEN_HZ / 2] = 0
    weights = np.hanning(len(f) + 2)[1:-1]
    turns = np.arange(1, 4)[:, None, None] * f[:, None] / SPACINGS_HZ
    waves = np.exp(2j * np.pi * turns) * (weights / weights.sum())[:, None]
    return np.hanning(n), inside, near / near.sum(axis=0), waves.astype(np.complex64)


def _frames(samples: Samples, n: int, hop: int) -> tuple[Floats, Floats]:
    """Of frames: power in the band, ``[m]``; flattened magnitudes, ``[m, bins]``."""
    window, inside, near, _ = _kernel(n)
    frames = np.lib.stride_tricks.sliding_window_view(samples, n)[::hop] * window
    magnitudes = np.abs(np.fft.rfft(frames, axis=1)[:, inside])
    power = 2 * np.sum(magnitudes**2, axis=1) / (n * np.sum(window**2))
    return power, magnitudes / (magnitudes @ near + 1e-12) - 1


def _spacing(moo: Samples) -> tuple[float, float, float]:
    """Spacing of a moo's lines, its standard error, and how clear they are: ``A(s)``."""
    _, flat = _frames(moo, _LONG, _LONG // 2)
    clear = np.abs(flat.astype(np.complex64) @ _kernel(_LONG)[3]).mean(axis=0)
    mean = clear.mean(axis=0)
    best = int(np.argmax(mean))
    # A voice further away may be the clearest in a frame: look near the whole moo's spacing.
    near = slice(max(0, best - 24), best + 25)
    each = np.array([_vertex(row[near]) for row in clear]) / 2 + SPACINGS_HZ[near][0]
    spacing = float(np.median(each))
    spread = 1.4826 * float(np.median(np.abs(each - spacing)))
    apart = max(1.0, len(moo) / _LONG)
    return spacing, max(spread, 0.3) / apart**0.5, float(mean[best])


def _vertex(values: Floats) -> float:
    """Where the parabola through the highest value and its neighbours is highest, an index."""
    k = int(np.argmax(values))
    if not 0 < k < len(values) - 1:
        return float(k)
    a, b, c = values[k - 1 : k + 2]
    return k + 0.5 * float((a - c) / min(a - 2 * b + c, -1e-12))


def _extent(flat: Floats, times_s: Floats, spacing_hz: float) -> tuple[float, float]:
    """When a moo begins and ends, in seconds from the given onset."""
    near = np.abs(SPACINGS_HZ / spacing_hz - 1) < _BEND
    clear = np.abs(flat.astype(np.complex64) @ _kernel(_SHORT)[3][0][:, near]).max(axis=1)
    plateau = (times_s > _PLATEAU_S[0]) & (times_s < _PLATEAU_S[1])
    outside = float(np.percentile(clear, 40))
    strength = clear - outside - _SHARE * (np.median(clear[plateau]) - outside)
    sums_to = np.concatenate([[0.0], np.cumsum(strength)])
    middle = int(np.searchsorted(times_s, 0.5))
    first = int(np.argmin(sums_to[: middle + 1]))
    end = middle + 1 + int(np.argmax(sums_to[middle + 1 :]))
    edge_s = _HOP / 2 / SAMPLE_RATE_HZ + _EDGE_S
    return float(times_s[first]) - edge_s, float(times_s[min(end, len(times_s)) - 1]) + edge_s


def _levels(power: Floats, times_s: Floats, first_s: float, end_s: float) -> tuple[float, float]:
    """Level of what lies between two moments, and against the background, in dB."""
    outside = (times_s < first_s - _BEFORE_S) | (times_s > end_s + _AFTER_S)
    quiet = power[outside] if np.count_nonzero(outside) >= 8 else power
    quiet = quiet[: len(quiet) // 4 * 4].reshape(-1, 4).mean(axis=1)
    background = max(float(np.percentile(quiet, 25)), 1e-12)
    moo = float(power[(times_s >= first_s) & (times_s <= end_s)].mean()) - background
    moo = max(moo, 0.01 * background)
    return 10 * float(np.log10(moo)), 10 * float(np.log10(moo / background))
