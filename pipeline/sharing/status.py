"""Where runs into an output stand, by what they note in its ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.ledger import shares
from pipeline.ledger.runs import RunNotes
from pipeline.ledger.shares import Cut
from pipeline.progress import Progress
from pipeline.records import Outcome
from pipeline.results.join import read_holdings
from pipeline.tables.read import read_run

SILENT_AFTER_S = 300.0
"""A run that has noted nothing for so long has been killed, or its machine has lost the disk."""
_RUN_ID_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class Going:
    """A run that is going on, or was killed.

    Attributes:
        share: as ``3/16``; empty of a run that counts all it names.
        done, listed: recordings; done_before: of those done.
        audio_s: seconds of audio that it has counted.
        running_s: since when it runs; silent_s: since when it has noted nothing.
    """

    run_id: str
    share: str
    done: float
    done_before: int
    listed: int
    audio_s: float
    running_s: float
    silent_s: float

    @property
    def is_silent(self) -> bool:
        """Whether it seems to be no more."""
        return self.silent_s > SILENT_AFTER_S

    @property
    def per_s(self) -> float:
        """Recordings that it counts in a second, and 0 where that is not known yet."""
        worked_s = self.running_s - self.silent_s
        return (self.done - self.done_before) / worked_s if worked_s > 0 else 0.0


@dataclass(frozen=True)
class SharesState:
    """Numbers of the shares of a cut, by how they stand.

    Attributes:
        joined: whether tables and run.json show all that have ended.
    """

    of: int
    ended: list[int]
    going: list[int]
    silent: list[int]
    not_begun: list[int]
    joined: bool


@dataclass(frozen=True)
class State:
    """An output, while runs go on or between them.

    Attributes:
        shares: of each cut that holds.
        runs: that go on or were killed.
        listed: recordings of the last cut, or of the runs that go on; -1 where not known.
        done, failed, left: of these; failed of those that have ended. left is -1 where not known.
        times_real_time, per_s: speed of the runs that go on, all together.
        time_left_s: -1 where nothing can be said.
        holds: recordings, calls, failed and parts of all the output.
        finished: whether tables and run.json are there.
    """

    shares: list[SharesState]
    runs: list[Going]
    listed: int
    done: int
    failed: int
    left: int
    times_real_time: float
    per_s: float
    time_left_s: float
    holds: dict[str, int]
    finished: bool


def state_of(output: str, now: datetime | None = None) -> State | None:
    """Reads where an output stands; None where no run has written.

    Args:
        output: the output folder.
        now: with a zone; by default the time.
    """
    progress = RunNotes(output, "").progress()  # first: what ends meanwhile leaves its record
    written, holdings = read_run(output), read_holdings(output)
    records = shares.read_records(output)
    cuts, share_of = shares.cuts_of(records), {one.run_id: str(one.share) for one in records}
    runs = [
        _going(run_id, share_of.get(run_id, ""), raw, now or datetime.now(UTC))
        for run_id, raw in sorted(progress.items())
    ]
    if not (runs or cuts or holdings.parts or written):
        return None
    counting = [run for run in runs if not run.is_silent]
    listed, done, failed = -1, sum(run.done for run in counting), 0
    if cuts and (cuts[-1].missing or not counting):
        cut = cuts[-1]
        own = [run for run in counting if run.run_id in {one.run_id for one in cut.begun.values()}]
        listed = max((one.n_listed for one in cut.ended), default=-1)
        done = sum(one.inputs for one in cut.ended) + sum(run.done for run in own)
        failed = sum(one.sums.outcomes.get(Outcome.FAILED.value, 0) for one in cut.ended)
    elif counting:
        listed = sum(run.listed for run in counting)
    left = max(0, listed - round(done)) if listed >= 0 else -1
    per_s = sum(run.per_s for run in counting)
    audio = (run.audio_s / (run.running_s - run.silent_s or 1) for run in counting)
    return State(
        shares=[_shares_state(cut, counting, written) for cut in cuts],
        runs=runs,
        listed=listed,
        done=round(done),
        failed=failed,
        left=left,
        times_real_time=round(sum(audio), 1),
        per_s=round(per_s, 3),
        time_left_s=round(left / per_s) if left >= 0 and per_s > 0 else -1,
        holds={
            "recordings": holdings.sums.recordings,
            "calls": holdings.sums.calls,
            "failed": holdings.sums.outcomes.get(Outcome.FAILED.value, 0),
            "parts": len(holdings.parts),
        },
        finished=bool(written),
    )


def _going(run_id: str, share: str, raw: Mapping[str, Any], now: datetime) -> Going:
    """A run by its progress as it noted it last; that is empty until the first time."""
    started = datetime.strptime(run_id[:15], _RUN_ID_TIME).replace(tzinfo=UTC)
    at = datetime.fromisoformat(raw["at"]) if raw else started
    done = Progress(**{name: n for name, n in raw.items() if name != "at"})
    return Going(
        *(run_id, share, done.files, done.done_before, done.listed, done.audio_s),
        *((now - started).total_seconds(), (now - at).total_seconds()),
    )


def _shares_state(cut: Cut, counting: Iterable[Going], written: Mapping[str, Any]) -> SharesState:
    ended = [one.share.number for one in cut.ended]
    goes_on = {run.run_id for run in counting}
    begun = {number: one for number, one in cut.begun.items() if number not in ended}
    shown = [one.run_id < written.get("run_id", "") for one in cut.ended]
    missing = {n for of in written.get("shares", ()) for n in of["missing"] if of["of"] == cut.of}
    return SharesState(
        of=cut.of,
        ended=ended,
        going=sorted(n for n, one in begun.items() if one.run_id in goes_on),
        silent=sorted(n for n, one in begun.items() if one.run_id not in goes_on),
        not_begun=[n for n in cut.missing if n not in begun],
        joined=all(shown) and not missing & set(ended),
    )


def state_in_words(state: State) -> str:
    """A state for a person."""
    lines = []
    for one in state.shares:
        kinds = {
            "ended": one.ended,
            "counted now": one.going,
            "silent, perhaps killed": one.silent,
            "not begun": one.not_begun,
        }
        lines.append(
            (
                "shares",
                f"{one.of:,}: "
                + ", ".join(
                    f"{len(some):,} {kind}" + (_which(some) if kind != "ended" else "")
                    for kind, some in kinds.items()
                    if some
                ),
            )
        )
    lines += [("run", f"{run.run_id} {_how(run)}") for run in state.runs if not run.share]
    if state.shares or state.runs:
        of = f" of {state.listed:,}" if state.listed >= 0 else ""
        left = f", {state.left:,} left" if state.left >= 0 else ""
        lines.append(("recordings", f"{state.done:,}{of} done, {state.failed:,} failed{left}"))
    if state.per_s:
        per_s = f"{state.per_s:,.1f} recordings a second"
        lines.append(("speed", f"{state.times_real_time:,.0f} × real time, {per_s}"))
    if state.time_left_s >= 0 and state.left:
        lines.append(("time left", f"about {timedelta(seconds=state.time_left_s)}"))
    held = state.holds
    lines.append(
        (
            "output holds",
            f"{held['recordings']:,} recordings in {held['parts']:,} parts, {held['calls']:,} "
            f"calls, {held['failed']:,} failed",
        )
    )
    lines.append(("tables", _tables(state)))
    return "\n".join(f"{what:13} {value}" for what, value in lines)


def _which(numbers: list[int]) -> str:
    some = ", ".join(map(str, numbers[:8]))
    return f" ({some}{' …' if len(numbers) > 8 else ''})"


def _how(run: Going) -> str:
    silence = timedelta(seconds=round(run.silent_s))
    return f"silent for {silence}, perhaps killed" if run.is_silent else "is counting"


def _tables(state: State) -> str:
    missing = any(one.of > len(one.ended) for one in state.shares)
    if state.shares and not all(one.joined for one in state.shares):
        return "not joined yet: capuchinbird join"
    if not state.finished:
        return "of no finished run"
    return "joined, without the shares that are missing" if missing else "of a finished run"
