"""What runs left in an output folder, read back: rows, scores and run.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model.calls import log_odds
from model.windows import SAMPLE_RATE_HZ, WINDOW_S, WINDOW_SAMPLES
from pipeline.inputs.deployments import where_and_when_called
from pipeline.records import DetectedCall, RecordingCount, VerifiedCount
from pipeline.storage import files
from pipeline.storage.sealed import without_checksum
from pipeline.store.moves import Moves, read_moves
from pipeline.store.parts import ledger, part_of
from pipeline.store.scores import kept_files, open_scores, with_todays_names
from pipeline.tables.cell_text import guard_path
from pipeline.tables.schema import row_from_cells

_SCORES_OF_A_PEAK = 3


@dataclass(frozen=True)
class WindowScores:
    """A recording's scores, 0 to 1, ``[n]``, and where what they are of begins, ascending.

    Attributes:
        score_s: how long that is: a window or a step.
    """

    starts_s: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]
    score_s: float = WINDOW_S

    def highest(self, start_s: float, end_s: float) -> float | None:
        """The highest score of what begins in a stretch of the recording; None if nothing does."""
        inside = (self.starts_s >= start_s) & (self.starts_s < end_s)
        return float(self.scores[inside].max()) if inside.any() else None

    def support(self, start_s: float, end_s: float) -> float:
        """The mean log odds of the highest scores in a stretch: how wide its peak is; or 0."""
        first, end = np.array([start_s, end_s]) - self.score_s / 2
        inside = slice(*np.searchsorted(self.starts_s, [first, end]))
        highest = np.sort(self.scores[inside])[-_SCORES_OF_A_PEAK:]
        return float(log_odds(highest).mean()) if len(highest) else 0.0


@dataclass(frozen=True)
class RunResults:
    """The tables of an output folder.

    Attributes:
        recordings: in the order of counts.csv.
        calls: in the order of calls.csv.
        run: run.json; empty if it is not there.
    """

    recordings: tuple[RecordingCount, ...]
    calls: tuple[DetectedCall, ...]
    run: Mapping[str, Any]


def read_results(output: str) -> RunResults:
    """Reads the tables of an output folder.

    Raises:
        OSError: there is no counts.csv or calls.csv, or they are not those of a run.
    """
    run = read_run(output)
    rows, calls = read_counts(output), read_calls(output)
    row_of = {row.recording: row for row in rows}
    placed = (  # as tables of before version 2 are not
        replace(call, **where_and_when_called(row_of[call.recording], call.start_s))
        if call.recording in row_of
        else call
        for call in calls
    )
    return RunResults(tuple(rows), tuple(placed), run)


def run_file(output: str) -> str:
    """Where run.json lies."""
    return files.join(output, "run.json")


def read_run(output: str) -> dict[str, Any]:
    """run.json; empty where no run has ended.

    Raises:
        OSError: it is not as it was written.
    """
    name = run_file(output)
    try:
        return without_checksum(json.loads(files.read_bytes(name)))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise OSError(f"{name}: is damaged; count again, which writes it anew") from None


def read_counts(output: str) -> list[RecordingCount]:
    """The rows of counts.csv. Raises OSError if it is not there."""
    return _read_rows(files.join(output, "counts.csv"), RecordingCount)


def read_calls(output: str) -> list[DetectedCall]:
    """The rows of calls.csv. Raises OSError if it is not there."""
    return _read_rows(files.join(output, "calls.csv"), DetectedCall)


VERIFIED = "verified.csv"


def read_verified(output: str) -> list[VerifiedCount]:
    """The rows of verified.csv; none if it is not there."""
    name = files.join(output, VERIFIED)
    return _read_rows(name, VerifiedCount, "scope") if files.exists(name) else []


def _read_rows(name: str, row_type: type[Any], first: str = "recording") -> list[Any]:
    rows = csv.DictReader(io.StringIO(files.read_bytes(name).decode(), newline=""))
    if first not in (rows.fieldnames or ()):
        raise OSError(f"{name}: lacks the column {first}; it is no table of a run")
    try:
        return [row_from_cells(row_type, row) for row in rows]
    except ValueError as error:
        raise OSError(f"{name}: row {rows.line_num}: {error}") from None


def read_scores(output: str, recordings: Collection[str]) -> dict[str, WindowScores]:
    """The scores of these recordings, where they were kept.

    Of a recording that was scored by several runs, the last one's. Files of parts that the
    recordings seem to be in are read first, and others only for recordings that these files lack.
    """
    # counts.csv may write ./ in front of a name.
    spellings = {*recordings, *(name.removeprefix("./") for name in recordings)}
    labels = {part_of(files.identity(name)).partition(".")[0] for name in spellings}
    moves = read_moves(ledger(output))
    likely: list[str] = []
    others: list[str] = []
    for name in kept_files(output):
        is_likely = name.split("/")[-3:][0] in labels
        (likely if is_likely else others).append(name)
    segments: dict[str, dict[str, list[tuple[int, Any, Any]]]] = {}
    for names in (likely, others):
        missing = pa.array(
            (name for name in spellings if guard_path(name) not in segments), pa.string()
        )
        for name in names if len(missing) else ():
            for row in _score_rows(name, missing, moves):
                of_run = segments.setdefault(guard_path(row["recording"]), {})
                of_run.setdefault(row["run_id"], []).append(
                    (row.get("score_samples", WINDOW_SAMPLES), row["starts"], row["scores"])
                )
    return {recording: _join(runs[max(runs)]) for recording, runs in segments.items()}


def _score_rows(name: str, recordings: pa.Array, moves: Moves) -> list[dict[str, Any]]:
    """Rows of a file with the scores of some recordings."""
    columns = ["recording", "identity", "run_id", "score_samples", "starts", "scores"]
    file = open_scores(name)
    if not file:
        return []
    # Files of earlier versions lack what scores are of: windows.
    table = file.read([column for column in columns if column in file.schema_arrow.names])
    table = with_todays_names(table, "recording", moves)
    rows: list[dict[str, Any]] = table.filter(pc.is_in(table["recording"], recordings)).to_pylist()
    return rows


def _join(segments: list[tuple[int, Any, Any]]) -> WindowScores:
    starts = np.concatenate([np.asarray(starts, np.int64) for _, starts, _ in segments])
    scores = np.concatenate([np.asarray(scores, np.float32) for _, _, scores in segments])
    starts, first = np.unique(starts, return_index=True)  # ascending
    return WindowScores(starts / SAMPLE_RATE_HZ, scores[first], segments[0][0] / SAMPLE_RATE_HZ)
