"""A while of damaged recordings, and the harness itself."""

import random
from pathlib import Path

import pytest

from tests import fuzz


@pytest.mark.slow
def test_two_minutes_of_damaged_recordings(tmp_path: Path) -> None:
    """Other ones each time: the seed is printed."""
    assert fuzz.main(["--minutes", "2", "--folder", str(tmp_path)]) == 0


def test_a_seed_gives_the_same_damage() -> None:
    found = [
        (fuzz.name(dice, extension), fuzz.damage(content, dice))
        for dice in (random.Random(7), random.Random(7))
        for content, extension in [fuzz.intact(dice)]
    ]
    assert found[0] == found[1]


def test_what_others_print_is_told_from_our_own_words() -> None:
    assert fuzz.OUR_LINES.match("2026-11-24 21:00:00 5 of 10 files, 0.02 of 0.05 h audio")
    assert not fuzz.OUR_LINES.match("[src/libmpg123/layer3.c:1807] error: big_values too large!")
