"""What was run, with what, and what came out: run.json, and a summary for a person."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from model.calls import CountingRule
from model.contract import ServingContract
from pipeline.inference.count import Counting
from pipeline.ledger.drift import SiteNote
from pipeline.options import Config
from pipeline.records import SCHEMA_VERSION, Outcome
from pipeline.results.join import Holdings, data_sets, tables_apart
from pipeline.storage import files
from pipeline.storage.passed_over import in_words
from pipeline.storage.sealed import with_checksum
from pipeline.store.sums import Sums
from pipeline.tables.read import run_file
from pipeline.tables.rows import OUTCOME_WORDS

SKIPPED = "skipped"
"""Counted by an earlier run with the same model and settings."""
TIME_HINT = "give recorded_at in a --manifest, or names such as SITE_20240611_053000.wav"
LIBRARIES = ("apache-beam", "tensorflow", "keras", "soundfile", "soxr", "numpy")


def new_run_id(started: datetime) -> str:
    """A name for a run."""
    return f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid4().hex[:6]}"


@dataclass(frozen=True)
class Totals:
    """Recordings, added up: those of a run, or all that an output holds."""

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
    def of(cls, sums: Sums, n_inputs: int) -> Totals:
        """What was counted; what more inputs there are was done before."""
        outcomes = {o.value: sums.outcomes.get(o.value, 0) for o in Outcome}
        if not outcomes[Outcome.COPY.value]:
            del outcomes[Outcome.COPY.value]
        outcomes[SKIPPED] = max(0, n_inputs - sums.recordings)
        return cls(
            inputs=n_inputs,
            outcomes=outcomes,
            calls=sums.calls,
            duration_s=round(sums.duration_us / 1e6, 3),
            heard_s=round(sums.heard_us / 1e6, 3),
        )

    def in_words(self) -> str:
        """Recordings and calls, and what became of the recordings."""
        done = self.inputs - self.outcomes.get(SKIPPED, 0)
        amounts = [
            (self.outcomes.get(outcome, 0), words) for outcome, words in OUTCOME_WORDS.items()
        ]
        kinds = ", ".join(f"{n:,} {words}" for n, words in amounts if n)
        amount = f"{_counted(done, 'recording')}, {_counted(self.calls, 'call')}"
        return amount + (f" ({kinds})" if kinds else "")


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def threshold_in_words(used: CountingRule, own: CountingRule) -> str:
    """A threshold beside the model's own.

    >>> threshold_in_words(CountingRule(0.9), CountingRule(0.5))
    "0.9 (the model's own: 0.5)"
    """
    is_own = used.threshold == own.threshold
    return f"{used.threshold:g} (the model's own{'' if is_own else f': {own.threshold:g}'})"


def summary(config: Config, report: Mapping[str, Any], page: str) -> str:
    """What a run did and what its output holds now, as a table for a person.

    Args:
        report: run.json.
        page: name of report.html; empty if there is none.
    """
    totals, wall_s = Totals(**report["totals"]), report["throughput"]["wall_s"]
    of_output = dict(report["output"])
    untimed, failures = of_output.pop("untimed"), of_output.pop("failures")
    holds = Totals(**of_output)
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
        hours = f"{totals.heard_s / 3600:,.2f} h of {totals.duration_s / 3600:,.2f} h"
        lines.append(("audio heard", hours))
    speed = f", {totals.heard_s / wall_s:,.0f} × real time" if totals.heard_s >= wall_s else ""
    if not nothing_new:
        lines.append(("time taken", f"{wall_s:,.1f} s{speed}"))
    used, own = (CountingRule(**report[of]["rule"]) for of in ("counting", "contract"))
    lines.append(("threshold", threshold_in_words(used, own)))
    lines.append(("results hold", holds.in_words()))
    for n, error in enumerate(failures):
        lines.append(("" if n else "failed", error))
    if (more := holds.outcomes[Outcome.FAILED.value] - len(failures)) > 0:
        where = files.join(config.output, "failures.csv")
        lines.append(("", f"and {more:,} more, with their reasons in {where}"))
    if untimed:
        lines.append(("no time known", f"{untimed:,} of {holds.inputs:,} recordings: {TIME_HINT}"))
    for n, line in enumerate(in_words(report["other_files"])):
        lines.append(("" if n else "passed over", line))
    counts = files.join(config.output, "counts.csv")
    names = ["calls.csv", "activity.csv", "failures.csv", *config.formats]
    lines.append(("tables", ", ".join([counts, *names])))
    lines += [(f"{name} lies", f"in parts: {where}") for name, where in report["apart"].items()]
    if page:
        lines.append(("report", page))
    return "\n".join(f"{what:13} {value}" for what, value in lines)


@dataclass(frozen=True)
class RunReport:
    """The beginning of a run's run.json, before the run starts.

    Attributes:
        reference: windows by score in tenths, as the model usually gives them; see ``drift``.
        remarks: on what was filled in, ignored or passed over, as they were printed.
    """

    config: Config
    counting: Counting
    contract: ServingContract
    started: datetime
    reference: tuple[int, ...] | None = None
    remarks: tuple[str, ...] = ()

    def write(
        self,
        totals: Totals,
        holdings: Holdings,
        notes: Iterable[SiteNote] = (),
        others: Mapping[str, int] = MappingProxyType({}),
        **more: Any,
    ) -> dict[str, Any]:
        """Writes run.json, when all else is written: its absence means an unfinished run.

        Args:
            totals: of the run.
            holdings: all that the output holds after it.
            notes: on drift, one for each site.
            others: how many files were passed over, by kind.
            more: further entries.
        """
        config, counting, contract = self.config, self.counting, self.contract
        wall_s = max(0.001, (datetime.now(UTC) - self.started).total_seconds())
        holds = Totals.of(holdings.sums, holdings.sums.recordings)
        outcomes = {k: n for k, n in holds.outcomes.items() if k != SKIPPED}
        report = {
            "schema_version": SCHEMA_VERSION,
            "run_id": counting.run_id,
            "started_at": self.started.isoformat(timespec="seconds"),
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
            "output": {
                **asdict(holds),
                "outcomes": outcomes,
                "untimed": holdings.sums.untimed,
                "failures": [error for _, error in holdings.sums.failures],
            },
            "other_files": {kind: others[kind] for kind in sorted(others)},
            "apart": tables_apart(holdings),
            "data_sets": data_sets(config.formats),
            "drift": [asdict(note) for note in notes],
            "remarks": list(self.remarks),
            "throughput": {
                "wall_s": round(wall_s, 3),
                "times_real_time": round(totals.heard_s / wall_s, 1),
            },
            **more,
        }
        stated = with_checksum(report)
        text = json.dumps(stated, indent=2, ensure_ascii=False) + "\n"
        files.write_atomically(run_file(config.output), [text.encode()])
        return stated
