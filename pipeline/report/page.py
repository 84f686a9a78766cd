"""report.html: one file with everything in it, from what runs left in an output folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from model.decoders import AudioError
from pipeline.records import DetectedCall, RecordingCount
from pipeline.report.activity import by_date, by_hour, by_site
from pipeline.report.charts import bars, strip
from pipeline.report.choose import choose_calls, choose_recordings
from pipeline.report.html import fill_in
from pipeline.report.spectrograms import TOP_HZ, CallPicture, picture_call
from pipeline.storage import files
from pipeline.tables.activity import activity
from pipeline.tables.cell_text import encode
from pipeline.tables.read import RunResults, WindowScores, read_results, read_scores
from pipeline.tables.rows import is_failure, local_start, was_counted

FAILURES_AT_MOST = 200


@dataclass(frozen=True)
class ShownCall:
    """A call, and its picture or why there is none."""

    call: DetectedCall
    picture: CallPicture | None
    problem: str = ""


@dataclass(frozen=True)
class CallGroup:
    """Calls that were chosen for one reason."""

    title: str
    calls: tuple[ShownCall, ...]


def write_page(output: str) -> str:
    """Makes report.html from the tables in a folder. Returns its name.

    Raises:
        OSError: the folder holds no tables of a run, or cannot be written to.
    """
    results = read_results(output)
    groups = [
        CallGroup(title, tuple(map(_pictured, calls)))
        for title, calls in choose_calls(results.calls)
    ]
    listed = choose_recordings(results.recordings)
    scores = read_scores(output, {row.recording for row in listed})
    name = files.join(output, "report.html")
    files.write_atomically(name, [encode(render_page(results, listed, groups, scores))])
    return name


def _pictured(call: DetectedCall) -> ShownCall:
    try:
        return ShownCall(call, picture_call(call.recording, call.start_s, call.end_s))
    except (AudioError, OSError) as error:
        return ShownCall(call, None, f"No picture: {error}")


def render_page(
    results: RunResults,
    listed: Sequence[RecordingCount],
    groups: Sequence[CallGroup],
    scores: Mapping[str, WindowScores],
) -> str:
    """The whole page.

    Args:
        results: what the run left behind.
        listed: the recordings that get a row in the table; all, or a sample.
        groups: the calls that are shown.
        scores: of the windows of listed recordings, where they were kept.
    """
    recordings, counted = results.recordings, list(filter(was_counted, results.recordings))
    hours = activity(recordings, results.calls)
    dates = by_date(hours)
    failures = list(filter(is_failure, recordings))
    return fill_in(
        "report.html",
        top_hz=TOP_HZ,
        n_recordings=len(recordings),
        n_calls=len(results.calls),
        n_counted=len(counted),
        n_timed=sum(1 for row in counted if row.recorded_local),
        n_with_calls=sum(1 for row in recordings if row.call_count),
        heard_h=sum(row.heard_s or 0 for row in recordings) / 3600,
        made=_made(results.run),
        groups=groups,
        n_shown=sum(len(group.calls) for group in groups),
        hours_chart=bars(by_hour(hours), "hour of the day") if dates else "",
        dates_chart=bars(dates, _unit(dates[0].label)) if dates else "",
        sites=by_site(recordings),
        rows=_rows(listed, results.calls, scores),
        folder=_common_folder(listed),
        failures=failures[:FAILURES_AT_MOST],
        n_failures=len(failures),
        panels=_panels(results.run) if results.run else {},
    )


def _made(run: Mapping[str, Any]) -> str:
    """When and with what, in a line."""
    parts = [
        run.get("finished_at", "").replace("T", " ").replace("+00:00", " UTC"),
        f"model {run['model']['version']}" if "model" in run else "",
        f"{run['throughput']['times_real_time']:,.0f} × real time" if "throughput" in run else "",
    ]
    return " · ".join(filter(None, parts))


def _unit(label: str) -> str:
    return "date" if len(label) > len("YYYY-MM") else "month"


def _rows(
    listed: Sequence[RecordingCount],
    calls: Sequence[DetectedCall],
    scores: Mapping[str, WindowScores],
) -> list[dict[str, Any]]:
    """The table of recordings: each row with its chart."""
    calls_of = defaultdict(list)
    for call in calls:
        calls_of[call.recording].append(call)
    rows = []
    for row in listed:
        name, began, chart = row.recording, local_start(row), ""
        if was_counted(row):
            chart = strip(row.duration_s or 0, scores.get(name), calls_of[name], row.threshold)
        rows.append(
            {
                "count": row,
                "began": began.isoformat(" ", "minutes") if began else "",
                "flags": ", ".join(row.quality_flags.split()),
                "chart": chart,
            }
        )
    return rows


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
            **counting.get("rule", {}),
        },
        "Last run": times | run.get("throughput", {}),
        "Versions": run.get("versions", {}),
    }
