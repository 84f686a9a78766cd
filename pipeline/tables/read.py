"""What runs left in an output folder, read back: rows, scores and run.json."""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model.calls import log_odds
from model.windows import SAMPLE_RATE_HZ, WINDOW_S
from pipeline.inputs.deployments import where_and_when_called
from pipeline.records import DetectedCall, RecordingCount, VerifiedCount
from pipeline.storage import files
from pipeline.storage.sealed import without_checksum
from pipeline.store import parts
from pipeline.store.moves import read_moves
from pipeline.store.scores import files_of, kept_files, read_table, rows_of
from pipeline.tables.cell_text import guard_path, unguard_path
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
    """The scores of these recordings, as from ``each_scores``."""
    return dict(each_scores(output, recordings))


def each_scores(output: str, recordings: Collection[str]) -> Iterator[tuple[str, WindowScores]]:
    """Recordings with their scores, where they were kept, a part in memory at a time.

    Of a recording that was scored by several runs, the last one's. Parts that the recordings seem
    to be in are read first, and all others only for recordings that these lack: a name may be
    relative to another folder.
    """
    moves, left = read_moves(parts.ledger(output)), set(map(unguard_path, recordings))
    of_part: dict[str, set[str]] = defaultdict(set)
    for name in left:
        of_part[parts.part_of(files.identity(name))].add(name)

    def places() -> Iterator[tuple[Iterable[str], Collection[str]]]:
        for part, of_it in of_part.items():
            yield files_of(output, parts.look(output, part).sources), of_it
        if left:
            for _, some in groupby(kept_files(output), key=posixpath.dirname):
                yield some, left

    for names, asked in places():
        segments: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for name in names:
            table = read_table(name, moves)
            is_asked = pc.is_in(table["recording"], pa.array(asked, pa.string()))
            for row in rows_of(table.filter(is_asked)):
                of_run = segments.setdefault(row["recording"], {})
                of_run.setdefault(row["run_id"], []).append(row)
        left -= segments.keys()
        for recording, runs in segments.items():
            yield guard_path(recording), _join(runs[max(runs)])


def _join(segments: list[dict[str, Any]]) -> WindowScores:
    starts = np.concatenate([segment["starts"] for segment in segments])
    scores = np.concatenate([segment["scores"] for segment in segments])
    starts, first = np.unique(starts, return_index=True)  # ascending
    score_s = segments[0]["score_samples"] / SAMPLE_RATE_HZ
    return WindowScores(starts / SAMPLE_RATE_HZ, scores[first], score_s)
