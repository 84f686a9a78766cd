"""report.html: one file with everything in it, from what runs left in an output folder."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from model.audio.decoders import AudioError
from pipeline.records import SCORE_DIGITS, DetectedCall, Outcome, RecordingCount
from pipeline.report.activity import Activity, by_hour, by_site, expected_total, heat_map
from pipeline.report.charts import (
    Bar,
    distinct_names,
    geojson,
    score_bars,
    site_map,
    stricter_counts,
    strip_code,
)
from pipeline.report.choose import STRIPS_AT_MOST, choose_calls, choose_recordings, choose_strips
from pipeline.report.headline import headline
from pipeline.report.html import clock, fill_in
from pipeline.report.spectrograms import TOP_HZ, CallPicture, picture_call
from pipeline.report.speech import SpeechMode
from pipeline.report.sun import sun_times
from pipeline.report.verified import review_link, verified_figures
from pipeline.storage import files
from pipeline.tables.activity import activity
from pipeline.tables.cell_text import encode
from pipeline.tables.read import RunResults, WindowScores, read_results, read_scores
from pipeline.tables.rows import OUTCOME_WORDS, is_failure, local_start, was_counted
from pipeline.tables.score_scale import TICKS, score_place, score_text

REPORT_PAGE = "report.html"
FAILURES_AT_MOST = 200
REMARKS_AT_MOST = 20
LINKED_TABLES = ("counts.csv", "calls.csv", "activity.csv", "failures.csv", "verified.csv")
DOUBTS = ("more_expected", "fewer_expected")
TIMES_AT_MOST = 200
"""Calls of a recording that its row opens to."""


@dataclass(frozen=True)
class ShownCall:
    """A call, and its picture or why there is none.

    Attributes:
        title: place and time.
    """

    call: DetectedCall
    title: str
    picture: CallPicture | None
    problem: str = ""

    @property
    def alt(self) -> str:
        """The picture in words."""
        call = self.call
        return (
            f"Spectrogram of a call, {self.title}: {call.end_s - call.start_s:.1f} s long from "
            f"{clock(call.start_s)} in the recording, score {score_text(call.score)}"
        )


@dataclass(frozen=True)
class CallGroup:
    """Calls with one reason for their choice."""

    title: str
    calls: tuple[ShownCall, ...]


def write_page(output: str, speech: SpeechMode = "") -> str:
    """Makes report.html from the tables in a folder. Returns its name.

    Args:
        output: the folder.
        speech: treatment of people's voices in its clips.

    Raises:
        OSError: the folder holds no tables of a run, or is not writable.
    """
    results = read_results(output)
    names = distinct_names([call.recording for call in results.calls])
    listed = choose_recordings(results.recordings)
    scores = read_scores(output, choose_strips(listed))
    groups = [
        CallGroup(title, tuple(_pictured(call, names[call.recording], speech) for call in calls))
        for title, calls in choose_calls(results.calls, scores)
    ]
    name = files.join(output, REPORT_PAGE)
    files.write_atomically(name, [encode(render_page(results, listed, groups, scores, output))])
    return name


def _pictured(call: DetectedCall, name: str, speech: SpeechMode = "") -> ShownCall:
    when = call.called_local.replace("T", " ")[: len("YYYY-MM-DD HH:MM:SS")]
    title = " · ".join(filter(None, (call.site or name, when))) if when else ""
    title = title or " · ".join(filter(None, (call.site, name)))
    try:
        picture = picture_call(call.recording, call.start_s, call.end_s, speech)
        return ShownCall(call, title, picture)
    except (AudioError, OSError) as error:
        return ShownCall(call, title, None, f"No picture: {error}")


def render_page(
    results: RunResults,
    listed: Sequence[RecordingCount],
    groups: Sequence[CallGroup],
    scores: Mapping[str, WindowScores],
    output: str,
) -> str:
    """The whole page.

    Args:
        results: tables of the run.
        listed: the recordings with a row in the table; all, or a sample.
        groups: the calls with a picture.
        scores: of listed recordings with a chart of their scores.
        output: the page's folder.
    """
    recordings, counted = results.recordings, list(filter(was_counted, results.recordings))
    hours = activity(recordings, results.calls)
    heat, hourly, sites = heat_map(hours), by_hour(hours), by_site(recordings)
    failures = list(filter(is_failure, recordings))
    n_failed = sum(row.outcome == Outcome.FAILED.value for row in recordings)
    verified = verified_figures(output, results)
    return fill_in(
        REPORT_PAGE,
        headline=headline(recordings, verified),
        top_hz=TOP_HZ,
        outcomes=OUTCOME_WORDS,
        n_recordings=len(recordings),
        n_calls=len(results.calls),
        n_counted=len(counted),
        n_failed=n_failed,
        n_truncated=len(failures) - n_failed,
        n_timed=sum(1 for row in counted if row.recorded_local),
        n_with_calls=sum(1 for row in recordings if row.call_count),
        heard_h=sum(row.heard_s or 0 for row in recordings) / 3600,
        expected=expected_total(recordings),
        **{f"n_{flag}": sum(flag in r.quality_flags for r in recordings) for flag in DOUBTS},
        made=_made(results.run),
        remarks=results.run.get("remarks", ())[:REMARKS_AT_MOST],
        groups=groups,
        by_score=_by_score(results),
        ticks=_ticks(),
        strips_at_most=STRIPS_AT_MOST,
        n_shown=sum(len(group.calls) for group in groups),
        heat=heat,
        unit=heat.unit if heat else "",
        most_valid_s=max((column.valid_s for column in heat.columns), default=0) if heat else 0,
        by_hour=hourly,
        highest_hour=_highest(hourly),
        sites=sites,
        highest_site=_highest(sites),
        map=site_map(recordings, sites),
        geojson=encode(geojson(recordings, sites)),
        sun=sun_times(recordings),
        verified=verified,
        review=review_link(output),
        tables=[name for name in LINKED_TABLES if files.exists(files.join(output, name))],
        table=_table(listed, results.calls, scores, output),
        failures=failures[:FAILURES_AT_MOST],
        n_failures=len(failures),
        panels=_panels(results.run) if results.run else {},
    )


@dataclass(frozen=True)
class CallsByScore:
    """How sure the model was of the calls, and what stricter thresholds would leave of them.

    Attributes:
        threshold: of the last run.
        own_threshold: the model's; None if it is not known.
        stricter: higher thresholds, and the calls that would be left.
    """

    bars: Sequence[Bar]
    threshold: float
    own_threshold: float | None
    stricter: Sequence[tuple[str, int]]

    @property
    def most(self) -> int:
        """Calls of the highest bar."""
        return max(bar.calls for bar in self.bars)


def _by_score(results: RunResults) -> CallsByScore | None:
    if not results.calls:
        return None
    used = results.run.get("counting", {}).get("rule", {}).get("threshold")
    threshold = used or max((row.threshold or 0 for row in results.recordings), default=0) or 0.5
    own = results.run.get("contract", {}).get("rule", {}).get("threshold")
    stricter = stricter_counts(results.calls, threshold)
    return CallsByScore(score_bars(results.calls), threshold, own, stricter)


def _ticks() -> list[tuple[str, float]]:
    """The labels of an axis of scores and where they stand on it, in percent."""
    return [(f"{score:g}", round(100 * float(score_place(score)), 1)) for score in TICKS]


def _highest(activities: Sequence[Activity]) -> float:
    return max((a.calls_per_hour or 0 for a in activities), default=0)


def _made(run: Mapping[str, Any]) -> str:
    """When and with what, in a line."""
    parts = [
        run.get("finished_at", "").replace("T", " ").replace("+00:00", " UTC"),
        f"model {run['model']['version']}" if "model" in run else "",
    ]
    return " · ".join(filter(None, parts))


ROW_FIELDS = (
    *("name", "outcome", "calls", "score", "began", "site", "flags", "error"),
    *("duration_s", "threshold", "times", "strip"),
)
"""What the page's script knows of a recording. ``threshold`` is its place on the axis of scores.
``times`` holds start and end of each call in tenths of a second, and the decimals of its score as a
whole number: 20,000 recordings must fit into a page."""

SHOWN_COLUMNS = (
    ("name", "recording", False),
    ("outcome", "outcome", False),
    ("calls", "calls", True),
    ("score", "highest score", True),
    ("began", "began", False),
    ("site", "site", False),
    ("flags", "flags", False),
    ("strip", "scores over time", False),
)
"""Field, heading and whether it is a number, of each column that may be shown."""


def _table(
    listed: Sequence[RecordingCount],
    calls: Sequence[DetectedCall],
    scores: Mapping[str, WindowScores],
    output: str,
) -> dict[str, Any]:
    """The table of recordings, as data for the page's script: those with most calls first."""
    calls_of: dict[str, list[DetectedCall]] = defaultdict(list)
    for call in calls:
        if len(calls_of[call.recording]) < TIMES_AT_MOST:
            calls_of[call.recording].append(call)
    folder = _common_folder(listed)
    rows = [
        _row(row, folder, calls_of[row.recording], scores.get(row.recording))
        for row in sorted(listed, key=lambda r: (-(r.call_count or 0), r.recording))
    ]
    used = [
        column
        for column in SHOWN_COLUMNS
        if column[0] not in ("began", "site", "flags")
        or any(row[ROW_FIELDS.index(column[0])] for row in rows)
    ]
    is_here = files.is_local(output) and files.is_local(folder)
    base = os.path.relpath(files.identity(folder or "."), files.identity(output))
    return {
        "fields": ROW_FIELDS,
        "columns": used,
        "outcomes": OUTCOME_WORDS,
        "folder": folder,
        "base": base if is_here else None,
        "rows": rows,
        "n_strips": len(scores),
        "ticks": _ticks(),
        "digits": SCORE_DIGITS,
    }


