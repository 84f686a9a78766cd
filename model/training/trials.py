"""Trials of a network on recordings: as they are, under noise of a known level, and as leks."""

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
from model.training.folds import LONG_S
from model.training.measure import Match, match_calls
from model.training.mixtures import (
    CHORUS_LEVEL_DB,
    CHORUS_SPREAD_DB,
    LEK_BIRDS,
    chorus,
    lek,
    under_noise,
)
from model.training.sounds import band_power, coloured_noise
from model.windows import SAMPLE_RATE_HZ, Grid, Padding, Samples, Starts

NOISE_LEVELS_DB = (10, 0, -5, -10, -15)

CALLS_A_MINUTE = (4, 8, 12, 20)
"""Of choruses, which are laid over backgrounds as they are and under noise."""

LEK_CALLS_A_MINUTE = (2, 8, 16)
"""Of leks, whose calls are clips."""

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
        complete: whether ``calls`` and ``overlooked`` are all that there are.
        of_clips: whether its calls are clips laid over it.
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
    complete: bool = True
    of_clips: bool = False

    @property
    def is_clip(self) -> bool:
        """Whether it is a clip, not a recording."""
        return self.n_samples < LONG_S * SAMPLE_RATE_HZ

    @property
    def as_recorded(self) -> bool:
        """Whether nothing was done to it."""
        return self.level_db is None and self.a_minute is None

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.n_samples / SAMPLE_RATE_HZ

    def with_calls_of(self, take: str) -> Trial:
        """The trial with one bird's calls to find; all others need not be found."""
        own = tuple(a for a in self.calls if a.take == take)
        rest = tuple(a for a in self.calls if a.take != take)
        return replace(self, calls=own, overlooked=(*self.overlooked, *rest))

    def found(self, rule: CountingRule) -> tuple[Call, ...]:
        """The calls that the rule makes of the scores."""
        return find_calls(self.starts, self.scores, rule, self.n_samples)

    def match(self, rule: CountingRule) -> Match:
        """Those calls held against the annotations."""
        match = match_calls(self.found(rule), self.calls, self.overlooked)
        return match if self.complete else replace(match, false=())

    def labelled_windows(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Scores and labels 0 or 1 of the windows that have one, float32 ``[m]`` each.

        Of a recording whose calls are not all annotated, only the windows with a call have one.
        """
        starts, scores = window_scores(
            self.starts, self.scores, self.grid, self.n_samples, WINDOW_HOP_SAMPLES
        )
        own, others = cue_samples(self.calls), cue_samples(self.overlooked)
        labels = [window_label(int(start), own) for start in starts]
        kept = [
            i
            for i, label in enumerate(labels)
            if label is not None
            and (label == 1 or self.complete)
            and window_label(int(starts[i]), others) == 0
        ]
        return scores[kept], np.array([labels[i] for i in kept], np.float32)

    def labelled_peaks(
        self, rule: CountingRule
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Log odds of every peak of the scores, and whether it is a call, float ``[m]`` each.

        Peaks without a label, in a recording whose calls are not all annotated, are left out. The
        strongest peaks are given their calls first, each the nearest within 1.5 s.
        """
        middles_s, evidence = peak_evidence(self.starts, self.scores, rule)
        labels, kept = np.zeros(len(evidence)), np.full(len(evidence), self.complete)
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
    to_find: Callable[[Annotation], bool] = lambda _: True,
) -> Trial:
    """Scores one recording. ``to_find`` says which of its calls those are that count."""
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
        calls=tuple(a for a in scene.annotations if to_find(a)),
        overlooked=tuple(a for a in scene.annotations if not to_find(a)),
        complete=scene.complete,
    )


def all_trials(
    scenes: Sequence[Scene],
    calls: Sequence[Example],
    subject: Subject,
    seed: int,
    to_find: Callable[[Annotation], bool] = lambda _: True,
    noise_levels_db: Sequence[int] = NOISE_LEVELS_DB,
    calls_a_minute: Sequence[int] = CALLS_A_MINUTE,
) -> list[Trial]:
    """A network tried on recordings as they are, under noise, and on choruses and leks.

    Where there are recordings, noise is laid over these alone, and clips are tried as they are and
    in leks; calls of recordings make choruses.

    Args:
        scenes: recordings, their backgrounds unknown to the network.
        calls: calls unknown to the network, for choruses and leks.
        subject: the network.
        seed: decides the mixtures.
        to_find: which of the scenes' calls should be found.
        noise_levels_db, calls_a_minute: of the conditions.
    """
    long = [s for s in scenes if len(s.audio) >= LONG_S * SAMPLE_RATE_HZ]
    clips = {s.source for s in scenes if not s.complete}
    of_clips = [c for c in calls if c.source in clips]
    of_recordings = [c for c in calls if c.source not in clips]
    choruses = (subject, seed, calls_a_minute, noise_levels_db[:-1])
    return [
        *(run_trial(s, subject, to_find=to_find) for s in scenes),
        *noise_trials(long or scenes, subject, seed, to_find, noise_levels_db),
        *chorus_trials(long, of_recordings, *choruses),
        *(lek_trials(long, of_clips, subject, seed) if calls_a_minute else ()),
    ]


