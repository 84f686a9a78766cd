"""A while of damaged recordings, and the harness itself."""

import random
from pathlib import Path

import pytest

from model.audio.decoders import AudioError
from model.windows import windows_every
from pipeline.inference import decode
from pipeline.records import Listed
from tests import fuzz

GRID = windows_every(16_000)


@pytest.mark.slow
def test_a_round_of_damaged_recordings(tmp_path: Path) -> None:
    """Other ones each time: the seed is printed. An hour of rounds is run every week."""
    assert fuzz.main(["--minutes", "0", "--folder", str(tmp_path)]) == 0


@pytest.mark.parametrize("title", fuzz.CORPUS)
def test_what_once_broke_something_plans_no_more_than_it_holds(tmp_path: Path, title: str) -> None:
    """Each is refused, or cut into the few segments that its audio fills."""
    path = tmp_path / title
    path.write_bytes(fuzz.CORPUS[title]())
    try:
        header = decode.read_header(Listed(str(path)), GRID, 300 * 16_000)
    except AudioError:
        return
    [plan] = decode.plan_segments(Listed(str(path)), header, GRID, 300 * 16_000)
    assert header.n_segments == 1
    assert plan.n_inputs <= 7  # none holds more than 6.01 s


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
