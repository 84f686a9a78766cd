"""How far calls stand apart from everything else, in log odds, on birds and places left out.

A share of right answers says nothing once it is 1.00. The distance between the faintest calls and
the most call-like other sounds still does, and the threshold has to lie in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.calls import CountingRule, Floats, log_odds
from model.training.trials import Trial

CALLS_PERCENTILE, OTHERS_PERCENTILE = 1.0, 99.9
"""Of calls' peaks and of all other peaks: single ones may be mistakes of the annotation."""

FLOOR = -8.0
"""Log odds of a call that has no peak, and of other sounds where there is none."""


@dataclass(frozen=True)
class Separation:
    """Log odds of calls and of everything else.

    Attributes:
        call_low, other_high: the ``CALLS_PERCENTILE`` and ``OTHERS_PERCENTILE``.
        call_least, other_most: the extremes.
    """

    call_low: float
    other_high: float
    call_least: float
    other_most: float

    @property
    def margin(self) -> float:
        """How wide the gap is; below 0 there is none."""
        return self.call_low - self.other_high

    def figures(self) -> dict[str, float]:
        """For the contract; nothing without calls."""
        if np.isnan(self.call_low):
            return {}
        return {
            "margin": self.margin,
            "margin_of_extremes": self.call_least - self.other_most,
            "call_low": self.call_low,
            "other_high": self.other_high,
        }


def separation(trials: Sequence[Trial], rule: CountingRule) -> Separation:
    """Of trials scored alike, best of recordings as they are."""
    peaks = [peaks_apart(t, rule) for t in trials]
    calls = np.concatenate([of_calls for of_calls, _ in peaks])
    others = np.concatenate([of_others for _, of_others in peaks])
    calls = calls if len(calls) else np.array([np.nan])
    others = others if len(others) else np.array([FLOOR])
    return Separation(
        float(np.percentile(calls, CALLS_PERCENTILE)),
        float(np.percentile(others, OTHERS_PERCENTILE)),
        float(calls.min()),
        float(others.max()),
    )


def peaks_apart(trial: Trial, rule: CountingRule) -> tuple[Floats, Floats]:
    """Log odds of the peak of every call to be found, ``FLOOR`` for none, and of all others."""
    evidence, labels = trial.labelled_peaks(rule)
    calls = evidence[labels == 1]
    missed = np.full(len(trial.calls) - len(calls), FLOOR)
    return np.append(calls, missed), np.asarray(evidence[labels == 0])


def source_figures(trials: Sequence[Trial], rule: CountingRule) -> list[dict[str, Any]]:
    """Each bird's recall and each background's false calls as recorded, the worst first."""
    birds: dict[str, list[float]] = {}
    places: dict[str, list[Trial]] = {}
    for trial in (t for t in trials if t.as_recorded):
        for take in {a.take for a in trial.calls}:
            birds.setdefault(take, []).extend(peaks_apart(trial.with_calls_of(take), rule)[0])
        if not trial.calls and not trial.overlooked and trial.complete:
            places.setdefault(trial.group, []).append(trial)
    threshold = float(log_odds(rule.threshold))
    rows: list[dict[str, Any]] = [
        {
            "bird": take,
            "calls": len(peaks),
            "recall": float(np.mean(np.array(peaks) >= threshold)),
            "least_log_odds": round(float(np.min(peaks)), 2),
        }
        for take, peaks in birds.items()
    ]
    rows.sort(key=lambda row: (row["recall"], row["least_log_odds"]))
    others: list[dict[str, Any]] = [
        {
            "background": group,
            "hours": round(sum(t.duration_s for t in part) / 3600, 4),
            "false_calls": sum(len(t.match(rule).false) for t in part),
            "most_log_odds": round(
                float(max(peaks_apart(t, rule)[1].max(initial=FLOOR) for t in part)), 2
            ),
        }
        for group, part in places.items()
    ]
    others.sort(key=lambda row: -row["most_log_odds"])
    return rows + others