def noise_trials(
    scenes: Sequence[Scene],
    subject: Subject,
    seed: int,
    to_find: Callable[[Annotation], bool] = lambda _: True,
    levels_db: Sequence[int] = NOISE_LEVELS_DB,
) -> list[Trial]:
    """Every recording with a call to find under noise of each level.

    The same seed gives the same mixtures whatever is scored.
    """
    backgrounds = [s for s in scenes if not s.annotations]
    trials = []
    for level_db in levels_db:
        rng = np.random.default_rng([seed, level_db + 1000])
        for scene in scenes:
            if any(to_find(a) for a in scene.annotations):
                mixed = under_noise(scene, backgrounds, level_db, rng, to_find)
                trials.append(run_trial(mixed, subject, level_db, to_find=to_find))
    return trials


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


def lek_trials(
    scenes: Sequence[Scene],
    calls: Sequence[Example],
    subject: Subject,
    seed: int,
    calls_a_minute: Sequence[int] = LEK_CALLS_A_MINUTE,
    count: int = 12,
) -> list[Trial]:
    """``count`` leks of each density, each of ``LEK_BIRDS`` birds where there are so many.

    Args:
        scenes: recordings; those without calls are the backgrounds, in turn.
        calls: clips of birds.
        subject, seed: as for ``chorus_trials``.
        calls_a_minute: of each lek.
        count: leks of each density.
    """
    quiet = [s for s in scenes if not s.annotations and s.audio.any()]
    takes = sorted({c.take for c in calls})
    if not quiet or not takes:
        return []
    trials = []
    for a_minute in calls_a_minute:
        for i in range(count):
            rng = np.random.default_rng([seed, 7000 * a_minute + i])
            chosen = rng.choice(len(takes), min(LEK_BIRDS, len(takes)), replace=False)
            birds = [[c for c in calls if c.take == takes[k]] for k in chosen]
            scene = lek(quiet[i % len(quiet)], birds, a_minute, rng)
            trial = run_trial(scene, subject, a_minute=a_minute)
            trials.append(replace(trial, of_clips=True))
    return trials


def conditions(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials by what was done to the recordings, the plain ones first.

    Names are such as ``as_recorded``, ``clips``, ``at_-5_db``, ``8_a_minute``,
    ``8_a_minute_at_-5_db`` and ``8_a_minute_of_clips``.
    """
    parts: dict[str, list[Trial]] = {}

    def order(trial: Trial) -> tuple[int, int, float, bool]:
        level_db = trial.level_db
        clean = -np.inf if level_db is None else -level_db
        return int(trial.of_clips), trial.a_minute or 0, clean, trial.is_clip

    for trial in sorted(trials, key=order):
        words = [] if trial.a_minute is None else [f"{trial.a_minute}_a_minute"]
        words += ["of_clips"] if trial.of_clips else []
        words += [] if trial.level_db is None else [f"at_{trial.level_db}_db"]
        plain = "clips" if trial.is_clip else "as_recorded"
        parts.setdefault("_".join(words) or plain, []).append(trial)
    return parts


def recordings_among(trials: Sequence[Trial]) -> list[Trial]:
    """Those that are no clips, or all where there are only clips."""
    return [t for t in trials if not t.is_clip] or list(trials)


def windows_of(trials: Sequence[Trial]) -> tuple[Any, Any]:
    """Scores and labels of all labelled windows, float32 ``[n]`` each."""
    pairs = [t.labelled_windows() for t in trials]
    return np.concatenate([s for s, _ in pairs]), np.concatenate([y for _, y in pairs])


@dataclass(frozen=True)
class IntervalFigures:
    """Expected calls and their 90 % intervals held against the truth, means over recordings.

    Attributes:
        coverage: share of the recordings whose number of calls lies in its interval.
        width: of the intervals, in calls.
        expected, true: calls in a recording.
        expected_an_hour: calls.
    """

    coverage: float
    width: float
    expected: float
    true: float
    expected_an_hour: float


def interval_figures(trials: Sequence[Trial], rule: CountingRule) -> IntervalFigures | None:
    """None where no trial says how many calls there are, or the rule expects nothing."""
    rows = []
    for trial in trials:
        if trial.overlooked or not trial.complete:
            continue
        if estimate := estimate_count(trial.starts, trial.scores, rule):
            n, hours = len(trial.calls), trial.duration_s / 3600
            inside = estimate.low <= n <= estimate.high
            rows.append((inside, estimate.high - estimate.low, estimate.mean, n, hours))
    if not rows:
        return None
    coverage, width, expected, true, hours = np.mean(np.array(rows, np.float64), axis=0).tolist()
    return IntervalFigures(coverage, width, expected, true, expected / max(hours, 1e-9))
