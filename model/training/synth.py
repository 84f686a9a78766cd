"""Recordings made of arithmetic: a forest, and Capuchinbird-like calls at known times.

They serve the demo, the tests and the benchmarks, which need recordings whose counts are known and
which may be published. The shapes (frequencies, levels, durations) follow measurements of real
calls; no real audio is in here.

What they prove is that a recording travels through the whole line without harm: decoding, windows,
scoring, counting. They say little about a model's skill, since these calls are cleaner and more
alike than those of living birds.

They are not made by ``sounds``, which makes what networks are trained on: a demo whose calls came
from there would only show that a network knows its own training material.

Everything is drawn from a seed: the same arguments give the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from model.training.sounds import Rng, add_sound
from model.windows import SAMPLE_RATE_HZ, Samples, samples_from_seconds

Reals = npt.NDArray[np.float64]

# gain(time in s [frames, 1], frequency in Hz [1, bins]) -> [frames, bins]
Gain = Callable[[Reals, Reals], Reals]

# A moo's harmonics follow this spectrum whatever its fundamental, as a resonance of the body does.
MOO_SPECTRUM_HZ = 135 * np.array([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18])
MOO_SPECTRUM_DB = (-30, -21, -18, -7, -2, -5, -4, -3, -2, 0, -13, -23, -31, -33, -45)
# The fundamental over the moo, as a share of its length and of its plateau: a quick rise, a plateau
# that sinks slowly, a drop at the end.
MOO_PITCH_AT = (0.0, 0.06, 0.5, 0.75, 0.87, 0.95, 1.0)
MOO_PITCH = (0.985, 1.0, 0.993, 0.98, 0.97, 0.945, 0.925)
# How long the growl sounds on under the moo, and how early the tail sets in under it.
GROWL_OVERLAP_S = 0.1
TAIL_OVERLAP_S = 0.15


@dataclass(frozen=True)
class CallVoice:
    """How one call sounds: dim lead-in, growl, moo, tail, in this order.

    A call's start, as in annotations, is the start of its growl: ``lead_in_s`` after the first
    sample of ``synthesise_call``. The seed decides the noise and the harmonics' exact levels.
    """

    fundamental_hz: float = 134.0
    lead_in_s: float = 1.2
    growl_s: float = 1.45
    moo_s: float = 2.0
    tail_s: float = 0.25
    seed: int = 0

    @property
    def call_s(self) -> float:
        """From the start of the growl to the end of the tail, in seconds."""
        return self.growl_s + self.moo_s + self.tail_s


def draw_voice(rng: Rng) -> CallVoice:
    """One bird's call, within the range of the calls that were measured."""
    return CallVoice(
        fundamental_hz=rng.uniform(130.0, 140.0),
        lead_in_s=rng.uniform(1.0, 1.4),
        growl_s=rng.uniform(1.3, 1.5),
        moo_s=rng.uniform(1.9, 2.15),
        tail_s=rng.uniform(0.2, 0.3),
        seed=int(rng.integers(2**31)),
    )


def synthesise_call(voice: CallVoice) -> Samples:
    """One call at 16 kHz, float32 ``[n]``, peak 1; n is lead-in, growl, moo and tail together."""
    rng = np.random.default_rng(voice.seed)
    growl_at = samples_from_seconds(voice.lead_in_s)
    moo_at = growl_at + samples_from_seconds(voice.growl_s)
    tail_at = moo_at + samples_from_seconds(voice.moo_s - TAIL_OVERLAP_S)
    call = np.zeros(samples_from_seconds(voice.lead_in_s + voice.call_s))
    # Levels as measured, against the moo's.
    for part, start, level_db in (
        (_harmonics(rng, _lead_in_pitch(voice), _lead_in_gain), 0, -28),
        (_growl(rng, voice), growl_at, -2),
        (_harmonics(rng, _moo_pitch(voice), _moo_gain), moo_at, 0),
        (_tail(rng, voice), tail_at, -6),
    ):
        add_sound(call, part * (_from_db(level_db) / _rms(part)), start)
    peak = float(np.abs(call).max())
    return (call / peak).astype(np.float32)