def _row(
    row: RecordingCount,
    folder: str,
    calls: Sequence[DetectedCall],
    scores: WindowScores | None,
) -> list[Any]:
    began = local_start(row)
    return [
        row.recording.removeprefix(folder),
        row.outcome,
        row.call_count,
        None if row.max_score is None else round(row.max_score, SCORE_DIGITS),
        began.isoformat(" ", "minutes") if began else "",
        row.site,
        row.quality_flags.replace(" ", ", "),
        row.error if is_failure(row) else "",
        row.duration_s and round(row.duration_s, 1),
        round(float(score_place(row.threshold or 0)), 3),
        [
            n
            for c in calls
            for n in (round(c.start_s * 10), round(c.end_s * 10), round(c.score * 10**SCORE_DIGITS))
        ],
        strip_code(row.duration_s or 0, scores) if scores and was_counted(row) else "",
    ]


def _common_folder(recordings: Sequence[RecordingCount]) -> str:
    """The folder that holds all of them, with its final slash; empty if there is none."""
    names = [row.recording for row in recordings]
    ends = zip(min(names, default=""), max(names, default=""), strict=False)
    shared = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return shared[: shared.rfind("/") + 1]


def _panels(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """How the counts were made: what run.json says, under four headings."""
    counting = run.get("counting", {})
    given = {k: v for k, v in run.get("configuration", {}).items() if v not in (None, [], "")}
    card = dict(run.get("contract") or run.get("model", {}))
    metrics = card.pop("metrics", {})
    for said_elsewhere in ("rule", "libraries"):
        card.pop(said_elsewhere, None)
    times = {
        "run": run.get("run_id", ""),
        "started": run.get("started_at", ""),
        "finished": run.get("finished_at", ""),
    }
    return {
        "Model": card | metrics,
        "Configuration of the last run": {
            **given,
            "counting": counting.get("method", ""),
            **{k: v for k, v in counting.get("rule", {}).items() if k != "evidence"},
        },
        "Last run": times | run.get("throughput", {}),
        "Versions": run.get("versions", {}),
    }
