"""Iterates over the units of an output folder, one recording in memory at a time, and counts them.

No other module of this room reads stored scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from model.calls import CountingRule
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES
from pipeline.records import DetectedCall, RecordingCount
from pipeline.review.units import KINDS, N_LEVELS, Integers, Units, units_of
from pipeline.storage import files
from pipeline.store.moves import read_moves
from pipeline.store.scores import kept_files, open_scores, with_todays_names
from pipeline.tables.cell_text import guard_path
from pipeline.tables.read import RunResults, WindowScores, read_scores
from pipeline.tables.rows import valid_s, was_counted

_KEYS = ["recording", "run_id"]
_VALUES = ["score_samples", "starts", "scores"]


def each_recording(output: str, results: RunResults) -> Iterator[tuple[RecordingCount, Units]]:
    """Yields every counted recording with stored scores, with its units.

    The order is arbitrary. Time grows with the scores, memory with their largest file.
    """
    rows = {row.recording: row for row in results.recordings if was_counted(row)}
    calls: dict[str, list[DetectedCall]] = defaultdict(list)
    for call in results.calls:
        calls[call.recording].append(call)
    used = results.run.get("counting", {}).get("rule", {})
    of_peaks = {f.name for f in fields(CountingRule)} - {"evidence"}
    rule = CountingRule(**{"threshold": 0.5, **{k: v for k, v in used.items() if k in of_peaks}})
    for recording, scores in _each_scores(output, rows):
        row = rows[recording]
        rule = replace(rule, threshold=row.threshold)
        yield row, units_of(row, calls[recording], scores, rule)


def _each_scores(
    output: str, rows: Mapping[str, RecordingCount]
) -> Iterator[tuple[str, WindowScores]]:
    """Scores as from ``read_scores``, for any number of recordings."""
    lies_in: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name in kept_files(output):
        for recording, run_id, _ in _segments(output, name, []):
            if recording in rows:
                lies_in[recording][run_id].add(name)
    # If several runs scored a recording, the last run's scores count.
    last = {recording: max(runs) for recording, runs in lies_in.items()}
    scattered = {rec for rec, run_id in last.items() if len(lies_in[rec][run_id]) > 1}
    for name in kept_files(output):
        segments_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for recording, run_id, values in _segments(output, name, _VALUES):
            if last.get(recording) == run_id and recording not in scattered:
                segments_of[recording].append(values)
        for recording, segments in segments_of.items():
            yield recording, _joined(segments)
    if scattered:
        yield from read_scores(output, scattered).items()


def _segments(
    output: str, name: str, columns: list[str]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Recording, run and chosen columns of the segments in a file of scores."""
    moves = read_moves(files.join(output, "ledger"))
    file = open_scores(name)
    if not file:
        return
    there = [c for c in [*_KEYS, "identity", *columns] if c in file.schema_arrow.names]
    for group in range(file.num_row_groups):
        table = with_todays_names(file.read_row_group(group, there), "recording", moves)
        keys = table.select(_KEYS).to_pydict()
        for index, (recording, run_id) in enumerate(
            zip(keys["recording"], keys["run_id"], strict=True)
        ):
            values = {column: table[column][index] for column in there if column in columns}
            yield guard_path(recording), run_id, values


def _joined(segments: list[dict[str, Any]]) -> WindowScores:
    starts = np.concatenate([segment["starts"].values.to_numpy() for segment in segments])
    scores = np.concatenate([segment["scores"].values.to_numpy() for segment in segments])
    stored = segments[0].get("score_samples")
    score_samples = stored.as_py() if stored is not None else WINDOW_SAMPLES
    starts, first = np.unique(starts, return_index=True)
    return WindowScores(starts / SAMPLE_RATE_HZ, scores[first], score_samples / SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class Frame:
    """Numbers of units of each kind and level at each site.

    Attributes:
        units: counts by site, int64 ``[kinds, levels]`` each.
        recorded_s: validly recorded seconds, by site.
        recordings: number of recordings with stored scores.
        without_scores: number of counted recordings without.
    """

    units: Mapping[str, Integers]
    recorded_s: Mapping[str, float]
    recordings: int
    without_scores: int


def read_frame(output: str, results: RunResults) -> Frame:
    """Counts the units of an output folder."""
    units: dict[str, Integers] = {}
    recorded_s: dict[str, float] = defaultdict(float)
    n = 0
    for row, units_here in each_recording(output, results):
        at = units.setdefault(row.site, np.zeros((len(KINDS), N_LEVELS), np.int64))
        np.add.at(at, (units_here.kinds, units_here.levels), 1)
        recorded_s[row.site] += valid_s(row)
        n += 1
    counted = sum(map(was_counted, results.recordings))
    return Frame(dict(sorted(units.items())), recorded_s, n, counted - n)
