"""Training windows: real and made-up calls laid over other backgrounds at any level.

The annotated calls of one place are few and alike. What a network learns from them is set by what
they are mixed with and how they are changed: pitch and speed, distance (reverberation, treble
lost), level against the background down to what nobody hears, place in the window, gain. Calls
made from nothing but numbers vary what copies of two birds cannot; made-up sounds that are no calls
(engines, choruses, frogs, whistles) stand for the forests nobody has recorded.

Changing a sound costs more than mixing it. So a ``Kitchen`` prepares stores of changed sounds,
renews a part of them now and then, and mixes windows from the stores. Everything follows from one
random generator: the same seed gives the same windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from model.training.clips import CUE_S, NEGATIVE_SHARE, POSITIVE_SHARE, Example
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES

BAND_HZ = (350.0, 1800.0)
"""Where the call lies. Levels of call against background are ratios of mean power in this band."""

Audio = npt.NDArray[np.float32]
Rng = np.random.Generator
T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """How training windows are made.

    Attributes:
        call_share: windows with a call; cut_share: windows with a call's beginning or end only,
            which count as negative.
        level_db: range of call power over background power in the band, uniform.
        speed: a call is played up to so much faster or slower, pitch and duration together.
        made_up_share: calls that are synthetic.
        stores: how many real calls, made-up calls, other sounds and noises are kept ready.
        renewed_share: part of each store that is made anew at a renewal.
    """

    call_share: float = 0.5
    cut_share: float = 0.22
    level_db: tuple[float, float] = (-13.0, 25.0)
    speed: float = 1.28
    made_up_share: float = 0.3
    stores: tuple[int, int, int, int] = (400, 150, 250, 24)
    renewed_share: float = 0.25


@dataclass(frozen=True)
class Sound:
    """A call with the samples where the call and its cue start and end; its power is 1 in band."""

    audio: Audio = field(repr=False)
    call_start: int
    cue_start: int
    call_end: int


def band_power(audio: npt.NDArray[np.floating]) -> float:
    """Mean power in ``BAND_HZ``, of float ``[n]``."""
    n = len(audio)
    first, end = (int(f * n / SAMPLE_RATE_HZ) for f in BAND_HZ)
    spectrum = np.fft.rfft(audio)[first:end]
    return float(2 * np.sum(np.abs(spectrum) ** 2) / n**2)


def play_at_speed(audio: Audio, factor: float) -> Audio:
    """``audio`` played ``factor`` times as fast: shorter and higher when above 1.

    Linear interpolation is enough: its error lies above what the front end hears.
    """
    n = int(len(audio) / factor)
    faster = np.interp(np.arange(n) * factor, np.arange(len(audio)), audio)
    return np.asarray(faster, np.float32)


def faded(audio: Audio, seconds: float) -> Audio:
    """``audio`` with its first and last ``seconds`` faded in and out."""
    audio = audio.copy()
    n = min(round(seconds * SAMPLE_RATE_HZ), len(audio) // 3)
    ramp = np.sin(np.linspace(0, np.pi / 2, n, dtype=np.float32)) ** 2
    audio[:n] *= ramp
    audio[len(audio) - n :] *= ramp[::-1]
    return audio


def coloured_noise(rng: Rng, n: int, slope: float) -> Audio:
    """Noise whose power falls as frequency to the ``slope`` (0 white, 1 pink, 2 brown), rms 1."""
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ), 60.0)
    spectrum = rng.standard_normal(n // 2 + 1) + 1j * rng.standard_normal(n // 2 + 1)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), n)
    return np.asarray(noise / noise.std(), np.float32)


def from_afar(rng: Rng, audio: Audio, reverb_s: float, lowpass_hz: float, tilt_db: float) -> Audio:
    """``audio`` as heard through forest: echoes, treble lost, an uneven path.

    Args:
        rng: for the echo and the unevenness.
        audio: float32 ``[n]``.
        reverb_s: time in which the echo falls by 60 dB; 0 for none.
        lowpass_hz: where treble is down by 3 dB; infinity for none.
        tilt_db: standard deviation of the gain at a handful of frequencies.
    """
    n = len(audio) + (SAMPLE_RATE_HZ if reverb_s else 0)
    n += -n % 1000  # a length that the transform is quick at
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    nodes_hz = np.array([0, 250, 400, 600, 850, 1150, 1500, 1900, 2600, 8000])
    gain_db = np.clip(rng.normal(0, tilt_db, len(nodes_hz)), -2 * tilt_db, 2 * tilt_db)
    spectrum = np.fft.rfft(audio, n) * 10 ** (np.interp(frequency, nodes_hz, gain_db) / 20)
    spectrum = spectrum / np.sqrt(1 + (frequency / lowpass_hz) ** 4)
    if reverb_s:
        delay_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        echo = rng.standard_normal(SAMPLE_RATE_HZ) * 10 ** (-3 * delay_s / reverb_s)
        echo[delay_s < 0.01] = 0
        echo *= _gain(rng, -10, 3) / np.sqrt(np.sum(echo**2))
        echo[0] += 1
        spectrum = spectrum * np.fft.rfft(echo, n)
    return np.fft.irfft(spectrum, n)[: len(audio)].astype(np.float32)


def _gain(rng: Rng, low_db: float, high_db: float) -> float:
    return float(10 ** (rng.uniform(low_db, high_db) / 20))


def _curve(n: int, places: Sequence[float], values: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.interp(np.arange(n) / n, places, values)


def _band_noise(rng: Rng, n: int, low_hz: float, high_hz: float) -> npt.NDArray[np.float64]:
    frequency = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ)
    spectrum = rng.standard_normal(n // 2 + 1) + 1j * rng.standard_normal(n // 2 + 1)
    inside = 1 / (1 + np.exp(np.clip((low_hz - frequency) / 40, -50, 50)))
    inside /= 1 + np.exp(np.clip((frequency - high_hz) / 40, -50, 50))
    noise = np.fft.irfft(spectrum * inside, n)
    return np.asarray(noise / (noise.std() + 1e-12))


def _harmonics(
    rng: Rng,
    spacing_hz: npt.NDArray[np.float64],
    low_hz: float,
    high_hz: float,
    offset_hz: float = 0.0,
) -> npt.NDArray[np.float64]:
    """Partials at ``offset + k spacing`` between two frequencies, loudest around one of them."""
    phase = 2 * np.pi * np.cumsum(spacing_hz) / SAMPLE_RATE_HZ
    time_s = np.arange(len(phase)) / SAMPLE_RATE_HZ
    typical = float(np.median(spacing_hz))
    centre_hz, width_hz = rng.uniform(500, 1300), rng.uniform(350, 900)
    total = np.zeros(len(phase))
    for k in range(1, int(high_hz / typical) + 1):
        partial_hz = k * typical + offset_hz
        if low_hz <= partial_hz <= high_hz:
            loudness = np.exp(-(((partial_hz - centre_hz) / width_hz) ** 2))
            loudness *= 10 ** (rng.normal(0, 4) / 20)
            start = rng.uniform(0, 2 * np.pi)
            total += loudness * np.cos(k * phase + 2 * np.pi * offset_hz * time_s + start)
    return np.asarray(total / (total.std() + 1e-12))


def made_up_call(rng: Rng) -> Sound:
    """A call like a Capuchinbird's: dim falling lead-in, growl, flat harmonics, a last burst.

    Its numbers spread well beyond the annotated calls: harmonics 105 to 185 Hz apart, growl 0.8 to
    1.8 s, moo 1.5 to 2.8 s.
    """
    rate = SAMPLE_RATE_HZ
    before_s, growl_s, moo_s = 2.2, rng.uniform(0.8, 1.8), rng.uniform(1.5, 2.8)
    audio = np.zeros(int((before_s + growl_s + moo_s + 1.0) * rate))
    spacing_hz = rng.uniform(105, 185)

    moo_start, n_moo = int((before_s + growl_s) * rate), int(moo_s * rate)
    sag = rng.uniform(0, 0.09)
    pitch = _curve(
        n_moo, [0, 0.03, 0.15, 0.6, 1], [rng.uniform(0.85, 1), 1, 1, 1 - sag / 4, 1 - sag]
    )
    low_hz, high_hz, offset_hz = rng.uniform([250, 1200, -60], [420, 2000, 60])
    moo = _harmonics(rng, spacing_hz * pitch, low_hz, high_hz, offset_hz)
    loudness = [0.3, 1, rng.uniform(0.7, 1.2), rng.uniform(0.4, 1), 0]
    audio[moo_start : moo_start + n_moo] = moo * _curve(n_moo, [0, 0.03, 0.5, 0.95, 1], loudness)

    growl_start, n_growl = int(before_s * rate), int(growl_s * rate)
    growl = _band_noise(rng, n_growl, rng.uniform(350, 500), rng.uniform(750, 1000))
    growl *= _curve(n_growl, [0, 0.2, 0.9, 1], [0, rng.uniform(0.4, 0.9), 1, 0.6])
    audio[growl_start : growl_start + n_growl] += growl * _gain(rng, -8, 3)

    if rng.random() < 0.7:
        n = int(rng.uniform(0.15, 0.4) * rate)
        burst = _band_noise(rng, n, 400, 1000) * np.hanning(n) * _gain(rng, -6, 2)
        start = moo_start + n_moo - n // 2
        audio[start : start + n] += burst
    if rng.random() < 0.6:
        n = int(rng.uniform(0.5, 1.2) * rate)
        falling = spacing_hz * _curve(n, [0, 1], [rng.uniform(0.95, 1.3), 0.85])
        lead_in = _harmonics(rng, falling, 600, 1500) * np.hanning(n) * _gain(rng, -25, 0)
        start = int((before_s - rng.uniform(0, 0.5)) * rate) - n
        audio[start : start + n] += lead_in
    call_end = moo_start + n_moo
    cue_start = max(growl_start, call_end - int(CUE_S * rate))
    return Sound(audio.astype(np.float32), growl_start, max(cue_start, moo_start), call_end)


def other_sound(rng: Rng) -> Audio:
    """A made-up sound that is no call, of one of nine kinds, 0.3 to 8 s long, peak 1."""
    n = int(rng.uniform(0.3, 5.0) * SAMPLE_RATE_HZ)
    kinds = (_tones, _whistles, _chorus, _chorus, _pulses, _engine, _bursts, _notes, _growls)
    sound = kinds[rng.integers(len(kinds))](rng, n)
    peak = float(np.abs(sound).max()) + 1e-9
    return faded((sound / peak).astype(np.float32), 0.03)


_Wave = npt.NDArray[np.float64]


def _scattered(
    rng: Rng, n: int, most: int, seconds: tuple[float, float], make: Callable[[int], _Wave]
) -> _Wave:
    """Up to ``most`` sounds of some ``seconds`` each, anywhere in ``n`` samples."""
    total = np.zeros(n)
    for _ in range(rng.integers(1, most)):
        length = min(int(rng.uniform(*seconds) * SAMPLE_RATE_HZ), n - 1)
        start = rng.integers(0, n - length)
        total[start : start + length] += make(length) * _gain(rng, -12, 0)
    return total


def _tones(rng: Rng, n: int) -> _Wave:
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    return _scattered(
        rng, n, 4, (4, 5), lambda k: np.cos(2 * np.pi * rng.uniform(250, 1900) * time_s[:k])
    )


def _whistles(rng: Rng, n: int) -> _Wave:
    def whistle(k: int) -> _Wave:
        steps_hz = rng.uniform(300, 1900) + rng.normal(0, 200, 4)
        pitch_hz = _curve(k, np.linspace(0, 1, 4).tolist(), steps_hz.tolist())
        return np.asarray(np.cos(2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ) * np.hanning(k))

    return _scattered(rng, n, 6, (0.1, 1.0), whistle)


def _chorus(rng: Rng, n: int) -> _Wave:
    """Mammals: harmonics whose pitch moves, several at a time."""

    def voice(k: int) -> _Wave:
        moves = np.cumsum(rng.normal(0, rng.uniform(0.06, 0.25), 5))
        pitch_hz = rng.uniform(80, 500) * np.exp(
            _curve(k, np.linspace(0, 1, 5).tolist(), moves.tolist())
        )
        return np.asarray(_harmonics(rng, pitch_hz, 200, 2500) * np.sqrt(np.hanning(k)))

    return _scattered(rng, n, 6, (0.2, 2.0), voice)


def _pulses(rng: Rng, n: int) -> _Wave:
    """Frogs: a tone or noise switched 4 to 50 times a second."""
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    gate = np.sin(2 * np.pi * rng.uniform(4, 50) * time_s) > rng.uniform(-0.5, 0.8)
    centre_hz = rng.uniform(300, 1800)
    if rng.random() < 0.5:
        return np.asarray(np.cos(2 * np.pi * centre_hz * time_s) * gate)
    return _band_noise(rng, n, centre_hz - 150, centre_hz + 150) * gate


def _engine(rng: Rng, n: int) -> _Wave:
    """A hum longer than a window: harmonics as flat as a call's, but without a beginning."""
    del n
    n = int(rng.uniform(5, 8) * SAMPLE_RATE_HZ)
    ranges_hz = ((20, 100), (110, 180), (180, 500))
    spacing_hz = rng.uniform(*ranges_hz[rng.integers(3)])
    wobble = 0.01 * _curve(n, np.linspace(0, 1, 12).tolist(), rng.normal(0, 1, 12).tolist())
    return _harmonics(rng, spacing_hz * (1 + wobble), 200, 2200)


