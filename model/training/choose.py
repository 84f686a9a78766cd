"""Counting rule and calibration, chosen on trials of networks that never heard the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.calls import CountingRule, log_odds, probabilities
from model.training.measure import call_figures, fit_log_odds
from model.training.trials import Trial, windows_of

TIE = 0.01
"""Thresholds this little worse than the best count as equally good: one recording in a hundred."""

LEAST_THRESHOLD = 0.5
"""Archives are mostly without calls, far more so than any validation set: never lower than even
odds, whatever the trials say."""


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


def choose(trials: Sequence[Trial]) -> Choice:
    """Calibration first, then the rule for calibrated scores."""
    scores, labels = windows_of(trials)
    slope, offset = fit_log_odds(log_odds(scores), labels)
    trials = [calibrated(t, slope, offset) for t in trials]
    rule = placed(CountingRule(threshold=_threshold(trials)), trials)
    peaks = [t.labelled_peaks(rule) for t in trials]
    evidence_slope, evidence_offset = fit_log_odds(
        np.concatenate([e for e, _ in peaks]), np.concatenate([y for _, y in peaks])
    )
    rule = replace(rule, evidence_slope=evidence_slope, evidence_offset=evidence_offset)
    return Choice(slope, offset, rule)


def calibrated(trial: Trial, slope: float, offset: float) -> Trial:
    """The trial as a network with this calibration would have scored it."""
    scores = probabilities(slope * log_odds(trial.scores) + offset)
    return replace(trial, scores=scores.astype(np.float32))


def _threshold(trials: Sequence[Trial]) -> float:
    """The middle of the thresholds that are best, all levels of noise counting alike."""
    levels = sorted({t.level_db for t in trials}, key=lambda level: (level is not None, level))
    candidates = probabilities(np.arange(0, 4.01, 0.25))
    candidates = candidates[candidates >= LEAST_THRESHOLD]
    worth = []
    for threshold in candidates:
        rule = CountingRule(threshold=float(threshold))
        figures = {
            level: call_figures([t.match(rule) for t in trials if t.level_db == level])
            for level in levels
        }
        worth.append(float(np.mean([f.f1 + f.exact_share for f in figures.values()])))
    best = np.flatnonzero(np.array(worth) >= max(worth) - TIE)
    return round(float(candidates[best[len(best) // 2]]), 3)


def placed(rule: CountingRule, trials: Sequence[Trial]) -> CountingRule:
    """The rule with call bounds as they lie in the annotations, seen from the detections."""
    before, after = [], []
    for trial in trials:
        if trial.level_db is not None:
            continue
        found = trial.match(rule)
        calls = trial.found(rule)
        for i, j in found.pairs:
            middle_s = calls[i].start_s + rule.before_s
            before.append(middle_s - trial.calls[j].start_s)
            after.append(trial.calls[j].end_s - middle_s)
    if not before:
        return rule
    return replace(
        rule,
        before_s=round(float(np.median(before)), 2),
        after_s=round(float(np.median(after)), 2),
    )
