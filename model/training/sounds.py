"""Sounds to mix: calls from afar or at another speed, calls and other sounds made of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.windows import SAMPLE_RATE_HZ, Samples

BAND_HZ = (350.0, 1800.0)
"""Where the call lies. Levels of call against background are ratios of mean power in this band."""

HOARSE_SHARE = 0.06
"""Of calls to learn from whose moo is made hoarse; of 159 clips of real birds, 2 are."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Sound:
    """A call with the samples where the call and its cue start and end; its power is 1 in band."""

    audio: Samples = field(repr=False)
    call_start: int
    cue_start: int
    call_end: int


def band_power(audio: npt.NDArray[np.floating]) -> float:
    """Mean power in ``BAND_HZ``, of float ``[n]``."""
    n = len(audio) + -len(audio) % 4096  # a length the transform is quick at
    first, end = (int(f * n / SAMPLE_RATE_HZ) for f in BAND_HZ)
    spectrum = np.fft.rfft(audio, n)[first:end]
    return float(2 * np.sum(np.abs(spectrum) ** 2) / (n * max(1, len(audio))))


def play_at_speed(audio: Samples, factor: float) -> Samples:
    """``audio`` played ``factor`` times as fast: shorter and higher when above 1.

    Linear interpolation is enough: its error lies above what the front end hears.
    """
    n = int(len(audio) / factor)
    faster = np.interp(np.arange(n) * factor, np.arange(len(audio)), audio)
    return np.asarray(faster, np.float32)


