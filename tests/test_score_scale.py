"""Scores as texts and as places on an axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.calls import probabilities
from pipeline.records import DetectedCall
from pipeline.tables.schema import columns_of
from pipeline.tables.score_scale import TICKS, score_place, score_text

STEPS = probabilities(np.arange(-128, 129) / 16)
"""All scores of a network whose log odds are rounded to sixteenths."""

scores = st.floats(0, 1)


@given(scores, scores)
def test_a_higher_score_never_lies_lower(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 0 <= score_place(low) <= score_place(high) <= 1


def test_certain_scores_lie_apart() -> None:
    assert np.diff(score_place(TICKS)).min() > 0.15
    assert score_place(0.999) - score_place(0.9) > 0.3


def test_no_two_steps_of_the_network_have_the_same_text() -> None:
    eighths = STEPS[128::2]
    assert len({score_text(score) for score in eighths}) == len(eighths)
    column = next(column for column in columns_of(DetectedCall) if column.name == "score")
    assert len({column.to_cell(float(score)) for score in STEPS}) == len(STEPS)


@given(scores)
def test_a_text_is_the_score_to_two_digits_of_its_doubt(score: float) -> None:
    doubt = min(score, 1 - score)
    assert float(score_text(score)) == pytest.approx(score, abs=max(0.06 * doubt, 0.51e-5))
