"""Counting rule and calibration, chosen on trials of networks that never heard the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.calls import MOO_S, CountingRule, Floats, log_odds, probabilities
from model.training.expectation import fit_evidence
from model.training.measure import call_figures, fit_log_odds
from model.training.separation import separation
from model.training.trials import Trial, conditions, windows_of
from model.windows import SAMPLE_RATE_HZ, Grid

SEPARATIONS_S = (0.9, 0.6, 1.2)
"""Of onsets: what is tried, in order of preference."""

TIE = 0.01
"""Thresholds this little worse than the best are as good: one recording in a hundred."""

EDGE = 0.25
"""Share of the gap between calls and other sounds that the threshold keeps from either side."""

LEAST_THRESHOLD = 0.5
"""Never lower than even odds, whatever the trials say."""


@dataclass(frozen=True)
class Choice:
    """What the trials say.

    Attributes:
        slope, offset: of the calibration: calibrated log odds = slope × log odds + offset.
        rule: for calibrated scores.
    """

    slope: float
    offset: float
    rule: CountingRule


def rule_without_trials(grid: Grid) -> CountingRule:
    """A rule that fits a network of a grid, where nothing says which is best."""
    if grid.scores_windows:
        return CountingRule(0.5)
    step_s = grid.step_samples / SAMPLE_RATE_HZ
    return CountingRule(0.5, step_s, 0.0, SEPARATIONS_S[0], before_s=1.3, after_s=MOO_S)


def choose(trials: Sequence[Trial]) -> Choice:
    """Calibration first, then the rule for calibrated scores.

    Scores of windows are calibrated on windows; scores of onsets on their peaks, which are what
    becomes a call.
    """
    rules = [rule_without_trials(trials[0].grid)]
    if trials[0].grid.scores_windows:
        scores, labels = windows_of(trials)
        slope, offset = fit_log_odds(log_odds(scores), labels)
    else:
        rules = [replace(rules[0], min_separation_s=apart_s) for apart_s in SEPARATIONS_S]
        slope, offset = fit_log_odds(*peaks_of(trials, rules[0]))
    trials = [calibrated(t, slope, offset) for t in trials]
    rule = placed(_best(rules, trials), trials)
    return Choice(slope, offset, replace(rule, evidence=fit_evidence(trials, rule)))


def peaks_of(trials: Sequence[Trial], rule: CountingRule) -> tuple[Floats, Floats]:
    """Log odds of all labelled peaks, and whether they are calls, float ``[n]`` each."""
    peaks = [t.labelled_peaks(rule) for t in trials]
    return np.concatenate([e for e, _ in peaks]), np.concatenate([y for _, y in peaks])


def calibrated(trial: Trial, slope: float, offset: float) -> Trial:
    """The trial as a network with this calibration would have scored it."""
    scores = probabilities(slope * log_odds(trial.scores) + offset)
    return replace(trial, scores=scores.astype(np.float32))


def _best(rules: Sequence[CountingRule], trials: Sequence[Trial]) -> CountingRule:
    """The best of the rules, with a threshold amid those that are as good.

    Where calls as recorded stand apart from all other sounds, it lies in the gap between them:
    either side may turn out to reach further in other places. Never at an edge.
    """
    candidates = probabilities(np.arange(0, 5.01, 0.25))
    candidates = candidates[candidates >= LEAST_THRESHOLD]
    parts = list(conditions(trials).values())
    worth = np.array(
        [[_worth(replace(r, threshold=float(t)), parts) for t in candidates] for r in rules]
    )
    best = int(np.argmax(worth.max(axis=1)))
    equal = log_odds(candidates[worth[best] >= worth[best].max() - TIE])
    middle = float(equal[0] + equal[-1]) / 2
    gap = separation([t for t in trials if t.as_recorded], rules[best])
    if gap.margin > 0:
        edges = gap.other_high + gap.margin * EDGE, gap.call_low - gap.margin * EDGE
        middle = min(max(middle, edges[0]), edges[1])
    middle = max(middle, float(log_odds(LEAST_THRESHOLD)))
    return replace(rules[best], threshold=round(float(probabilities(middle)), 4))


def _worth(rule: CountingRule, parts: Sequence[Sequence[Trial]]) -> float:
    """Mean F1 over the conditions, and the share of exact counts in the first, as recorded.

    Of a chorus under noise nobody expects an exact count.
    """
    figures = [call_figures([t.match(rule) for t in part]) for part in parts]
    return float(np.mean([totals.f1 for totals in figures])) + figures[0].exact_share


def placed(rule: CountingRule, trials: Sequence[Trial]) -> CountingRule:
    """The rule with call bounds as they lie in the annotations, seen from the detections."""
    before, after = [], []
    for trial in trials:
        if not trial.as_recorded or not trial.complete:
            continue
        calls = trial.found(rule)
        for i, j in trial.match(rule).pairs:
            before.append(calls[i].peak_s - trial.calls[j].start_s)
            after.append(trial.calls[j].end_s - calls[i].peak_s)
    if not before:
        return rule
    return replace(
        rule,
        before_s=round(float(np.median(before)), 2),
        after_s=round(float(np.median(after)), 2),
    )
