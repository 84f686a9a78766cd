"""Recordings made for trials: calls under noise, choruses, and leks of birds from clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from model.training.clips import Annotation, Example, Scene
from model.training.sounds import BAND_HZ, add_sound, band_power, coloured_noise, faded, onset_times
from model.windows import SAMPLE_RATE_HZ

_T = TypeVar("_T")

CHORUS_GAP_S = 1.0
CHORUS_LEVEL_DB, CHORUS_SPREAD_DB = 15.0, 12.0
"""Of the loudest bird over the background; the others are up to so much fainter."""

LEK_BIRDS = 3
LEK_LEVEL_DB = 12.0
"""Of a lek's loudest calls over the background, at all frequencies; the others are up to as much
fainter."""


def in_band(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``audio`` with only ``BAND_HZ`` left."""
    n = len(audio) + -len(audio) % 4096  # a length the transform is quick at
    spectrum = np.fft.rfft(audio, n)
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    spectrum[(frequency < BAND_HZ[0]) | (frequency > BAND_HZ[1])] = 0
    return np.fft.irfft(spectrum, n)[: len(audio)].astype(np.float32)


def under_noise(
    scene: Scene,
    backgrounds: Sequence[Scene],
    level_db: float,
    rng: np.random.Generator,
    to_find: Callable[[Annotation], bool] = lambda _: True,
) -> Scene:
    """A recording with calls under another recording's background and pink noise, equally strong.

    Args:
        scene: holds at least one call to find.
        backgrounds: recordings without calls; one of another group is drawn where there is one.
        level_db: mean power of the scene in ``BAND_HZ`` during calls to find, over that of what is
            added.
        rng: draws the background and the noise.
        to_find: the calls whose level counts.
    """
    audio, n = scene.audio, len(scene.audio)
    band = in_band(audio)
    calls = [
        band[round(a.start_s * SAMPLE_RATE_HZ) : round(a.end_s * SAMPLE_RATE_HZ)]
        for a in scene.annotations
        if to_find(a)
    ]
    call_power = float(np.mean(np.concatenate(calls) ** 2))
    length = n + -n % 4096
    added = coloured_noise(rng, length, 1.0)[:n]
    added = added / np.sqrt(np.mean(in_band(added) ** 2))
    strange = [b for b in backgrounds if b.group != scene.group] or list(backgrounds)
    if strange:
        other = np.resize(strange[rng.integers(len(strange))].audio, n)
        added = added + other / np.sqrt(np.mean(in_band(other) ** 2) + 1e-12)
    added *= np.sqrt(call_power / 10 ** (level_db / 10) / np.mean(in_band(added) ** 2))
    mixed = audio + added
    return replace(scene, audio=(mixed / max(1.0, np.abs(mixed).max())).astype(np.float32))


def chorus(
    background: Scene,
    calls: Sequence[Example],
    a_minute: int,
    levels_db: Sequence[float],
    rng: np.random.Generator,
) -> Scene:
    """A background with calls of several birds at random times.

    Args:
        background: a recording without calls, its power in ``BAND_HZ`` 1.
        calls: to draw the birds' from.
        a_minute: how many; they follow each other by ``CHORUS_GAP_S`` or more.
        levels_db: of each bird's calls over the background.
        rng: draws everything.
    """
    audio, n, edge_s = background.audio.copy(), len(background.audio), 3.0
    birds = []
    for level_db in levels_db:
        call = calls[int(rng.integers(len(calls)))]
        first = max(0, call.call_start - SAMPLE_RATE_HZ // 3)
        sound = faded(call.audio[first : call.call_end + SAMPLE_RATE_HZ // 5], 0.1)
        power = band_power(call.audio[call.call_start : call.call_end])
        sound *= np.float32(10 ** (level_db / 20) / np.sqrt(power + 1e-12))
        birds.append((call, first, sound))
    notes = []
    for onset_s in onset_times(rng, edge_s, n / SAMPLE_RATE_HZ - edge_s, a_minute, CHORUS_GAP_S):
        call, first, sound = birds[int(rng.integers(len(birds)))]
        start = round(onset_s * SAMPLE_RATE_HZ) - (call.cue_start - first)
        add_sound(audio, sound, start)
        begin, end = (start + mark - first for mark in (call.call_start, call.call_end))
        notes.append(Annotation(begin / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ, call.take))
    audio /= np.float32(max(1.0, float(np.abs(audio).max())))
    return replace(background, audio=audio, annotations=tuple(notes))


def lek(
    background: Scene, birds: Sequence[Sequence[Example]], a_minute: int, rng: np.random.Generator
) -> Scene:
    """A background with whole clips of several birds at random times.

    Unlike a ``chorus``, each call of a bird is another of its clips, with whatever else is in it.

    Args:
        background: a recording without calls.
        birds: clips of each.
        a_minute: calls; they begin 1 s or more apart.
        rng: draws everything.
    """
    audio, rate = background.audio.copy(), SAMPLE_RATE_HZ
    level = np.sqrt(np.mean(background.audio**2)) * 10 ** (LEK_LEVEL_DB / 20)
    notes = []
    for start_s, call, fainter_db in lek_calls(
        rng, birds, a_minute, len(audio) / rate, lambda call: len(call.audio) / rate
    ):
        sound = faded(call.audio, 0.1)
        sound *= np.float32(level / np.sqrt(np.mean(sound**2) + 1e-12))
        sound *= np.float32(10 ** (-fainter_db / 20))
        add_sound(audio, sound, round(start_s * rate))
        begin_s, onset_s, end_s = (
            start_s + mark / rate for mark in (call.call_start, call.cue_start, call.call_end)
        )
        notes.append(Annotation(begin_s, end_s, call.take, onset_s))
    audio /= np.float32(max(1.0, float(np.abs(audio).max())))
    return replace(background, audio=audio, annotations=tuple(notes))


def lek_calls(
    rng: np.random.Generator,
    birds: Sequence[Sequence[_T]],
    a_minute: int,
    duration_s: float,
    length_s: Callable[[_T], float],
) -> Iterator[tuple[float, _T, float]]:
    """Calls of a lek: when each begins, which it is, and how many dB below ``LEK_LEVEL_DB``.

    The first begins after 2 s at least, the last ends 1 s before the recording.

    Args:
        rng: draws everything.
        birds: calls of each.
        a_minute: calls; they begin ``CHORUS_GAP_S`` or more apart.
        duration_s: of the lek.
        length_s: of a call.
    """
    start_s = 2.0
    while True:
        start_s += max(CHORUS_GAP_S, rng.exponential(60 / a_minute))
        bird = birds[int(rng.integers(len(birds)))]
        call = bird[int(rng.integers(len(bird)))]
        if start_s + length_s(call) > duration_s - 1:
            return
        yield start_s, call, rng.uniform(0, LEK_LEVEL_DB)