def _bursts(rng: Rng, n: int) -> _Wave:
    """Rain, branches, thumps."""

    def burst(k: int) -> _Wave:
        low_hz = rng.uniform(100, 1500)
        noise = _band_noise(rng, k, low_hz, low_hz + rng.uniform(100, 2000))
        return np.asarray(noise * np.exp(-4 * np.arange(k) / k))

    return _scattered(rng, n, 30, (0.005, 0.3), burst)


def _notes(rng: Rng, n: int) -> _Wave:
    """Short harmonic notes: barks, hoots, other birds."""
    spacing_hz = rng.uniform(90, 450)

    def note(k: int) -> _Wave:
        pitch_hz = spacing_hz * np.linspace(1, rng.uniform(0.9, 1.1), k)
        return np.asarray(_harmonics(rng, pitch_hz, 200, 2200) * np.sqrt(np.hanning(k)))

    return _scattered(rng, n, 6, (0.08, 0.7), note)


def _growls(rng: Rng, n: int) -> _Wave:
    low_hz = rng.uniform(300, 700)
    noise = _band_noise(rng, n, low_hz, low_hz + rng.uniform(200, 700))
    return np.asarray(noise * np.hanning(n) ** rng.uniform(0.2, 1))


class WindowSource(Protocol):
    """What training takes its windows from."""

    def reseed(self, *seeds: int) -> None: ...
    def renew(self) -> None: ...
    def windows(self, count: int) -> tuple[Audio, Audio]: ...


