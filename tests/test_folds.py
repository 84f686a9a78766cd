"""Folds: no network is tried on a bird or a background that it was trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training.clips import Annotation, DataError, Example, Scene
from model.training.folds import LONG_S, make_folds

RATE = 16_000


def scene(name: str, group: str, *takes: str, duration_s: float = 40) -> Scene:
    notes = tuple(Annotation(float(i), i + 3.0, take) for i, take in enumerate(takes))
    return Scene(name, group, np.zeros(round(duration_s * RATE), np.float32), notes)


def background(group: str) -> Example:
    return Example(np.zeros(1, np.float32), "background", "a", 0, group)


def call(group: str, take: str) -> Example:
    return Example(np.zeros(1, np.float32), "call", "a", 0, group, take)


def test_a_fold_leaves_out_birds_and_every_background_they_were_recorded_with() -> None:
    scenes = [scene("a", "g1", "A", "B"), scene("b", "g2", "B"), scene("c", "g3")]
    first, second = make_folds(5, scenes)
    assert [set(f.takes) for f in (first, second)] == [{"B"}, {"A"}]
    assert first.groups >= {"g1", "g2"}
    assert second.groups >= {"g1"}
    assert "g3" in first.groups
    assert "g3" in second.groups  # one quiet background for both
    assert not second.trains_on(background("g1"))
    assert second.trains_on(background("g2"))
    assert second.trains_on(call("g2", "B"))
    assert not second.trains_on(call("g1", "B"))  # its background is left out
    assert not first.trains_on(call("g2", "B"))
    assert [s.source for s in second.scenes(scenes)] == ["a", "c"]
    assert [first.tries(note) for note in scenes[0].annotations] == [False, True]


def test_folds_of_one_bird_are_refused() -> None:
    with pytest.raises(DataError, match="--folds 0"):
        make_folds(5, [scene("a", "g1", "A"), scene("b", "g2")])
    assert make_folds(0, [scene("a", "g1", "A")]) == []


@given(
    seed=st.integers(0, 10**6),
    birds=st.integers(2, 12),
    places=st.integers(1, 8),
    count=st.integers(2, 6),
)
def test_each_bird_and_background_is_tried_by_a_network_that_never_heard_it(
    seed: int, birds: int, places: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    scenes = [scene(f"{b}", f"of{rng.integers(places)}", f"bird{b}") for b in range(birds)]
    for n in range(rng.integers(0, 10)):
        takes = [f"bird{b}" for b in rng.integers(0, birds, rng.integers(0, 4))]
        length_s = float(rng.choice([3, 40]))
        scenes.append(scene(f"r{n}", f"g{rng.integers(places)}", *takes, duration_s=length_s))
    folds = make_folds(count, scenes)
    assert len(folds) == min(count, birds)
    left_out = sorted(take for fold in folds for take in fold.takes)
    assert left_out == sorted({a.take for s in scenes for a in s.annotations})
    with_calls = {s.group for s in scenes if s.annotations}
    quiet = {s.group for s in scenes if s.group not in with_calls and len(s.audio) >= LONG_S * RATE}
    for fold in folds:
        for tried in fold.scenes(scenes):
            assert not fold.trains_on(background(tried.group))
            for note in filter(fold.tries, tried.annotations):
                assert not fold.trains_on(call(tried.group, note.take))
        for other in scenes:  # a left-out bird's recordings are all among those tried
            if any(map(fold.tries, other.annotations)):
                assert other.group in fold.groups
        assert not quiet or fold.groups & quiet
    for group in {s.group for s in scenes}:
        assert any(group in fold.groups for fold in folds)
