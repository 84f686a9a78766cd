"""Trials of a network on recordings: clean, and under noise of a known level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calls import Call, CountingRule, estimate_count, find_calls, peak_evidence
from model.training.clips import Annotation, Scene, cue_samples, window_label
from model.training.measure import Match, match_calls
from model.training.sounds import BAND_HZ, coloured_noise
from model.windows import SAMPLE_RATE_HZ, Padding, cut_windows, window_starts

Score = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Windows float32 ``[n, 48000]`` to scores float32 ``[n]``."""

NOISE_LEVELS_DB = (10, 0, -5, -10)


@dataclass(frozen=True)
class Trial:
    """Scores of one recording, with what is in it.

    Attributes:
        source, group: the recording and its background.
        level_db: call power over noise power in the band; None for the recording as it is.
        starts, scores: windows, int64 and float32 ``[n]``.
        n_samples: length at 16 kHz.
        calls: what should be found.
        overlooked: calls that need not be found, such as those of a take that was trained on.
    """

    source: str
    group: str
    level_db: int | None
    starts: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
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
        own, others = cue_samples(self.calls), cue_samples(self.overlooked)
        labels = [window_label(int(start), own) for start in self.starts]
        kept = [
            i
            for i, label in enumerate(labels)
            if label is not None and window_label(int(self.starts[i]), others) == 0
        ]
        return self.scores[kept], np.array([labels[i] for i in kept], np.float32)

    def labelled_peaks(
        self, rule: CountingRule
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Log odds of every peak of the scores, and whether it is a call, float ``[m]`` each."""
        middles_s, evidence = peak_evidence(self.starts, self.scores, rule)
        cues_s = np.array([(a.cue_start_s + a.end_s) / 2 for a in self.calls])
        others_s = np.array([(a.cue_start_s + a.end_s) / 2 for a in self.overlooked])
        labels = np.zeros(len(evidence))
        kept = np.ones(len(evidence), bool)
        for cue_s in cues_s:  # the strongest peak near a call is that call, others are not
            near = np.flatnonzero(np.abs(middles_s - cue_s) <= 2.0)
            if len(near):
                labels[near[np.argmax(evidence[near])]] = 1
        for cue_s in others_s:
            kept &= (np.abs(middles_s - cue_s) > rule.min_separation_s) | (labels == 1)
        return evidence[kept], labels[kept]


def score_audio(
    audio: npt.NDArray[np.float32], score: Score, hop_s: float, padding: Padding
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Window starts and scores of a whole recording, mono at 16 kHz."""
    starts = window_starts(len(audio), round(hop_s * SAMPLE_RATE_HZ))
    parts = [
        score(cut_windows(audio, starts[i : i + 256], padding)) for i in range(0, len(starts), 256)
    ]
    return starts, np.concatenate(parts) if parts else np.zeros(0, np.float32)


def run_trial(
    scene: Scene,
    score: Score,
    hop_s: float,
    level_db: int | None = None,
    wanted: Callable[[Annotation], bool] = lambda _: True,
    padding: Padding = "end",
) -> Trial:
    """Scores one recording. ``wanted`` says which of its calls should be found."""
    starts, scores = score_audio(scene.audio, score, hop_s, padding)
    return Trial(
        source=scene.source,
        group=scene.group,
        level_db=level_db,
        starts=starts,
        scores=scores,
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
    score: Score,
    hop_s: float,
    seed: int,
    wanted: Callable[[Annotation], bool] = lambda _: True,
    levels_db: Sequence[int] = NOISE_LEVELS_DB,
    padding: Padding = "end",
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
                trials.append(run_trial(mixed, score, hop_s, level_db, wanted, padding))
    return trials


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