class Kitchen:
    """Makes training windows from examples.

    Args:
        examples: calls and background; without background, noise takes its place.
        seed: decides everything.
        recipe: how windows are made.
    """

    def __init__(self, examples: Sequence[Example], seed: int, recipe: Recipe = Recipe()) -> None:
        self._rng = np.random.default_rng(seed)
        self._recipe = recipe
        self._calls = [e for e in examples if e.kind == "call"]
        self._backgrounds = [e for e in examples if e.kind == "background" and e.audio.any()]
        self._background_odds = _odds(self._backgrounds)
        self._real: list[Sound] = []
        self._made_up: list[Sound] = []
        self._others: list[Audio] = []
        self._noises: list[Audio] = []
        self.renew()

    def reseed(self, *seeds: int) -> None:
        """From here on everything follows from these numbers and what is in the stores."""
        self._rng = np.random.default_rng(seeds)

    def renew(self) -> None:
        """Fills the stores, or makes a part of them anew."""
        rng, (n_real, n_made_up, n_others, n_noises) = self._rng, self._recipe.stores
        if self._calls:
            self._restock(self._real, n_real, lambda: self._changed(self._real_call()))
        self._restock(self._made_up, n_made_up, lambda: self._changed(made_up_call(rng)))
        self._restock(self._others, n_others, self._changed_other)
        self._restock(self._noises, n_noises, self._noise)

    def _restock(self, store: list[T], size: int, make: Callable[[], T]) -> None:
        wanted = int(size * self._recipe.renewed_share) if store else size
        del store[:wanted]
        store += [make() for _ in range(wanted)]

    def _real_call(self) -> Sound:
        """A call from a recording, at another speed, with more or less of its surroundings."""
        rng, rate = self._rng, SAMPLE_RATE_HZ
        call = self._calls[rng.integers(len(self._calls))]
        first, last = 0, len(call.audio)
        if rng.random() < 0.5:
            first = max(0, call.call_start - int(rng.uniform(0.1, 0.5) * rate))
            last = min(last, call.call_end + int(rng.uniform(0.05, 0.4) * rate))
        spread = np.log(self._recipe.speed)
        speed = float(np.exp(rng.uniform(-spread, spread))) if rng.random() < 0.85 else 1.0
        audio = play_at_speed(faded(call.audio[first:last], 0.1), speed)
        marks = (call.call_start, call.cue_start, call.call_end)
        return Sound(audio, *(int((mark - first) / speed) for mark in marks))

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

    def _changed_other(self) -> Audio:
        rng, audio = self._rng, other_sound(self._rng)
        if rng.random() < 0.5:
            reverb_s = rng.uniform(0.2, 1.5) if rng.random() < 0.5 else 0.0
            audio = from_afar(rng, audio, reverb_s, np.inf, tilt_db=3.0)
        return np.asarray(audio / np.sqrt(band_power(audio) + 1e-12), np.float32)

    def _noise(self) -> Audio:
        """12 s of noise of some colour, uneven in frequency and sometimes in time: wind, rain."""
        rng, n = self._rng, 12 * SAMPLE_RATE_HZ
        noise = coloured_noise(rng, n, rng.uniform(-0.5, 2.2))
        if rng.random() < 0.5:
            noise = from_afar(rng, noise, 0.0, np.inf, tilt_db=6.0)
        if rng.random() < 0.3:
            gusts = _curve(n, np.linspace(0, 1, 60).tolist(), rng.normal(0, 0.4, 60).tolist())
            noise = (noise * (1 + gusts)).astype(np.float32)
        return noise

    def windows(self, count: int) -> tuple[Audio, Audio]:
        """So many windows and their labels: float32 ``[count, 48000]`` and ``[count, 1]``."""
        audio = np.empty((count, WINDOW_SAMPLES), np.float32)
        labels = np.empty((count, 1), np.float32)
        for row in range(count):
            audio[row], labels[row, 0] = self._window()
        return audio, labels

    def _window(self) -> tuple[Audio, float]:
        rng, recipe = self._rng, self._recipe
        window = self._background()
        level = np.sqrt(band_power(window) + 1e-10)
        if level < 2e-5:  # near silence: a call in it would have no level to speak of
            window = window + 1e-4 * self._slice_of_noise()
            level = np.sqrt(band_power(window))
        if rng.random() < 0.35:
            for _ in range(rng.integers(1, 3)):
                other = self._others[rng.integers(len(self._others))]
                place = int(rng.integers(4000 - len(other), WINDOW_SAMPLES - 4000))
                _lay(window, other, place, level * _gain(rng, -3, 25))
            louder = np.sqrt(band_power(window))
            level += (louder - level) * rng.random()
        draw = rng.random()
        positive = draw < recipe.call_share
        if draw < recipe.call_share + recipe.cut_share:
            call = self._call()
            place = self._place(call, positive)
            _lay(window, call.audio, place, level * _gain(rng, *recipe.level_db))
        elif rng.random() < 0.1:
            dead = rng.integers(0, WINDOW_SAMPLES)  # a drop-out
            window[dead : dead + rng.integers(1000, 30_000)] = 0
        gain = 10 ** rng.uniform(-3.2, -0.2) / (3 * float(np.sqrt(np.mean(window**2))) + 1e-7)
        if rng.random() < 0.05:
            gain *= 3  # overdriven
        return np.clip(window * np.float32(gain), -1, 1), float(positive)

    def _place(self, call: Sound, positive: bool) -> int:
        """Where in the window the call's audio starts, so that its label is true."""
        rng = self._rng
        cue = call.call_end - call.cue_start
        if positive and rng.random() < 0.6:
            last = max(WINDOW_SAMPLES - call.call_end, -call.cue_start)
            return int(rng.integers(-call.cue_start, last + 1))
        low, high = (POSITIVE_SHARE, 1.0) if positive else (-1.6, NEGATIVE_SHARE)
        inside = int(rng.uniform(low, high) * cue)
        if rng.random() < 0.5:
            return WINDOW_SAMPLES - call.cue_start - inside  # the end is cut off
        return inside - call.call_end  # the beginning is

    def _call(self) -> Sound:
        rng = self._rng
        made_up = not self._real or rng.random() < self._recipe.made_up_share
        store = self._made_up if made_up else self._real
        return store[rng.integers(len(store))]

    def _background(self) -> Audio:
        rng, draw = self._rng, self._rng.random()
        if not self._backgrounds or 0.6 <= draw < 0.75:
            return self._slice_of_noise()
        window = self._slice_of_background()
        if draw >= 0.75:
            level = np.sqrt(band_power(window) + 1e-10)
            window += self._slice_of_noise() * np.float32(level * _gain(rng, -10, 15))
        return window

    def _slice_of_noise(self) -> Audio:
        noise = self._noises[self._rng.integers(len(self._noises))]
        start = self._rng.integers(0, len(noise) - WINDOW_SAMPLES)
        return noise[start : start + WINDOW_SAMPLES].copy()

    def _slice_of_background(self) -> Audio:
        rng = self._rng
        audio = self._backgrounds[rng.choice(len(self._backgrounds), p=self._background_odds)].audio
        if len(audio) <= WINDOW_SAMPLES:
            window = np.zeros(WINDOW_SAMPLES, np.float32)
            window[: len(audio)] = audio
            return window
        speed = float(np.exp(rng.uniform(-0.22, 0.22))) if rng.random() < 0.4 else 1.0
        n = int(WINDOW_SAMPLES * speed) + 2
        if speed == 1.0 or n >= len(audio):
            start = rng.integers(0, len(audio) - WINDOW_SAMPLES + 1)
            return audio[start : start + WINDOW_SAMPLES].copy()
        start = rng.integers(0, len(audio) - n)
        return play_at_speed(audio[start : start + n], speed)[:WINDOW_SAMPLES]


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

    def windows(self, count: int) -> tuple[Audio, Audio]:
        """The next windows and labels: float32 ``[count, 48000]`` and ``[count, 1]``."""
        audio = np.zeros((count, WINDOW_SAMPLES), np.float32)
        labels = np.empty((count, 1), np.float32)
        for row in range(count):
            if not self._queue:
                self._queue = self._rng.permutation(len(self._rows)).tolist()
            example, start, labels[row, 0] = self._rows[self._queue.pop()]
            heard = example.audio[start : start + WINDOW_SAMPLES]
            audio[row, WINDOW_SAMPLES - len(heard) :] = heard  # the tutorial pads in front
        return audio, labels


def _odds(backgrounds: Sequence[Example]) -> npt.NDArray[np.float64]:
    """How often each background is drawn: by its length, a group's total by its square root.

    Recordings that share their background would otherwise drown the others.
    """
    lengths = np.array([len(e.audio) for e in backgrounds], dtype=float)
    totals: dict[str, float] = {}
    for example, length in zip(backgrounds, lengths, strict=True):
        totals[example.group] = totals.get(example.group, 0.0) + length
    odds = np.array(
        [
            length / np.sqrt(totals[example.group])
            for example, length in zip(backgrounds, lengths, strict=True)
        ]
    )
    return odds / odds.sum() if len(odds) else odds


def _lay(window: Audio, sound: Audio, place: int, gain: float) -> None:
    """Adds ``sound`` to ``window`` from sample ``place`` on, which may lie outside."""
    first, end = max(place, 0), min(place + len(sound), len(window))
    if end > first:
        window[first:end] += sound[first - place : end - place] * np.float32(gain)
