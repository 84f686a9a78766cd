"""Training windows: real and made-up calls laid over other backgrounds at any level.

The annotated calls of one place are few and alike. What a network learns from them is set by what
they are mixed with and how they are changed: pitch and speed, distance (reverberation, treble
lost), level against the background down to what nobody hears, place in the window, gain. Calls
made from nothing but numbers vary what copies of two birds cannot; made-up sounds that are no calls
(engines, choruses, frogs, whistles) stand for the forests nobody has recorded.

Changing a sound costs more than mixing it. So ``MixedStretches`` prepares stores of changed sounds,
renews a part of them now and then, and mixes windows from the stores. Everything follows from one
random generator: the same seed gives the same windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from model.training.clips import Example
from model.training.sounds import (
    HOARSE_SHARE,
    Sound,
    add_sound,
    band_power,
    coloured_noise,
    curve,
    faded,
    from_afar,
    gain_between,
    hoarse,
    made_up_call,
    onset_times,
    other_sound,
    play_at_speed,
)
from model.training.targets import STRETCH_SAMPLES, Moo, stretch_targets
from model.windows import ONSETS, SAMPLE_RATE_HZ, WINDOW_SAMPLES, Samples

T = TypeVar("T")


@dataclass(frozen=True)
class Mixture:
    """How training stretches are made.

    Attributes:
        silent_share: stretches without a call.
        calls_a_minute: in the others, uniform; calls follow each other at random.
        gap_s: least time from one onset to the next.
        birds: at most so many voices in a stretch.
        level_db: power of the loudest bird's calls over background power in the band, uniform.
        spread_db: the other birds are up to so much fainter.
        inaudible_db: calls fainter than this are neither asked for nor refused.
        moo_less_share: of calls that break off before their moo, which do not count.
        speed: a call is played up to so much faster or slower, pitch and duration together.
        made_up_share: calls that are synthetic.
        alone_share: stretches in which clips stand in digital silence, cut off hard.
        others_a_minute: other sounds, in ``others_share`` of the stretches; ``recorded_share`` of
            them are pieces of backgrounds, the others synthetic.
        others_db: range of their power over the background's in the band, uniform.
        stores: how many real calls, made-up calls, other sounds and noises are kept ready.
        renewed_share: part of each store that is made anew at a renewal.
    """

    silent_share: float = 0.25
    calls_a_minute: tuple[float, float] = (1.0, 32.0)
    gap_s: float = 0.7
    birds: int = 4
    level_db: tuple[float, float] = (-19.0, 24.0)
    spread_db: float = 12.0
    inaudible_db: float = -21.0
    moo_less_share: float = 0.12
    speed: float = 1.28
    made_up_share: float = 0.3
    alone_share: float = 0.08
    others_a_minute: float = 10.0
    others_share: float = 0.7
    recorded_share: float = 0.3
    others_db: tuple[float, float] = (-16.0, 25.0)
    stores: tuple[int, int, int, int] = (400, 200, 300, 24)
    renewed_share: float = 0.25


Batch = tuple[Samples, ...]
"""Audio ``[count, n]``, targets, and where there are any weights of the targets, all float32."""


class AudioSource(Protocol):
    """What training takes its audio from."""

    def reseed(self, *seeds: int) -> None: ...
    def renew(self) -> None: ...
    def draw(self, count: int) -> Batch: ...


class MixedStretches:
    """Makes training stretches from examples.

    Args:
        examples: calls and background; without background, noise takes its place.
        seed: decides everything.
        mixture: how stretches are made.
    """

    def __init__(
        self, examples: Sequence[Example], seed: int, mixture: Mixture = Mixture()
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._mixture = mixture
        self._calls = [e for e in examples if e.kind == "call"]
        self._call_odds = _odds(
            self._calls, [e.take for e in self._calls], [1.0] * len(self._calls), 0.75
        )
        self._backgrounds = [e for e in examples if e.kind == "background" and e.audio.any()]
        self._background_odds = _odds(
            self._backgrounds,
            [e.group for e in self._backgrounds],
            [float(len(e.audio)) for e in self._backgrounds],
            0.5,
        )
        self._real: list[Sound] = []
        self._made_up: list[Sound] = []
        self._others: list[Samples] = []
        self._noises: list[Samples] = []
        self.renew()

    def reseed(self, *seeds: int) -> None:
        """From here on everything follows from these numbers and what is in the stores."""
        self._rng = np.random.default_rng(seeds)

    def renew(self) -> None:
        """Fills the stores, or makes a part of them anew."""
        rng, (n_real, n_made_up, n_others, n_noises) = self._rng, self._mixture.stores
        if self._calls:
            self._restock(self._real, n_real, lambda: self._changed(self._real_call()))
        self._restock(self._made_up, n_made_up, lambda: self._changed(made_up_call(rng)))
        self._restock(self._others, n_others, self._changed_other)
        self._restock(self._noises, n_noises, self._noise)

    def _restock(self, store: list[T], size: int, make: Callable[[], T]) -> None:
        n = int(size * self._mixture.renewed_share) if store else size
        del store[:n]
        store += [make() for _ in range(n)]

    def _real_call(self) -> Sound:
        """A call from a recording, at another speed, with more or less of its surroundings."""
        rng, rate = self._rng, SAMPLE_RATE_HZ
        call = self._calls[rng.choice(len(self._calls), p=self._call_odds)]
        first, last = 0, len(call.audio)
        if rng.random() < 0.5:
            first = max(0, call.call_start - int(rng.uniform(0.1, 0.5) * rate))
            last = min(last, call.call_end + int(rng.uniform(0.05, 0.4) * rate))
        spread = np.log(self._mixture.speed)
        speed = float(np.exp(rng.uniform(-spread, spread))) if rng.random() < 0.85 else 1.0
        audio = play_at_speed(faded(call.audio[first:last], 0.1), speed)
        marks = (call.call_start, call.cue_start, call.call_end)
        start, onset, end = (int((mark - first) / speed) for mark in marks)
        if rng.random() < HOARSE_SHARE:
            audio[onset:end] = hoarse(rng, audio[onset:end])
        return Sound(audio, start, onset, end)

    def _changed(self, call: Sound) -> Sound:
        """The call as heard from somewhere else, scaled to a power of 1 in the band."""
        rng, audio = self._rng, call.audio
        if rng.random() < 0.75:
            reverb_s = rng.uniform(0.2, 1.8) if rng.random() < 0.5 else 0.0
            lowpass_hz = rng.uniform(900, 4000) if rng.random() < 0.3 else np.inf
            audio = from_afar(rng, audio, reverb_s, lowpass_hz, tilt_db=3.0)
        power = band_power(audio[max(call.call_start, 0) : call.call_end])
        audio = (audio / np.sqrt(power + 1e-12)).astype(np.float32)
        return Sound(audio, call.call_start, call.cue_start, call.call_end)

    def _changed_other(self) -> Samples:
        rng = self._rng
        if self._backgrounds and rng.random() < self._mixture.recorded_share:
            audio = self._piece_of_background()
        else:
            audio = other_sound(rng)
        if rng.random() < 0.5:
            reverb_s = rng.uniform(0.2, 1.5) if rng.random() < 0.5 else 0.0
            audio = from_afar(rng, audio, reverb_s, np.inf, tilt_db=3.0)
        return np.asarray(audio / np.sqrt(band_power(audio) + 1e-12), np.float32)

    def _piece_of_background(self) -> Samples:
        """0.5 to 4 s from any place of a background, at another speed."""
        rng = self._rng
        audio = self._backgrounds[rng.choice(len(self._backgrounds), p=self._background_odds)].audio
        n = min(len(audio), int(rng.uniform(0.5, 4.0) * SAMPLE_RATE_HZ))
        first = rng.integers(0, len(audio) - n + 1)
        speed = float(np.exp(rng.uniform(-0.28, 0.28)))
        return faded(play_at_speed(audio[first : first + n], speed), 0.05)

    def _noise(self) -> Samples:
        """24 s of noise of some colour, uneven in frequency and sometimes in time: wind, rain."""
        rng, n = self._rng, 24 * SAMPLE_RATE_HZ
        noise = coloured_noise(rng, n, rng.uniform(-0.5, 2.2))
        if rng.random() < 0.5:
            noise = from_afar(rng, noise, 0.0, np.inf, tilt_db=6.0)
        if rng.random() < 0.3:
            noise = (noise * (1 + curve(n, rng.normal(0, 0.4, 120)))).astype(np.float32)
        return noise

    def draw(self, count: int) -> Batch:
        """So many stretches.

        Returns:
            Audio ``[count, n]``, and for both heads targets and weights, ``[count, steps, 2]``.
        """
        audio = np.empty((count, STRETCH_SAMPLES), np.float32)
        targets = np.empty((count, STRETCH_SAMPLES // ONSETS.step_samples, 2), np.float32)
        weights = np.empty_like(targets)
        for row in range(count):
            audio[row], targets[row], weights[row] = self._stretch()
        return audio, targets, weights

    def _stretch(self) -> tuple[Samples, Samples, Samples]:
        rng, mixture = self._rng, self._mixture
        if rng.random() < mixture.alone_share:
            audio, alone = self._clips_alone()
            gain = 10 ** rng.uniform(-3.2, -0.2) / (3 * float(np.sqrt(np.mean(audio**2))) + 1e-7)
            return (np.clip(audio * np.float32(gain), -1, 1), *stretch_targets(alone, []))
        audio = self._background()
        level = np.sqrt(band_power(audio) + 1e-10)
        if level < 2e-5:  # near silence: a call in it would have no level to speak of
            audio = audio + 1e-4 * self._slice_of_noise()
            level = np.sqrt(band_power(audio))
        minutes = len(audio) / SAMPLE_RATE_HZ / 60
        if rng.random() < mixture.others_share:
            for _ in range(rng.poisson(mixture.others_a_minute * minutes)):
                other = self._others[rng.integers(len(self._others))]
                place = int(rng.integers(4000 - len(other), len(audio) - 4000))
                gain = gain_between(rng, *mixture.others_db)
                add_sound(audio, other * np.float32(level * gain), place)
            louder = np.sqrt(band_power(audio))
            level += (louder - level) * rng.random()
        moos: list[Moo] = []
        unsure: list[Moo] = []
        if rng.random() >= mixture.silent_share:
            moos, unsure = self._add_calls(audio, level)
        if rng.random() < 0.1:
            dead = int(rng.integers(0, len(audio)))  # a drop-out
            end = dead + int(rng.integers(1000, 30_000))
            audio[dead:end] = 0
            unsure += [moo for moo in moos if dead - 8000 < moo[0] < end]
        if rng.random() < 0.1:  # where the recording begins or ends
            edge = int(rng.integers(len(audio) // 2))
            silent = slice(0, edge) if rng.random() < 0.5 else slice(len(audio) - edge, None)
            audio[silent] = 0
            unsure += [moo for moo in moos if not audio[moo[0] : moo[0] + 20_000].all()]
        gain = 10 ** rng.uniform(-3.2, -0.2) / (3 * float(np.sqrt(np.mean(audio**2))) + 1e-7)
        if rng.random() < 0.05:
            gain *= 3  # overdriven
        return (np.clip(audio * np.float32(gain), -1, 1), *stretch_targets(moos, unsure))

    def _clips_alone(self) -> tuple[Samples, list[Moo]]:
        """Clips with and without a call in digital silence, as short files are.

        Both kinds begin and end as hard, so that an edge says nothing of a call.
        """
        rng, rate = self._rng, SAMPLE_RATE_HZ
        audio, moos = np.zeros(STRETCH_SAMPLES, np.float32), list[Moo]()
        place = int(rng.uniform(0, 3) * rate)
        while place < len(audio) - rate:
            if self._real and rng.random() < 0.5:
                call = self._real[rng.integers(len(self._real))]
                first = max(0, call.cue_start - int(rng.uniform(0.1, 2.2) * rate))
                end = min(len(call.audio), call.cue_start + int(rng.uniform(1.3, 3.2) * rate))
                sound = call.audio[first:end]
                begins = place + call.cue_start - first
                if begins < len(audio) - rate:
                    moos.append((begins, min(place + call.call_end - first, place + len(sound))))
            elif not self._backgrounds:
                break
            else:
                piece = self._backgrounds[rng.integers(len(self._backgrounds))].audio
                n = min(len(piece), int(rng.uniform(1.5, 5) * rate))
                first = int(rng.integers(0, len(piece) - n + 1))
                sound = piece[first : first + n]
            rms = float(np.sqrt(np.mean(sound**2)))
            if rms > 0:
                add_sound(audio, sound / rms * np.float32(gain_between(rng, -12, 0)), place)
            place += len(sound) + int(rng.uniform(2, 12) * rate)
        return audio, moos

    def _add_calls(self, audio: Samples, level: float) -> tuple[list[Moo], list[Moo]]:
        """Adds a chorus. Returns the moos that count, and those too faint to be sure of."""
        rng, mixture = self._rng, self._mixture
        a_minute = rng.uniform(*mixture.calls_a_minute)
        loudest_db = rng.uniform(*mixture.level_db)
        birds = [self._call() for _ in range(rng.integers(1, mixture.birds + 1))]
        levels_db = [loudest_db, *(loudest_db - rng.uniform(0, mixture.spread_db, len(birds) - 1))]
        moos: list[Moo] = []
        unsure: list[Moo] = []
        # Calls may have begun before the stretch, or end after it.
        for place in onset_times(
            rng, -3.5, len(audio) / SAMPLE_RATE_HZ + 3, a_minute, mixture.gap_s
        ):
            bird = int(rng.integers(len(birds)))
            call = birds[bird] if rng.random() < 0.7 else self._call()
            start = round(place * SAMPLE_RATE_HZ) - call.cue_start
            level_db = levels_db[bird] + rng.uniform(-1, 1)
            sound = call.audio * np.float32(level * 10 ** (level_db / 20))
            if rng.random() < mixture.moo_less_share:
                sound = faded(sound[: max(call.cue_start - 3000, 1000)], 0.05)
                add_sound(audio, sound, start)
                continue
            add_sound(audio, sound, start)
            audible = level_db > mixture.inaudible_db
            (moos if audible else unsure).append((start + call.cue_start, start + call.call_end))
        return moos, unsure

    def _call(self) -> Sound:
        rng = self._rng
        made_up = not self._real or rng.random() < self._mixture.made_up_share
        store = self._made_up if made_up else self._real
        return store[rng.integers(len(store))]

    def _background(self) -> Samples:
        rng, draw = self._rng, self._rng.random()
        if not self._backgrounds or 0.6 <= draw < 0.75:
            return self._slice_of_noise()
        audio = self._slice_of_background()
        if draw >= 0.75:
            level = np.sqrt(band_power(audio) + 1e-10)
            audio += self._slice_of_noise() * np.float32(level * gain_between(rng, -10, 15))
        return audio

    def _slice_of_noise(self) -> Samples:
        noise = self._noises[self._rng.integers(len(self._noises))]
        start = self._rng.integers(0, len(noise) - STRETCH_SAMPLES)
        return noise[start : start + STRETCH_SAMPLES].copy()

    def _slice_of_background(self) -> Samples:
        rng, n = self._rng, STRETCH_SAMPLES
        audio = self._backgrounds[rng.choice(len(self._backgrounds), p=self._background_odds)].audio
        if rng.random() < 0.6:
            speed = float(np.exp(rng.uniform(-0.28, 0.28)))
            stop = int(n * speed) + 2
            first = rng.integers(0, max(1, len(audio) - stop))
            audio = play_at_speed(audio[first : first + stop], speed)
        if len(audio) >= n:
            first = rng.integers(0, len(audio) - n + 1)
            return audio[first : first + n].copy()
        if rng.random() < 0.5:
            return np.resize(audio, n)  # over and over
        alone = np.zeros(n, np.float32)
        add_sound(alone, audio, int(rng.integers(0, n - len(audio) + 1)))
        return alone


class PlainWindows:
    """Windows as they are in the examples, for the tutorial's network: nothing is changed or mixed.

    A fixed set, as clips on a disk are: ``CALL_WINDOWS`` of every call, each with its whole cue at
    a place of its own, and ``BACKGROUNDS_PER_CALL`` times as many of background, drawn evenly. A
    random part is held out, as in the tutorial: windows of one call may lie on both sides.

    Args:
        examples: calls and background.
        seed: decides places, draws, split and order.
        held_out: take windows from the held-out part, 30 %.
    """

    CALL_WINDOWS = 3
    BACKGROUNDS_PER_CALL = 2.7  # 593 clips without a call to 217 with one in the tutorial's data

    def __init__(self, examples: Sequence[Example], seed: int, held_out: bool) -> None:
        rng = np.random.default_rng(seed)
        rows: list[tuple[Example, int, float]] = []
        for call in (e for e in examples if e.kind == "call"):
            for _ in range(self.CALL_WINDOWS):
                low = max(0, call.call_end - WINDOW_SAMPLES)
                start = rng.integers(low, max(low, call.cue_start) + 1)
                rows.append((call, int(start), 1.0))
        backgrounds = [e for e in examples if e.kind == "background"]
        lengths = np.array([len(e.audio) for e in backgrounds], dtype=float)
        count = round(self.BACKGROUNDS_PER_CALL * len(rows)) if backgrounds else 0
        for i in rng.choice(len(backgrounds), count, p=lengths / lengths.sum()) if count else ():
            last = max(0, len(backgrounds[i].audio) - WINDOW_SAMPLES)
            rows.append((backgrounds[i], int(rng.integers(0, last + 1)), 0.0))
        order = rng.permutation(len(rows))
        split = round(0.3 * len(rows))
        self._rows = [rows[i] for i in (order[:split] if held_out else order[split:])]
        self._rng = rng
        self._queue: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def reseed(self, *seeds: int) -> None:
        """A new order, which follows from these numbers."""
        self._rng, self._queue = np.random.default_rng(seeds), []

    def renew(self) -> None:
        """The set stays as it is."""

    def draw(self, count: int) -> Batch:
        """The next windows and labels: float32 ``[count, 48000]`` and ``[count, 1]``."""
        audio = np.zeros((count, WINDOW_SAMPLES), np.float32)
        labels = np.empty((count, 1), np.float32)
        for row in range(count):
            if not self._queue:
                self._queue = self._rng.permutation(len(self._rows)).tolist()
            example, start, labels[row, 0] = self._rows[self._queue.pop()]
            piece = example.audio[start : start + WINDOW_SAMPLES]
            audio[row, WINDOW_SAMPLES - len(piece) :] = piece  # the tutorial pads in front
        return audio, labels


def _odds(
    examples: Sequence[Example], kinds: Sequence[str], sizes: Sequence[float], evening: float
) -> npt.NDArray[np.float64]:
    """How often each example is drawn: by its size, a kind less than by its size.

    Recordings that share their background would otherwise drown the others, and copies of one call
    all other birds.

    Args:
        evening: 0 draws each kind by its size, 1 all kinds equally often.
    """
    if not examples:
        return np.zeros(0)
    _, kind = np.unique(kinds, return_inverse=True)
    odds = np.array(sizes) / np.bincount(kind, sizes)[kind] ** evening
    return np.asarray(odds / odds.sum())
