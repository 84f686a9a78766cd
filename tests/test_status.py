"""What ``status`` says while runs go on, and between them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import progress
from pipeline.__main__ import main
from pipeline.ledger.runs import RunNotes
from pipeline.ledger.shares import Record, withdraw
from pipeline.options.values import Share
from pipeline.progress import Progress
from pipeline.sharing.status import state_in_words, state_of
from pipeline.store.sums import Sums
from tests import nights
from tests.conftest import Count

pytestmark = pytest.mark.usefixtures("plain_loop")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run_id(minutes_ago: float) -> str:
    return f"{NOW - timedelta(minutes=minutes_ago):%Y%m%dT%H%M%S.%fZ}-abcdef"


def end(output: Path, number: int, minutes_ago: float = 30, failed: int = 0) -> None:
    """A share of 4 that has ended, of 100 recordings each."""
    sums = Sums(recordings=100, outcomes={"failed": failed})
    share, at = Share(number, 4), NOW.isoformat()
    record = Record(*(run_id(minutes_ago), share, "n", "s", {}, at, at, "l", 400, 100, sums))
    record.write(str(output))


def begin(
    output: Path, number: int, minutes_ago: float, noted: Progress | None, silent_s: float = 5
) -> RunNotes:
    notes = RunNotes(str(output), run_id(minutes_ago))
    Record(notes.run_id, Share(number, 4), "n", "s", {}, NOW.isoformat()).write(str(output))
    notes.start()
    if noted:
        at = NOW - timedelta(seconds=silent_s)
        notes.keep_progress({**vars(noted), "at": at.isoformat()})
    return notes


def test_shares_are_told_by_how_they_stand(tmp_path: Path) -> None:
    end(tmp_path, 1, failed=3)
    # 55 of 60 recordings in 100 s: five were done before.
    begin(tmp_path, 2, 105 / 60, Progress(60, 36_000, 40_000, 100, 5))
    begin(tmp_path, 3, 60, Progress(10, 100, 100, 100), silent_s=3000)
    state = state_of(str(tmp_path), NOW)
    assert state
    [cut] = state.shares
    assert (cut.ended, cut.going, cut.silent, cut.not_begun, cut.joined) == (
        [1],
        [2],
        [3],
        [4],
        False,
    )
    assert (state.listed, state.done, state.failed, state.left) == (400, 160, 3, 240)
    assert (state.times_real_time, state.per_s) == (360, 0.55)
    assert state.time_left_s == pytest.approx(240 / 0.55, abs=1)
    said = state_in_words(state)
    assert "4: 1 ended, 1 counted now (2), 1 silent, perhaps killed (3), 1 not begun (4)" in said
    assert "160 of 400 done, 3 failed, 240 left" in said
    assert "360 × real time, 0.6 recordings a second" in said
    assert "about 0:07:16" in said
    assert "not joined yet" in said


def test_a_run_that_has_just_begun_says_nothing_of_speed(tmp_path: Path) -> None:
    notes = begin(tmp_path, 1, 0.1, None)
    state = state_of(str(tmp_path), NOW)
    assert state
    assert (state.shares[0].going, state.listed, state.left, state.time_left_s) == ([1], -1, -1, -1)
    assert "speed" not in state_in_words(state)
    notes.end()
    withdraw(str(tmp_path), notes.run_id)
    assert state_of(str(tmp_path), NOW) is None


def test_it_is_asked_before_between_and_after_runs(
    tmp_path: Path, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def said(*flags: str) -> str:
        assert main(["status", str(out), *flags]) == 0
        return capsys.readouterr().out

    assert main(["status", str(out)]) == 2
    assert "no run has written there" in capsys.readouterr().err
    for n in range(3):
        nights.write_recording(tmp_path / "in" / f"{n}.wav", 1, 6)
    assert count(tmp_path / "in", "--share=1/2") == 0
    capsys.readouterr()
    assert "2: 1 ended, 1 not begun (2)" in said()
    assert count(tmp_path / "in", "--share=2/2") == 0
    capsys.readouterr()
    assert "not joined yet" in said()
    assert main(["join", str(out)]) == 0
    capsys.readouterr()
    assert "3 recordings in 1 parts, 3 calls" in said()
    facts: dict[str, Any] = json.loads(said("--json"))
    assert facts["shares"][0]["joined"]
    assert (facts["listed"], facts["done"], facts["left"]) == (3, 3, 0)
    assert not list((out / "ledger").glob("*.progress"))


def test_progress_is_kept_while_a_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "KEPT_EVERY_S", 0.01)
    progress.reset()
    progress.advance(files=2, done_before=2)
    kept: list[Progress] = []

    def keep(now: Progress) -> None:
        kept.append(now)
        raise OSError("a full disk")

    with progress.kept(keep):
        nights.wait_until(lambda: len(kept) > 1)
    n = len(kept)
    time.sleep(0.05)
    assert len(kept) == n
    assert kept[0] == replace(Progress(), files=2, done_before=2)
    progress.close()
