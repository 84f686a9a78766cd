"""run.json: what was run, with what, and what came out."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from model.contract import ServingContract
from pipeline.inference.count import Counting
from pipeline.options import Config
from pipeline.records import SCHEMA_VERSION, Outcome
from pipeline.storage import files
from pipeline.tables.read import read_counts

RUN_FILE = "run.json"
SKIPPED = "skipped"
"""Counted by an earlier run with the same model and settings."""
LIBRARIES = ("apache-beam", "tensorflow", "keras", "soundfile", "soxr", "numpy")


@dataclass(frozen=True)
class Totals:
    """What came out of a run, added up from its rows in the table."""

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
    def of_run(cls, output: str, run_id: str, n_inputs: int) -> Totals:
        """Adds up what a run added to counts.csv; the rest of its inputs was done before."""
        rows = [row for row in read_counts(output) if row.run_id == run_id]
        outcomes = {o.value: sum(row.outcome == o.value for row in rows) for o in Outcome}
        outcomes[SKIPPED] = max(0, n_inputs - len(rows))
        return cls(
            inputs=n_inputs,
            outcomes=outcomes,
            calls=sum(row.call_count or 0 for row in rows),
            duration_s=round(sum(row.duration_s or 0 for row in rows), 3),
            heard_s=round(sum(row.heard_s or 0 for row in rows), 3),
        )


def write_run_report(
    config: Config,
    counting: Counting,
    contract: ServingContract,
    started: datetime,
    totals: Totals,
    drift: list[dict[str, Any]],
    wall_s: float,
) -> None:
    """Writes run.json, when all else is written: its absence means an unfinished run.

    Args:
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
        "drift": drift,
        "throughput": {
            "wall_s": round(wall_s, 3),
            "times_real_time": round(totals.heard_s / wall_s, 1),
        },
    }
    text = json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n"
    files.write_atomically(files.join(config.output, RUN_FILE), [text.encode()])
