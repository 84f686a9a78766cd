"""report.html beside the tables of a run: which calls and recordings it shows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence

from model.decoders import AudioError
from pipeline.report.page import PicturedCall, PictureGroup, render_page
from pipeline.report.pictures import picture_call
from pipeline.storage import files
from pipeline.tables.cell_text import encode
from pipeline.tables.read import CallResult, RecordingResult, RunResults, read_results, read_scores

PICTURES_EACH = 6
OF_ONE_RECORDING = 2
ROWS_AT_MOST = 1000


def write_report(output: str) -> str:
    """Makes report.html from the tables in a folder. Returns its name.

    Raises:
        OSError: the folder holds no tables of a run, or cannot be written to.
    """
    results = read_results(output)
    groups = [
        PictureGroup(title, tuple(map(_pictured, calls))) for title, calls in choose_calls(results)
    ]
    listed = choose_recordings(results.recordings)
    scores = read_scores(output, {recording.recording for recording in listed})
    page = render_page(results, listed, groups, scores)
    name = files.join(output, "report.html")
    files.write_atomically(name, [encode(page)])
    return name


def choose_calls(
    results: RunResults, each: int = PICTURES_EACH
) -> list[tuple[str, list[CallResult]]]:
    """The strongest, the weakest and some random calls; each call at most once."""
    chance = random.Random(len(results.calls))
    ranked = list(results.calls)
    chance.shuffle(ranked)  # or, of calls with equal scores, the first files would always be shown
    ranked.sort(key=lambda call: -call.score)
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


def _first(calls: Iterable[CallResult], n: int) -> list[CallResult]:
    """The first calls, of one recording ``OF_ONE_RECORDING`` at most unless the others run out."""
    taken: list[CallResult] = []
    passed_over: list[CallResult] = []
    of_recording: Counter[str] = Counter()
    for call in calls:
        of_recording[call.recording] += 1
        (taken if of_recording[call.recording] <= OF_ONE_RECORDING else passed_over).append(call)
        if len(taken) == n:
            return taken
    return [*taken, *passed_over][:n]


def choose_recordings(
    recordings: Sequence[RecordingResult], at_most: int = ROWS_AT_MOST
) -> list[RecordingResult]:
    """All recordings, or half of ``at_most`` with the most calls and half drawn at random."""
    if len(recordings) <= at_most:
        return list(recordings)
    ranked = sorted(recordings, key=lambda r: -(r.call_count or 0))
    most, others = ranked[: at_most // 2], ranked[at_most // 2 :]
    drawn = random.Random(len(recordings)).sample(others, at_most - len(most))
    return sorted([*most, *drawn], key=lambda r: r.recording)


def _pictured(call: CallResult) -> PicturedCall:
    try:
        return PicturedCall(call, picture_call(call.recording, call.start_s, call.end_s))
    except (AudioError, OSError) as error:
        return PicturedCall(call, None, f"No picture: {error}")