def faded(audio: Samples, seconds: float) -> Samples:
    """``audio`` with its first and last ``seconds`` faded in and out."""
    audio = audio.copy()
    n = min(round(seconds * SAMPLE_RATE_HZ), len(audio) // 3)
    ramp = np.sin(np.linspace(0, np.pi / 2, n, dtype=np.float32)) ** 2
    audio[:n] *= ramp
    audio[len(audio) - n :] *= ramp[::-1]
    return audio


def add_sound(onto: npt.NDArray[np.floating], sound: npt.NDArray[np.floating], start: int) -> None:
    """Add a sound in place; what lies before the beginning or after the end is lost."""
    first, last = max(start, 0), min(start + len(sound), len(onto))
    if first < last:
        onto[first:last] += sound[first - start : last - start]


def onset_times(
    rng: Rng, first_s: float, end_s: float, a_minute: float, gap_s: float
) -> list[float]:
    """Times at random (Poisson) of some rate, but never closer than ``gap_s``, in seconds."""
    times: list[float] = []
    # Waiting times of at least the gap, their mean as the rate wants it where that can be.
    mean_s = max(60 / a_minute - gap_s, 0.05)
    time_s = first_s + rng.exponential(60 / a_minute)
    while time_s < end_s:
        times.append(time_s)
        time_s += gap_s + rng.exponential(mean_s)
    return times


def hoarse(rng: Rng, moo: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """A moo whose harmonics run into each other, as some birds' do: noise where the lines were.

    Multiplied by slow noise, each harmonic becomes a band about as wide as their distance.
    """
    n = len(moo) + -len(moo) % 1000
    width_hz = rng.uniform(30, 120)
    slow = np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ) < width_hz
    noise = rng.standard_normal(len(slow)) + 1j * rng.standard_normal(len(slow))
    modulation = np.fft.irfft(noise * slow, n)[: len(moo)]
    blurred = moo * modulation / (modulation.std() + 1e-12)
    return np.asarray(blurred + moo * rng.uniform(0, 0.5))


def coloured_noise(rng: Rng, n: int, slope: float) -> Samples:
    """Noise whose power falls as frequency to the ``slope`` (0 white, 1 pink, 2 brown), rms 1."""
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE_HZ), 60.0)
    spectrum = rng.standard_normal(n // 2 + 1) + 1j * rng.standard_normal(n // 2 + 1)
    noise = np.fft.irfft(spectrum * frequency ** (-slope / 2), n)
    return np.asarray(noise / noise.std(), np.float32)


def from_afar(
    rng: Rng, audio: Samples, reverb_s: float, lowpass_hz: float, tilt_db: float
) -> Samples:
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
        echo *= gain_between(rng, -10, 3) / np.sqrt(np.sum(echo**2))
        echo[0] += 1
        spectrum = spectrum * np.fft.rfft(echo, n)
    return np.fft.irfft(spectrum, n)[: len(audio)].astype(np.float32)


def gain_between(rng: Rng, low_db: float, high_db: float) -> float:
    """A factor between two levels, uniform in decibels."""
    return float(10 ** (rng.uniform(low_db, high_db) / 20))


def curve(
    n: int, values: npt.ArrayLike, places: Sequence[float] | None = None
) -> npt.NDArray[np.float64]:
    """``n`` numbers along straight lines between values at places 0 to 1, evenly unless given.

    >>> curve(4, [0, 1, 1]).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    values = np.asarray(values)
    even = np.linspace(0, 1, len(values))
    return np.asarray(np.interp(np.arange(n) / n, even if places is None else places, values))


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
    1.8 s, moo 1.5 to 2.8 s. Some moos are hoarse.
    """
    rate = SAMPLE_RATE_HZ
    before_s, growl_s, moo_s = 2.2, rng.uniform(0.8, 1.8), rng.uniform(1.5, 2.8)
    audio = np.zeros(int((before_s + growl_s + moo_s + 1.0) * rate))
    spacing_hz = rng.uniform(105, 185)

    moo_start, n_moo = int((before_s + growl_s) * rate), int(moo_s * rate)
    sag = rng.uniform(0, 0.09)
    bend = [rng.uniform(0.85, 1), 1, 1, 1 - sag / 4, 1 - sag]
    pitch = curve(n_moo, bend, [0, 0.03, 0.15, 0.6, 1])
    low_hz, high_hz, offset_hz = rng.uniform([250, 1200, -60], [420, 2000, 60])
    moo = _harmonics(rng, spacing_hz * pitch, low_hz, high_hz, offset_hz)
    loudness = [0.3, 1, rng.uniform(0.7, 1.2), rng.uniform(0.4, 1), 0]
    if rng.random() < HOARSE_SHARE:
        moo = hoarse(rng, moo)
    audio[moo_start : moo_start + n_moo] = moo * curve(n_moo, loudness, [0, 0.03, 0.5, 0.95, 1])

    growl_start, n_growl = int(before_s * rate), int(growl_s * rate)
    growl = _band_noise(rng, n_growl, rng.uniform(350, 500), rng.uniform(750, 1000))
    growl *= curve(n_growl, [0, rng.uniform(0.4, 0.9), 1, 0.6], [0, 0.2, 0.9, 1])
    audio[growl_start : growl_start + n_growl] += growl * gain_between(rng, -8, 3)

    if rng.random() < 0.7:
        n = int(rng.uniform(0.15, 0.4) * rate)
        burst = _band_noise(rng, n, 400, 1000) * np.hanning(n) * gain_between(rng, -6, 2)
        start = moo_start + n_moo - n // 2
        audio[start : start + n] += burst
    if rng.random() < 0.6:
        n = int(rng.uniform(0.5, 1.2) * rate)
        falling = spacing_hz * curve(n, [rng.uniform(0.95, 1.3), 0.85])
        lead_in = _harmonics(rng, falling, 600, 1500) * np.hanning(n) * gain_between(rng, -25, 0)
        start = int((before_s - rng.uniform(0, 0.5)) * rate) - n
        audio[start : start + n] += lead_in
    call_end = moo_start + n_moo
    return Sound(audio.astype(np.float32), growl_start, moo_start, call_end)


def other_sound(rng: Rng) -> Samples:
    """A made-up sound that is no call, of one of twelve kinds, 0.3 to 22 s long, peak 1."""
    n = int(rng.uniform(0.3, 5.0) * SAMPLE_RATE_HZ)
    kinds = (
        *(_tones, _whistles, _chorus, _chorus, _pulses, _held),
        *(_engine, _engine, _bursts, _notes, _growls, _blows, _tune),
    )
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
        total[start : start + length] += make(length) * gain_between(rng, -12, 0)
    return total


def _tones(rng: Rng, n: int) -> _Wave:
    time_s = np.arange(n) / SAMPLE_RATE_HZ
    return _scattered(
        rng, n, 4, (4, 5), lambda k: np.cos(2 * np.pi * rng.uniform(250, 1900) * time_s[:k])
    )


def _whistles(rng: Rng, n: int) -> _Wave:
    def whistle(k: int) -> _Wave:
        steps_hz = rng.uniform(300, 1900) + rng.normal(0, 200, 4)
        pitch_hz = curve(k, steps_hz)
        return np.asarray(np.cos(2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ) * np.hanning(k))

    return _scattered(rng, n, 6, (0.1, 1.0), whistle)


def _chorus(rng: Rng, n: int) -> _Wave:
    """Mammals: harmonics whose pitch moves, several at a time."""

    def voice(k: int) -> _Wave:
        moves = np.cumsum(rng.normal(0, rng.uniform(0.06, 0.25), 5))
        pitch_hz = rng.uniform(80, 500) * np.exp(curve(k, moves))
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
    """A hum longer than a call: harmonics as flat as a moo's, which stay or come and go slowly."""
    del n
    n = int(rng.uniform(4.5, 22) * SAMPLE_RATE_HZ)
    ranges_hz = ((20, 100), (110, 180), (110, 180), (180, 500))
    spacing_hz = rng.uniform(*ranges_hz[rng.integers(4)])
    wobble = 0.01 * curve(n, rng.normal(0, 1, 12))
    hum = _harmonics(rng, spacing_hz * (1 + wobble), 200, 2200)
    return hum * curve(n, rng.uniform(0, 1, 6)) if rng.random() < 0.5 else hum


def _held(rng: Rng, n: int) -> _Wave:
    """Voices held for a moo's length or longer, harmonics as flat but further apart than any."""
    del n
    n = int(rng.uniform(1.5, 8) * SAMPLE_RATE_HZ)
    pitch = curve(n, [rng.uniform(0.9, 1), 1, 1, rng.uniform(0.93, 1.02)], [0, 0.03, 0.6, 1])
    voice = _harmonics(rng, rng.uniform(240, 420) * pitch, 200, 2500)
    return voice * curve(n, [0.3, 1, *rng.uniform(0.4, 1, 3), 0], [0, 0.02, 0.3, 0.6, 0.9, 1])


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


def _tune(rng: Rng, n: int) -> _Wave:
    """Music: notes and chords of steady pitch, one after another, some of them held."""
    del n
    steps = 2 ** (np.arange(-12, 13) / 12) * rng.uniform(110, 440)
    beat_s, notes = rng.uniform(0.12, 0.9), []
    for _ in range(rng.integers(4, 16)):
        k = int(beat_s * rng.choice([1, 1, 2, 4]) * SAMPLE_RATE_HZ)
        pitches_hz = rng.choice(steps, rng.integers(1, 4), replace=False)
        chord = sum((_harmonics(rng, np.full(k, hz), 100, 2500) for hz in pitches_hz), np.zeros(k))
        loudness = curve(k, [0, 1, rng.uniform(0, 1), 0], [0, 0.03, 0.9, 1])
        notes.append(chord * loudness * gain_between(rng, -10, 0))
    return np.concatenate(notes)[: 12 * SAMPLE_RATE_HZ]


def _blows(rng: Rng, n: int) -> _Wave:
    """Pile driving, hammering, doors: the same ringing blow again and again."""
    ring_s = rng.uniform(0.1, 1.2)
    time_s = np.arange(int(2 * ring_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    blow = _band_noise(rng, len(time_s), rng.uniform(100, 500), rng.uniform(700, 3000))
    blow *= gain_between(rng, -20, 0)
    for _ in range(rng.integers(1, 8)):
        phase = rng.uniform(0, 2 * np.pi)
        blow = blow + np.cos(2 * np.pi * rng.uniform(200, 2000) * time_s + phase) * rng.random()
    blow *= np.exp(-6.9 * time_s / ring_s / rng.uniform(0.5, 1))
    every = int(rng.uniform(0.4, 2.5) * SAMPLE_RATE_HZ)
    total = np.zeros(max(n, 4 * every) + len(blow))
    for start in range(0, len(total) - len(blow), every):
        total[start : start + len(blow)] += blow * gain_between(rng, -3, 0)
    return total


def _growls(rng: Rng, n: int) -> _Wave:
    low_hz = rng.uniform(300, 700)
    noise = _band_noise(rng, n, low_hz, low_hz + rng.uniform(200, 700))
    return np.asarray(noise * np.hanning(n) ** rng.uniform(0.2, 1))
