"""Trials of a network on recordings: as they are, under noise of a known level, and choruses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calls import (
    Call,
    CountingRule,
    estimate_count,
    find_calls,
    peak_evidence,
    window_scores,
)
from model.scoring import Score, score_recording
from model.training.clips import Annotation, Example, Scene, cue_samples, window_label
from model.training.measure import Match, match_calls
from model.training.sounds import BAND_HZ, add_sound, band_power, coloured_noise, faded, onset_times
from model.windows import SAMPLE_RATE_HZ, Grid, Padding, Samples, Starts

NOISE_LEVELS_DB = (10, 0, -5, -10, -15)

CALLS_A_MINUTE = (4, 8, 12, 20)
CHORUS_GAP_S = 1.0
CHORUS_LEVEL_DB, CHORUS_SPREAD_DB = 15.0, 12.0
"""Of the loudest bird over the background; the others are up to so much fainter."""

WINDOW_HOP_SAMPLES = SAMPLE_RATE_HZ
"""Between the windows whose scores are held against labels."""


@dataclass(frozen=True)
class Subject:
    """A network to try: what it gives for inputs float32 ``[n, m]``, and how they are cut."""

    score: Score
    grid: Grid
    padding: Padding = "end"

    def scores(self, audio: Samples) -> tuple[Starts, Samples]:
        """First samples of what the scores of a recording are of, and they."""
        return score_recording(audio, self.score, self.grid, self.padding)


@dataclass(frozen=True)
class Trial:
    """Scores of one recording, with what is in it.

    Attributes:
        source, group: the recording and its background.
        level_db: call power over noise power in the band; None without noise added.
        a_minute: calls a minute of a chorus; None for a recording with its own calls.
        starts, scores: int64 and float32 ``[n]``.
        grid: where they lie.
        n_samples: length at 16 kHz.
        calls: what should be found.
        overlooked: calls that need not be found, such as those of a take that was trained on.
    """

    source: str
    group: str
    level_db: int | None
    a_minute: int | None
    starts: Starts
    scores: Samples
    grid: Grid
    n_samples: int
    calls: tuple[Annotation, ...]
    overlooked: tuple[Annotation, ...] = ()

    def found(self, rule: CountingRule) -> tuple[Call, ...]:
        """The calls that the rule makes of the scores."""
        return find_calls(self.starts, self.scores, rule, self.n_samples)

    def match(self, rule: CountingRule) -> Match:
        """Those calls held against the annotations."""
        return match_calls(self.found(rule), self.calls, self.overlooked)

    def labelled_windows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Scores and labels 0 or 1 of the windows that have one, float32 ``[m]`` each."""
        starts, scores = window_scores(
            self.starts, self.scores, self.grid, self.n_samples, WINDOW_HOP_SAMPLES
        )
        own, others = cue_samples(self.calls), cue_samples(self.overlooked)
        labels = [window_label(int(start), own) for start in starts]
        kept = [
            i
            for i, label in enumerate(labels)
            if label is not None and window_label(int(starts[i]), others) == 0
        ]
        return scores[kept], np.array([labels[i] for i in kept], np.float32)

    def labelled_peaks(
        self, rule: CountingRule
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Log odds of every peak of the scores, and whether it is a call, float ``[m]`` each.

        The strongest peaks are given their calls first, each the nearest within 1.5 s.
        """
        middles_s, evidence = peak_evidence(self.starts, self.scores, rule)
        labels, kept = np.zeros(len(evidence)), np.ones(len(evidence), bool)
        places_s = np.array([self._middle_s(a) for a in (*self.calls, *self.overlooked)])
        free = np.ones(len(places_s), bool)
        for peak in np.argsort(-evidence, kind="stable"):
            away_s = np.where(free, np.abs(places_s - middles_s[peak]), np.inf)
            if len(away_s) and away_s.min() <= 1.5:
                nearest = int(np.argmin(away_s))
                free[nearest] = False
                labels[peak], kept[peak] = 1, nearest < len(self.calls)
        return evidence[kept], labels[kept]

    def _middle_s(self, call: Annotation) -> float:
        """Where the peak of a call's scores belongs."""
        if self.grid.scores_windows:
            return (call.cue_start_s + call.end_s) / 2
        return call.cue_start_s


def run_trial(
    scene: Scene,
    subject: Subject,
    level_db: int | None = None,
    a_minute: int | None = None,
    wanted: Callable[[Annotation], bool] = lambda _: True,
) -> Trial:
    """Scores one recording. ``wanted`` says which of its calls should be found."""
    starts, scores = subject.scores(scene.audio)
    return Trial(
        source=scene.source,
        group=scene.group,
        level_db=level_db,
        a_minute=a_minute,
        starts=starts,
        scores=scores,
        grid=subject.grid,
        n_samples=len(scene.audio),
        calls=tuple(a for a in scene.annotations if wanted(a)),
        overlooked=tuple(a for a in scene.annotations if not wanted(a)),
    )


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
    wanted: Callable[[Annotation], bool] = lambda _: True,
) -> Scene:
    """A recording with calls under another recording's background and pink noise, equally strong.

    Args:
        scene: holds at least one wanted call.
        backgrounds: recordings without calls; one of another group is drawn where there is one.
        level_db: mean power of the scene in ``BAND_HZ`` during wanted calls, over that of what is
            added.
        rng: draws the background and the noise.
        wanted: the calls whose level counts.
    """
    audio, n = scene.audio, len(scene.audio)
    heard = in_band(audio)
    calls = [
        heard[round(a.start_s * SAMPLE_RATE_HZ) : round(a.end_s * SAMPLE_RATE_HZ)]
        for a in scene.annotations
        if wanted(a)
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


def noise_trials(
    scenes: Sequence[Scene],
    subject: Subject,
    seed: int,
    wanted: Callable[[Annotation], bool] = lambda _: True,
    levels_db: Sequence[int] = NOISE_LEVELS_DB,
) -> list[Trial]:
    """Every recording with a wanted call under noise of each level.

    The same seed gives the same mixtures whatever is scored.
    """
    backgrounds = [s for s in scenes if not s.annotations]
    trials = []
    for level_db in levels_db:
        rng = np.random.default_rng([seed, level_db + 1000])
        for scene in scenes:
            if any(wanted(a) for a in scene.annotations):
                mixed = under_noise(scene, backgrounds, level_db, rng, wanted)
                trials.append(run_trial(mixed, subject, level_db, wanted=wanted))
    return trials


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


def chorus_trials(
    scenes: Sequence[Scene],
    calls: Sequence[Example],
    subject: Subject,
    seed: int,
    a_minute: Sequence[int] = CALLS_A_MINUTE,
    noise_levels_db: Sequence[int] = NOISE_LEVELS_DB[:-1],
    most: int = 12,
) -> list[Trial]:
    """Choruses of each density on up to ``most`` backgrounds, as they are and under noise.

    On the backgrounds as they are, the loudest of four birds is ``CHORUS_LEVEL_DB`` above them and
    the others up to ``CHORUS_SPREAD_DB`` fainter. Under noise, half background and half pink
    noise, all are at the same level. The same seed gives the same mixtures whatever is scored.
    """
    quiet = [s for s in scenes if not s.annotations and s.audio.any()]
    if not calls or not quiet or not a_minute:
        return []
    chosen = [
        replace(s, audio=s.audio / np.float32(np.sqrt(band_power(s.audio))))
        for s in (quiet[i] for i in np.unique(np.linspace(0, len(quiet) - 1, most).astype(int)))
    ]
    rng = np.random.default_rng([seed, len(chosen)])
    pink = coloured_noise(rng, 1 << (max(len(s.audio) for s in chosen) - 1).bit_length(), 1.0)
    pink /= np.float32(np.sqrt(band_power(pink)))
    trials = []
    for density in a_minute:
        for noise_db in (None, *noise_levels_db):
            rng = np.random.default_rng([seed, density, 0 if noise_db is None else noise_db + 1000])
            for background in chosen:
                if noise_db is None:
                    levels_db = CHORUS_LEVEL_DB - rng.uniform(0, CHORUS_SPREAD_DB, 4)
                    scene = chorus(background, calls, density, levels_db.tolist(), rng)
                else:
                    noise = np.roll(pink, rng.integers(len(pink)))[: len(background.audio)]
                    mixed = replace(
                        background, audio=(background.audio + noise) / np.float32(2**0.5)
                    )
                    scene = chorus(mixed, calls, density, [noise_db] * 4, rng)
                trials.append(run_trial(scene, subject, noise_db, density))
    return trials


def conditions(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials by what was done to the recordings, the plain ones first.

    Names are such as ``at_-5_db``, ``8_a_minute`` and ``8_a_minute_at_-5_db``.
    """
    parts: dict[str, list[Trial]] = {}

    def order(trial: Trial) -> tuple[int, float]:
        level_db = trial.level_db
        return trial.a_minute or 0, -np.inf if level_db is None else -level_db

    for trial in sorted(trials, key=order):
        words = [] if trial.a_minute is None else [f"{trial.a_minute}_a_minute"]
        words += [] if trial.level_db is None else [f"at_{trial.level_db}_db"]
        parts.setdefault("_".join(words) or "as_recorded", []).append(trial)
    return parts


def windows_of(trials: Sequence[Trial]) -> tuple[Any, Any]:
    """Scores and labels of all labelled windows, float32 ``[n]`` each."""
    pairs = [t.labelled_windows() for t in trials]
    return np.concatenate([s for s, _ in pairs]), np.concatenate([y for _, y in pairs])


def interval_coverage(trials: Sequence[Trial], rule: CountingRule) -> float | None:
    """Share of recordings whose count lies in its 90 % interval."""
    inside = []
    for trial in trials:
        if not trial.overlooked:
            estimate = estimate_count(trial.starts, trial.scores, rule)
            inside.append(estimate.low <= len(trial.calls) <= estimate.high)
    return float(np.mean(inside)) if inside else None
