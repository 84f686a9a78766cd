"""What a run left in its output folder, read back for the report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.windows import SAMPLE_RATE_HZ
from pipeline.records import DetectedCall, Outcome, RecordingCount
from pipeline.storage import files
from pipeline.tables.cell_text import guard_path, unguard_text

_UNSOUND = ("silent_share", "dropout_share")


@dataclass(frozen=True)
class RecordingResult:
    """A row of counts.csv, as far as the report shows it.

    Attributes:
        threshold: score that made a call; None if the table does not say.
        recorded_local: when it began, by the clock on site; None if unknown.
        flags: what makes its count less certain.
        unsound_share: share of ``heard_s`` that was silence of the equipment or dropouts, 0 to 1.
    """

    recording: str
    outcome: str
    call_count: int | None
    max_score: float | None
    duration_s: float
    heard_s: float
    error: str
    threshold: float | None
    site: str
    recorded_local: datetime | None
    flags: tuple[str, ...]
    unsound_share: float = 0.0

    @property
    def valid_s(self) -> float:
        """Seconds in which a bird could have been heard."""
        return self.heard_s * (1 - self.unsound_share)

    @property
    def counted(self) -> bool:
        """Whether its calls are known."""
        return self.call_count is not None


@dataclass(frozen=True)
class CallResult:
    """A row of calls.csv; times in seconds from the start of the recording."""

    recording: str
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class WindowScores:
    """A recording's windows: starts in seconds, ascending, and scores, 0 to 1; both ``[n]``."""

    starts_s: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class RunResults:
    """Everything the report is made of.

    Attributes:
        recordings: in the order of counts.csv.
        calls: in the order of calls.csv.
        run: run.json; empty if it is not there.
    """

    recordings: tuple[RecordingResult, ...]
    calls: tuple[CallResult, ...]
    run: Mapping[str, Any]


def read_results(output: str) -> RunResults:
    """Reads the tables of an output folder.

    Raises:
        OSError: there is no counts.csv or calls.csv.
    """
    recordings = read_recordings(output)
    calls = tuple(map(_call, _rows(files.join(output, "calls.csv"))))
    run_file = files.join(output, "run.json")
    run = json.loads(files.read_bytes(run_file)) if files.exists(run_file) else {}
    return RunResults(recordings, calls, run)


def read_recordings(output: str) -> tuple[RecordingResult, ...]:
    """Reads counts.csv. Raises OSError if it is not there."""
    return tuple(map(_recording, _rows(files.join(output, "counts.csv"))))


def read_scores(output: str, recordings: Collection[str]) -> dict[str, WindowScores]:
    """The scores of these recordings' windows, where they were kept (``scores/*.parquet``).

    Of a recording that was scored by several runs, the last one's.
    """
    parts: dict[str, dict[str, list[tuple[Any, Any]]]] = {}
    columns = ["recording", "run_id", "starts", "scores"]
    # counts.csv may write ./ in front of a name.
    wanted = pa.array({*recordings, *(name.removeprefix("./") for name in recordings)}, pa.string())
    for name in files.list_folder(files.join(output, "scores"), ".parquet"):
        table = pq.read_table(io.BytesIO(files.read_bytes(name)), columns=columns)
        for row in table.filter(pc.is_in(table["recording"], wanted)).to_pylist():
            recording = guard_path(row["recording"])
            of_run = parts.setdefault(recording, {}).setdefault(row["run_id"], [])
            of_run.append((row["starts"], row["scores"]))
    return {recording: _join(runs[max(runs)]) for recording, runs in parts.items()}


def _join(segments: list[tuple[Any, Any]]) -> WindowScores:
    starts = np.concatenate([np.asarray(starts, np.int64) for starts, _ in segments])
    scores = np.concatenate([np.asarray(scores, np.float32) for _, scores in segments])
    starts, first = np.unique(starts, return_index=True)  # ascending
    return WindowScores(starts / SAMPLE_RATE_HZ, scores[first])


def _rows(name: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(files.read_bytes(name).decode(), newline=""))


def _recording(row: Mapping[str, str]) -> RecordingResult:
    began = row.get("recorded_local", "")
    return RecordingResult(
        recording=row["recording"],
        outcome=row["outcome"],
        call_count=int(row["call_count"]) if row["call_count"] else None,
        max_score=float(row["max_score"]) if row["max_score"] else None,
        duration_s=float(row["duration_s"] or 0),
        heard_s=float(row["heard_s"] or 0),
        error=unguard_text(row["error"]),
        threshold=float(row["threshold"]) if row.get("threshold") else None,
        site=unguard_text(row.get("site", "")),
        recorded_local=datetime.fromisoformat(began).replace(tzinfo=None) if began else None,
        flags=tuple(row.get("quality_flags", "").split()),
        unsound_share=min(1.0, sum(float(row.get(name) or 0) for name in _UNSOUND)),
    )


def _call(row: Mapping[str, str]) -> CallResult:
    return CallResult(
        row["recording"], float(row["start_s"]), float(row["end_s"]), float(row["score"])
    )


def is_failure(recording: RecordingResult) -> bool:
    """Whether someone should look at the file."""
    return recording.outcome in (Outcome.FAILED.value, Outcome.TRUNCATED.value)


def read_counts(output: str) -> list[RecordingCount]:
    """The rows of counts.csv. Raises OSError if it is not there."""
    return _read(files.join(output, "counts.csv"), RecordingCount)


def read_calls(output: str) -> list[DetectedCall]:
    """The rows of calls.csv. Raises OSError if it is not there."""
    return _read(files.join(output, "calls.csv"), DetectedCall)


def _read(name: str, row_type: type[Any]) -> list[Any]:
    """Rows as they were written; a column that the file lacks is empty."""
    parsers = {f.name: _parser(f.name, f.type) for f in fields(row_type)}
    rows = csv.DictReader(io.StringIO(files.read_bytes(name).decode(), newline=""))
    return [
        row_type(**{key: parse(row.get(key) or "") for key, parse in parsers.items()})
        for row in rows
    ]


def _parser(name: str, annotation: Any) -> Callable[[str], Any]:
    """A cell as the value of a field, whose type is written as text."""
    kind = {"str": str, "int": int, "float": float}[str(annotation).split(" ")[0]]
    if kind is str:
        # ./ in front of a recording's name stays: it names the same file.
        return str if name == "recording" else unguard_text
    return lambda cell: kind(cell) if cell else None
