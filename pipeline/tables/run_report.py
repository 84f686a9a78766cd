"""What was run, with what, and what came out: run.json, and a summary for a person."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from model.contract import ServingContract
from pipeline.inference.count import Counting
from pipeline.options import Config
from pipeline.records import SCHEMA_VERSION, Outcome, RecordingCount
from pipeline.storage import files
from pipeline.tables.rows import OUTCOME_WORDS, was_counted

RUN_FILE = "run.json"
SKIPPED = "skipped"
"""Counted by an earlier run with the same model and settings."""
TIME_HINT = "give recorded_at in a --manifest, or names such as SITE_20240611_053000.wav"
LIBRARIES = ("apache-beam", "tensorflow", "keras", "soundfile", "soxr", "numpy")


FAILURES_SHOWN = 3


def new_run_id(started: datetime) -> str:
    """A name for a run."""
    return f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid4().hex[:6]}"


@dataclass(frozen=True)
class Totals:
    """Rows of counts.csv, added up: those of a run, or all that an output holds."""

    inputs: int
    outcomes: dict[str, int]
    calls: int
    duration_s: float
    heard_s: float

    @property
    def failed_fraction(self) -> float:
        """Share of the inputs that failed."""
        return self.outcomes[Outcome.FAILED.value] / max(1, self.inputs)

    @classmethod
    def of_run(cls, rows: Iterable[RecordingCount], run_id: str, n_inputs: int) -> Totals:
        """Adds up what a run wrote; the rest of its inputs was done before."""
        return cls.of([row for row in rows if row.run_id == run_id], n_inputs)

    @classmethod
    def of(cls, rows: Sequence[RecordingCount], n_inputs: int) -> Totals:
        """Adds up rows; what more inputs there are was done before."""
        outcomes = {o.value: sum(row.outcome == o.value for row in rows) for o in Outcome}
        outcomes[SKIPPED] = max(0, n_inputs - len(rows))
        return cls(
            inputs=n_inputs,
            outcomes=outcomes,
            calls=sum(row.call_count or 0 for row in rows),
            duration_s=round(sum(row.duration_s or 0 for row in rows), 3),
            heard_s=round(sum(row.heard_s or 0 for row in rows), 3),
        )

    def in_words(self) -> str:
        """Recordings and calls, and what became of the recordings."""
        done = self.inputs - self.outcomes[SKIPPED]
        told = [(self.outcomes[outcome], words) for outcome, words in OUTCOME_WORDS.items()]
        kinds = ", ".join(f"{n:,} {words}" for n, words in told if n)
        amount = f"{_counted(done, 'recording')}, {_counted(self.calls, 'call')}"
        return amount + (f" ({kinds})" if kinds else "")


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def summary(
    config: Config, totals: Totals, rows: Sequence[RecordingCount], wall_s: float, page: str
) -> str:
    """What a run did and what its output holds now, as a table for a person.

    Args:
        totals: of the run.
        rows: all of counts.csv.
        wall_s: how long the run took, in seconds.
        page: name of report.html; empty if there is none.
    """
    skipped = totals.outcomes[SKIPPED]
    nothing_new = skipped == totals.inputs
    lines = [
        (
            "this run",
            f"nothing new: {skipped:,} of {totals.inputs:,} recordings were done before"
            if nothing_new
            else totals.in_words() + (f"; {skipped:,} more were done before" if skipped else ""),
        )
    ]
    if totals.duration_s:
        heard = f"{totals.heard_s / 3600:,.2f} h of {totals.duration_s / 3600:,.2f} h"
        lines.append(("audio heard", heard))
    speed = f", {totals.heard_s / wall_s:,.0f} × real time" if totals.heard_s >= wall_s else ""
    if not nothing_new:
        lines.append(("time taken", f"{wall_s:,.1f} s{speed}"))
    lines.append(("results hold", Totals.of(rows, len(rows)).in_words()))
    failed = [row for row in rows if row.outcome == Outcome.FAILED.value]
    for n, row in enumerate(failed[:FAILURES_SHOWN]):
        lines.append(("" if n else "failed", row.error))
    if (more := len(failed) - FAILURES_SHOWN) > 0:
        where = files.join(config.output, "failures.csv")
        lines.append(("", f"and {more:,} more, with their reasons in {where}"))
    untimed = sum(1 for row in rows if was_counted(row) and not row.recorded_local)
    if untimed:
        lines.append(("no time known", f"{untimed:,} of {len(rows):,} recordings: {TIME_HINT}"))
    counts = files.join(config.output, "counts.csv")
    names = ["calls.csv", "activity.csv", "failures.csv", *config.formats]
    lines.append(("tables", ", ".join([counts, *names])))
    if page:
        lines.append(("report", page))
    return "\n".join(f"{what:13} {value}" for what, value in lines)


def write_run_report(
    config: Config,
    counting: Counting,
    contract: ServingContract,
    started: datetime,
    totals: Totals,
    holds: Totals,
    drift: list[dict[str, Any]],
    wall_s: float,
) -> None:
    """Writes run.json, when all else is written: its absence means an unfinished run.

    Args:
        totals: of the run.
        holds: of all that the output holds after it.
        drift: a note for each site.
        wall_s: how long the job took, in seconds.
    """
    report = {
        "schema_version": SCHEMA_VERSION,
        "run_id": counting.run_id,
        "started_at": started.isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "configuration": asdict(config),
        "counting": asdict(counting),
        "model": {
            "version": counting.model_version,
            "model_sha256": contract.model_sha256,
            "training_data_sha256": contract.training_data_sha256,
        },
        "contract": asdict(contract),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        "totals": asdict(totals),
        "output": {k: v for k, v in asdict(holds).items() if k != "outcomes"}
        | {"outcomes": {k: n for k, n in holds.outcomes.items() if k != SKIPPED}},
        "drift": drift,
        "throughput": {
            "wall_s": round(wall_s, 3),
            "times_real_time": round(totals.heard_s / wall_s, 1),
        },
    }
    text = json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n"
    files.write_atomically(files.join(config.output, RUN_FILE), [text.encode()])
