"""Iterates over the units of an output folder, a part in memory at a time, and counts them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from model.calls import CountingRule
from pipeline.records import DetectedCall, RecordingCount
from pipeline.review.units import KINDS, N_LEVELS, Integers, Units, units_of
from pipeline.tables.read import RunResults, each_scores
from pipeline.tables.rows import valid_s, was_counted


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
    for recording, scores in each_scores(output, rows):
        row = rows[recording]
        rule = replace(rule, threshold=row.threshold)
        yield row, units_of(row, calls[recording], scores, rule)


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