def synthesise_recording(
    duration_s: float,
    call_starts_s: Sequence[float],
    sample_rate_hz: int,
    channels: int,
    seed: int,
    call_level: float = 0.35,
    sounds_per_minute: float = 30.0,
) -> Samples:
    """A forest with calls, float32 ``[n, channels]``.

    A bed of noise with bands of insects, and on it, at random times, wind, rain and the voices of
    other animals, some of them near a Capuchinbird's in pitch.

    Args:
        duration_s: length of the recording.
        call_starts_s: when the growl of each call begins; its lead-in sounds before.
        sample_rate_hz: of the recording.
        channels: how many; what sounds reaches all of them, the first one loudest.
        seed: decides everything that the other arguments leave open.
        call_level: peak of a call, as a share of full scale. The forest's bed has an RMS of 0.02.
        sounds_per_minute: wind, rain and other animals.
    """
    rng = np.random.default_rng(seed)
    bed = _bed(rng, sample_rate_hz)
    sounds = np.zeros(round(duration_s * sample_rate_hz))
    for _ in range(rng.poisson(sounds_per_minute * duration_s / 60)):
        make = OTHER_SOUNDS[rng.integers(len(OTHER_SOUNDS))]
        add_sound(sounds, make(rng, sample_rate_hz), int(rng.integers(len(sounds))))
    rng = np.random.default_rng([seed, 1])  # of its own: calls do not change the forest
    for start_s in call_starts_s:
        voice = draw_voice(rng)
        call = soxr.resample(synthesise_call(voice), SAMPLE_RATE_HZ, sample_rate_hz)
        add_sound(sounds, call * call_level, round((start_s - voice.lead_in_s) * sample_rate_hz))
    recording = np.empty((len(sounds), channels), np.float32)
    for channel in range(channels):
        # Noise comes to each microphone in its own way. The same noise a little later would not
        # do: a mean of the channels would cancel it at evenly spaced frequencies, like harmonics.
        noise = np.roll(bed, channel * len(bed) // channels)
        recording[:, channel] = np.resize(noise, len(sounds)) + sounds * 0.8**channel
    return recording.clip(-1, 1)


# --- the parts of a call ---------------------------------------------------------


def _lead_in_pitch(voice: CallVoice) -> Reals:
    """Hz at every sample: nearly flat, some notes below the moo."""
    return np.linspace(0.88, 0.82, samples_from_seconds(voice.lead_in_s)) * voice.fundamental_hz


def _lead_in_gain(at: Reals, harmonic_hz: Reals) -> Reals:
    """A resonance that sinks from 1500 to 650 Hz over flat harmonics, fading in and out."""
    return _bell(harmonic_hz, 1500 - 850 * at, 180) * np.sqrt(_held(np.sin(np.pi * at)))


def _moo_pitch(voice: CallVoice) -> Reals:
    """Hz at every sample."""
    at = np.linspace(0, 1, samples_from_seconds(voice.moo_s))
    return np.interp(at, MOO_PITCH_AT, MOO_PITCH) * voice.fundamental_hz


def _moo_gain(at: Reals, harmonic_hz: Reals) -> Reals:
    """The measured spectrum; the upper harmonics fade over the second half."""
    level_db = np.interp(harmonic_hz, MOO_SPECTRUM_HZ, MOO_SPECTRUM_DB)
    fade_db = 14 * _held((at - 0.55) / 0.45) * _held((harmonic_hz - 850) / 250)
    edges = _held(at / 0.03) * _held((1 - at) / 0.05)
    return edges * _from_db(level_db - fade_db)


def _growl(rng: Rng, voice: CallVoice) -> Reals:
    """Noise in a band that rises from 520 to 780 Hz and swells, then gives way to the moo."""

    def gain(time_s: Reals, frequency_hz: Reals) -> Reals:
        at = time_s / voice.growl_s
        centre_hz = np.interp(at, (0.0, 0.1, 0.3, 0.9, 1.0), (520, 590, 640, 700, 780))
        width_hz = np.interp(at, (0.0, 0.1, 0.3, 1.0), (50, 110, 150, 170))
        level_db = np.interp(at, (-0.1, 0.0, 0.1, 0.3, 0.6, 1.0), (-50, -14, -6, -2, 0, 1))
        band = _bell(frequency_hz, centre_hz, width_hz)
        halo = 0.03 * _bell(frequency_hz, centre_hz + 250, 400)
        return _from_db(level_db) * _held((1.03 - at) / 0.06) * (band + halo)

    return _shaped_noise(rng, voice.growl_s + GROWL_OVERLAP_S, gain)


def _tail(rng: Rng, voice: CallVoice) -> Reals:
    """The end of the breath: a short burst of noise near 780 Hz."""
    duration_s = voice.tail_s + TAIL_OVERLAP_S

    def gain(time_s: Reals, frequency_hz: Reals) -> Reals:
        return np.sin(np.pi * _held(time_s / duration_s)) * _bell(frequency_hz, 780, 120)

    return _shaped_noise(rng, duration_s, gain)


def _harmonics(rng: Rng, pitch_hz: Reals, gain: Callable[[Reals, Reals], Reals]) -> Reals:
    """Multiples of a pitch up to 2400 Hz; ``gain(share of the length, Hz)``, both ``[n]``."""
    at = np.linspace(0, 1, len(pitch_hz))
    cycles = np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    total = np.zeros(len(pitch_hz))
    for multiple in range(2, int(2400 / pitch_hz.max()) + 1):
        level = _from_db(rng.normal(0, 1.5))
        wave = np.sin(2 * np.pi * (multiple * cycles + rng.uniform()))
        total += level * gain(at, multiple * pitch_hz) * wave
    return total


# --- the forest ------------------------------------------------------------------


def _bed(rng: Rng, rate_hz: int) -> Reals:
    """Noise that falls with frequency, and insects in bands; RMS 0.02.

    It is one period of 5 to 10 s, to be repeated: noise out of an inverse Fourier transform joins
    its own beginning without a seam.
    """
    period = 1 << (10 * rate_hz).bit_length() - 1  # a power of two, for speed
    frequency_hz = _frequencies(period, rate_hz)
    steady = 0.6 / np.sqrt(1 + (frequency_hz / 80) ** 2)
    steady[frequency_hz < 30] = 0
    shrill = np.zeros_like(steady)
    for centre_hz in rng.uniform(2600, 7000, size=3):
        width_hz = rng.uniform(100, 250)
        steady += rng.uniform(0.05, 0.4) * _bell(frequency_hz, centre_hz, width_hz)
        shrill += rng.uniform(0.05, 0.3) * _bell(frequency_hz, centre_hz + 900, width_hz)
    spectrum = _random_spectrum(rng, len(frequency_hz))
    hum = np.fft.irfft(spectrum * steady, period)
    chirr = np.fft.irfft(spectrum * shrill, period)
    # Cicadas swell and throb: whole numbers of throbs a period keep the loop seamless.
    turn = 2 * np.pi * np.arange(period) / period
    throb = 0.5 + 0.5 * np.sin(3 * turn) * (0.5 + 0.5 * np.sin(170 * turn))
    bed = hum + chirr * throb
    return bed * (0.02 / _rms(bed))


def _wind(rng: Rng, rate_hz: int) -> Reals:
    duration_s = rng.uniform(3, 7)
    return 0.06 * _burst(rng, duration_s, rate_hz, lambda f: 1 / (1 + (f / 120) ** 2))


def _rain(rng: Rng, rate_hz: int) -> Reals:
    duration_s = rng.uniform(3, 6)
    rain = _burst(rng, duration_s, rate_hz, lambda f: _held(f / 2500))
    drops = rng.uniform(2, 6, round(40 * duration_s))
    rain[rng.integers(len(rain), size=len(drops))] += drops
    return 0.02 * rain


def _whistle(rng: Rng, rate_hz: int) -> Reals:
    time_s = _times(rng.uniform(0.4, 1.1), rate_hz)
    slide_hz = rng.uniform(-600, 600) * time_s
    return 0.12 * _tone(rng.uniform(1900, 3500) + slide_hz, rate_hz) * _swell(time_s)


def _trill(rng: Rng, rate_hz: int) -> Reals:
    time_s = _times(rng.uniform(0.8, 2.0), rate_hz)
    beats = 2 * np.pi * rng.uniform(8, 20) * time_s
    tone = _tone(rng.uniform(2500, 5000) + 400 * np.sin(beats), rate_hz)
    return 0.1 * tone * _swell(time_s) * np.square(np.sin(beats / 2))


def _chirps(rng: Rng, rate_hz: int) -> Reals:
    """A series of quick falling notes."""
    note_s = _times(rng.uniform(0.06, 0.15), rate_hz)
    top_hz = rng.uniform(3000, 6500)
    note = _tone(top_hz * (1 - 0.5 * note_s / note_s[-1]), rate_hz) * _swell(note_s)
    return 0.15 * _series(note, int(rng.integers(3, 9)), rng.uniform(0.2, 0.5), rate_hz)


def _coos(rng: Rng, rate_hz: int) -> Reals:
    """A dove: low, smooth, nearly pure, a few in a row."""
    note_s = _times(rng.uniform(0.35, 0.7), rate_hz)
    pitch_hz = rng.uniform(380, 620) * (1 + 0.06 * np.sin(np.pi * note_s / note_s[-1]))
    note = (_tone(pitch_hz, rate_hz) + 0.1 * _tone(2 * pitch_hz, rate_hz)) * _swell(note_s)
    return 0.1 * _series(note, int(rng.integers(2, 6)), rng.uniform(0.9, 1.4), rate_hz)


def _thump(rng: Rng, rate_hz: int) -> Reals:
    """A blow that rings near 700 Hz: as low and as loud as a growl, but short."""
    time_s = _times(0.9, rate_hz)
    ring = _tone(np.full(len(time_s), rng.uniform(660, 740)), rate_hz) * np.exp(-time_s / 0.25)
    blow = _burst(rng, 0.9, rate_hz, lambda f: _bell(f, 750, 250)) * np.exp(-time_s / 0.12)
    return 0.12 * (ring + blow) * _held(time_s / 0.02)


def _frog(rng: Rng, rate_hz: int) -> Reals:
    """Pulses near 1.2 kHz, 12 to 25 a second."""
    pulse_s = _times(0.03, rate_hz)
    pulse = _tone(np.full(len(pulse_s), rng.uniform(1000, 1500)), rate_hz) * _swell(pulse_s)
    return 0.12 * _series(pulse, int(rng.integers(10, 30)), 1 / rng.uniform(12, 25), rate_hz)


def _short_note(rng: Rng, rate_hz: int) -> Reals:
    """A few flat harmonics like a moo's, but a fifth as long and an octave wider apart."""
    time_s = _times(rng.uniform(0.3, 0.5), rate_hz)
    pitch_hz = np.full(len(time_s), rng.uniform(290, 340))
    return 0.06 * sum(_tone(k * pitch_hz, rate_hz) / k for k in (1, 2, 4)) * _swell(time_s)


OTHER_SOUNDS: tuple[Callable[[Rng, int], Reals], ...] = (
    _wind,
    _rain,
    _whistle,
    _trill,
    _chirps,
    _coos,
    _thump,
    _frog,
    _short_note,
)


# --- tools -----------------------------------------------------------------------


def _shaped_noise(rng: Rng, duration_s: float, gain: Gain) -> Reals:
    """Noise at 16 kHz whose spectrum follows ``gain``: frames of 16 ms, overlapping by half."""
    frame, hop = 256, 128
    n = samples_from_seconds(duration_s)
    window = np.sin(np.pi * (np.arange(frame) + 0.5) / frame)
    noise = rng.standard_normal((n // hop + 3) * hop)
    frames = np.lib.stride_tricks.sliding_window_view(noise, frame)[::hop] * window
    time_s = np.arange(len(frames))[:, None] * hop / SAMPLE_RATE_HZ
    frequency_hz = _frequencies(frame, SAMPLE_RATE_HZ)[None, :]
    spectra = np.fft.rfft(frames, axis=1) * gain(time_s, frequency_hz)
    shaped = np.fft.irfft(spectra, frame, axis=1) * window
    # Each half frame meets the other half of its neighbour; the squared windows add up to one.
    return (shaped[1:, :hop] + shaped[:-1, hop:]).ravel()[:n]


def _burst(rng: Rng, duration_s: float, rate_hz: int, spectrum: Callable[[Reals], Reals]) -> Reals:
    """Noise with a spectrum that swells and dies away; RMS about 1 in its middle."""
    time_s = _times(duration_s, rate_hz)
    frequency_hz = _frequencies(len(time_s), rate_hz)
    shaped = _random_spectrum(rng, len(frequency_hz)) * spectrum(frequency_hz)
    noise = np.fft.irfft(shaped, len(time_s))
    return noise / _rms(noise) * np.sin(np.pi * time_s / duration_s)


def _random_spectrum(rng: Rng, n_bins: int) -> npt.NDArray[np.complex128]:
    return rng.standard_normal(n_bins) + 1j * rng.standard_normal(n_bins)


def _bell(frequency_hz: Reals, centre_hz: Reals | float, width_hz: Reals | float) -> Reals:
    """1 at the centre, 1/e one width away."""
    bell: Reals = np.exp(-(((frequency_hz - centre_hz) / width_hz) ** 2))
    return bell


def _held(values: Reals) -> Reals:
    """The values, held between 0 and 1."""
    held: Reals = np.clip(values, 0, 1)
    return held


def _from_db(level_db: Reals | float) -> Reals:
    """Decibels as a factor of amplitude."""
    return np.asarray(np.power(10.0, np.asarray(level_db) / 20))


def _tone(pitch_hz: Reals, rate_hz: int) -> Reals:
    return np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz)


def _swell(time_s: Reals) -> Reals:
    """0 at both ends, 1 in the middle, quick to rise."""
    return np.sqrt(_held(np.sin(np.pi * time_s / time_s[-1])))


def _series(note: Reals, count: int, every_s: float, rate_hz: int) -> Reals:
    """The same note ``count`` times, its starts ``every_s`` apart."""
    step = round(every_s * rate_hz)
    out = np.zeros(step * (count - 1) + len(note))
    for i in range(count):
        out[i * step : i * step + len(note)] += note
    return out


def _times(duration_s: float, rate_hz: int) -> Reals:
    return np.arange(round(duration_s * rate_hz)) / rate_hz


def _frequencies(n_samples: int, rate_hz: int) -> Reals:
    """In Hz, of the bins of ``np.fft.rfft``."""
    return np.fft.rfftfreq(n_samples, 1 / rate_hz).astype(np.float64)


def _rms(sound: Reals) -> float:
    return float(np.sqrt(np.mean(sound**2)))
