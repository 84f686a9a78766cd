"""Which calls and recordings a page shows when there are more than anyone would look at."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pipeline.records import DetectedCall, RecordingCount
from pipeline.tables.read import WindowScores

CALLS_EACH = 6
OF_ONE_RECORDING = 2
ROWS_AT_MOST = 20_000
STRIPS_AT_MOST = 2000


def choose_calls(
    calls: Sequence[DetectedCall], scores: Mapping[str, WindowScores], each: int = CALLS_EACH
) -> list[tuple[str, list[DetectedCall]]]:
    """The strongest, the weakest and some random calls; each call at most once.

    Args:
        calls: all there are.
        scores: of their recordings, as far as they were read; they rank calls of equal scores.
        each: how many of each kind.
    """
    chance = random.Random(len(calls))
    ranked = rank_calls(calls, scores)
    if len(ranked) <= 3 * each:
        return [("All calls, strongest first", ranked)] if ranked else []
    strongest = _first(ranked, each)
    weakest = _first([call for call in reversed(ranked) if call not in set(strongest)], each)
    others = [call for call in ranked if call not in strongest and call not in weakest]
    most = f"at most {OF_ONE_RECORDING} of a recording"
    return [
        (f"Strongest ({most})", strongest),
        (f"Weakest ({most}): look here first for false alarms", weakest),
        ("Drawn at random from the others", chance.sample(others, each)),
    ]


def rank_calls(
    calls: Iterable[DetectedCall], scores: Mapping[str, WindowScores]
) -> list[DetectedCall]:
    """Calls by their score, the strongest first.

    Of calls with equal scores those are stronger whose neighbouring scores are higher: a call
    raises several, a click one. What is equal even then has the order of a checksum, or the first
    files would always be shown.
    """

    def strength(call: DetectedCall) -> tuple[float, float, int]:
        of_recording = scores.get(call.recording)
        support = of_recording.support(call.start_s, call.end_s) if of_recording else 0.0
        name = f"{call.recording}\n{call.start_s:.3f}"
        return call.score, support, zlib.crc32(name.encode(errors="surrogateescape"))

    return sorted(calls, key=strength, reverse=True)


def _first(calls: Iterable[DetectedCall], n: int) -> list[DetectedCall]:
    """The first calls, of one recording ``OF_ONE_RECORDING`` at most unless the others run out."""
    taken: list[DetectedCall] = []
    passed_over: list[DetectedCall] = []
    of_recording: Counter[str] = Counter()
    for call in calls:
        of_recording[call.recording] += 1
        (taken if of_recording[call.recording] <= OF_ONE_RECORDING else passed_over).append(call)
        if len(taken) == n:
            return taken
    return [*taken, *passed_over][:n]


def choose_recordings(
    recordings: Sequence[RecordingCount], at_most: int = ROWS_AT_MOST
) -> list[RecordingCount]:
    """All recordings, or half of ``at_most`` with the most calls and half drawn at random."""
    if len(recordings) <= at_most:
        return list(recordings)
    ranked = sorted(recordings, key=lambda r: -(r.call_count or 0))
    most, others = ranked[: at_most // 2], ranked[at_most // 2 :]
    drawn = random.Random(len(recordings)).sample(others, at_most - len(most))
    return sorted([*most, *drawn], key=lambda r: r.recording)


def choose_strips(recordings: Iterable[RecordingCount], at_most: int = STRIPS_AT_MOST) -> set[str]:
    """Recordings whose scores are drawn: those with the most calls, then the highest scores."""
    ranked = sorted(recordings, key=lambda r: (-(r.call_count or 0), -(r.max_score or 0)))
    return {row.recording for row in ranked[:at_most]}
