"""How scores are written and drawn.

Scores crowd near 1: between 0.9 and 0.999 lies a tenth of the scale, and a hundredfold in the odds
of being wrong. So pictures draw scores by their log odds, and texts have as many decimals as tell
them apart.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from model.calls import Floats, log_odds, probabilities
from pipeline.records import SCORE_DIGITS

TICKS = (0.1, 0.5, 0.9, 0.99, 0.999)
"""Scores that an axis is labelled with."""

LOWEST, HIGHEST = -4.5, 8.0
"""Log odds at both ends of an axis: scores of 0.011 and 0.9997. What lies beyond is drawn there."""

_LEAST = 10.0**-SCORE_DIGITS


def score_place(score: npt.ArrayLike) -> Floats:
    """Where scores lie on an axis, 0 at its beginning to 1 at its end.

    >>> score_place([0.0, 0.5, 0.9, 0.999, 1.0]).round(2).tolist()
    [0.0, 0.36, 0.54, 0.91, 1.0]
    """
    values = (log_odds(score) - LOWEST) / (HIGHEST - LOWEST)
    return np.asarray(np.clip(values, 0, 1))


def score_at(place: float) -> float:
    """The score that lies at a place."""
    return float(probabilities(LOWEST + place * (HIGHEST - LOWEST)))


def score_text(score: float) -> str:
    """A score with two decimals; nearer to 0 or 1 with two digits of the distance.

    >>> [score_text(s) for s in (0.5, 0.9, 0.989, 0.9991, 0.99966, 0.0003)]
    ['0.50', '0.90', '0.989', '0.99910', '0.99966', '0.00030']
    """
    doubt = max(min(score, 1 - score), _LEAST)
    digits = 1 - math.floor(math.log10(doubt) + 1e-9)
    return f"{score:.{min(max(digits, 2), SCORE_DIGITS)}f}"
