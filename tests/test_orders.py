"""The ledger's state is the same in whatever order, and however often, its files are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.windows import windows_every
from pipeline.inference.count import Counting, count_recording
from pipeline.records import Failure, Listed
from pipeline.store import entries
from pipeline.store.entries import Entry
from pipeline.store.ledger import Ledger
from tests.fakes import RULE

FAILED = entries.entry_of(
    count_recording(
        "a.wav",
        [Listed("a.wav", 10, "1", identity="/a.wav"), Failure("open", "a.wav: damaged", True)],
        Counting("calls", RULE, 16_000, windows_every(16_000), "bird", "m", "1"),
    ),
    Counting("calls", RULE, 16_000, windows_every(16_000), "bird", "m", "1"),
)


@st.composite
def some_entries(draw: st.DrawFn) -> list[Entry]:
    """Entries of a few runs for a few recordings: other contents, settings, outcomes."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        name = draw(st.sampled_from("ab"))
        row = replace(
            FAILED.row,
            recording=name,
            run_id=draw(st.sampled_from("1234")),
            outcome=draw(st.sampled_from(["ok", "failed"])),
            call_count=draw(st.integers(0, 2)),
        )
        found.append(
            replace(
                FAILED,
                identity=f"/{name}.wav",
                stamp=draw(st.sampled_from("xy")),
                checksum=draw(st.sampled_from(["", "crc"])),
                settings=draw(st.sampled_from("st")),
                row=row,
            )
        )
    return found


@given(some_entries(), st.randoms(use_true_random=False))
def test_which_entry_holds_does_not_depend_on_order_or_repeats(
    found: list[Entry], dice: Random
) -> None:
    for name in ("/a.wav", "/b.wav"):
        mine = [entry for entry in found if entry.identity == name]
        if not mine:
            continue
        holding = entries.current(mine)
        shuffled = [*mine, *mine[:2]]
        dice.shuffle(shuffled)
        assert entries.current(shuffled) == holding
        last_run = max(entry.row.run_id for entry in mine)
        assert holding.settings in {e.settings for e in mine if e.row.run_id == last_run}


@pytest.mark.slow
@settings(max_examples=25)
@given(some_entries(), st.randoms(use_true_random=False))
def test_the_state_does_not_depend_on_how_entries_were_shared_out(
    found: list[Entry], dice: Random
) -> None:
    states = []
    for _ in range(2):
        with TemporaryDirectory() as folder:
            dice.shuffle(found)
            cut = dice.randrange(len(found) + 1)
            for part in (found[:cut], found[cut:], found[:1]):
                entries.write_shard(folder, dice.choice("123"), part)
            states.append(Ledger(folder).state())
            assert all(Path(name).exists() for name in Ledger(folder).shards())
    assert states[0] == states[1]
