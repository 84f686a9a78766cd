"""report.html: one file with everything in it, from what a run left behind."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files as package_files
from itertools import takewhile
from typing import Any

from pipeline.records import Outcome
from pipeline.report.activity import by_date, by_hour, by_site
from pipeline.report.pictures import TOP_HZ, CallPicture
from pipeline.report.svg import bars, clock, strip
from pipeline.tables.read import CallResult, RecordingResult, RunResults, WindowScores, is_failure

FAILURES_AT_MOST = 200

# Nothing may be fetched: the page must be the same without a network, now and in ten years.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


@dataclass(frozen=True)
class PicturedCall:
    """A call, and its picture or why there is none."""

    call: CallResult
    picture: CallPicture | None
    problem: str = ""


@dataclass(frozen=True)
class PictureGroup:
    """Pictures that were chosen for one reason."""

    title: str
    calls: tuple[PicturedCall, ...]


def render_page(
    results: RunResults,
    listed: Sequence[RecordingResult],
    groups: Sequence[PictureGroup],
    scores: Mapping[str, WindowScores],
) -> str:
    """The whole page.

    Args:
        results: what the run left behind.
        listed: the recordings that get a row in the table; all, or a sample.
        groups: the calls that are shown.
        scores: of the windows of listed recordings, where they were kept.
    """
    sections = [
        _head(results),
        *_pictures(results, groups),
        *_activity(results),
        *_recordings(results, listed, scores),
        *_failures(results),
        *_about(results),
    ]
    style = package_files("pipeline.report").joinpath("report.css").read_text("utf-8")
    script = package_files("pipeline.report").joinpath("report.js").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_title(results)}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n'
        + "\n".join(sections)
        + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _title(results: RunResults) -> str:
    return f"Capuchinbird calls in {_many(len(results.recordings), 'recording')}"


def _head(results: RunResults) -> str:
    recordings, run = results.recordings, results.run
    heard_s = sum(r.heard_s for r in recordings)
    with_calls = sum(1 for r in recordings if r.call_count)
    failed = sum(1 for r in recordings if r.outcome == Outcome.FAILED.value)
    tiles = [
        (f"{len(results.calls):,}", "calls"),
        (f"{with_calls:,}", "recordings with calls"),
        (f"{len(recordings):,}", "recordings"),
        (f"{heard_s / 3600:,.2f} h", "of audio heard"),
        (f"{len(results.calls) / heard_s * 3600:,.1f}" if heard_s else "–", "calls per hour heard"),
        (f"{failed:,}", "failed"),
    ]
    made = [
        run.get("finished_at", "").replace("T", " ").replace("+00:00", " UTC"),
        f"model {run['model']['version']}" if "model" in run else "",
        f"{run['throughput']['times_real_time']:,.0f} × real time" if "throughput" in run else "",
    ]
    return (
        f"<h1>{_title(results)}</h1>\n"
        f'<p class="soft">{escape(" · ".join(part for part in made if part))}</p>\n'
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{value}</b><span>{escape(what)}</span></div>'
            for value, what in tiles
        )
        + "</div>"
    )


def _pictures(results: RunResults, groups: Sequence[PictureGroup]) -> Iterator[str]:
    yield "<h2>Calls to look at and to listen to</h2>"
    shown = sum(len(group.calls) for group in groups)
    if not results.calls:
        yield "<p>No call was found.</p>"
        return
    if not shown:
        yield "<p>No picture was asked for.</p>"
        return
    sampled = (
        "All calls are shown."
        if shown == len(results.calls)
        else f"{shown} of {_many(len(results.calls), 'call')} are shown, chosen as headings say;"
        " calls.csv lists them all."
    )
    yield (
        f'<p class="soft">{sampled} The bar above a picture marks the call. Click into a picture '
        "to play from there. Time in the recording (m:ss), frequency in kHz; clips are made "
        "equally loud.</p>"
    )
    for group in groups:
        yield f"<h3>{escape(group.title)}</h3>"
        yield '<div class="calls">' + "".join(map(_figure, group.calls)) + "</div>"


def _figure(pictured: PicturedCall) -> str:
    call, picture = pictured.call, pictured.picture
    caption = (
        f'<figcaption><b title="{escape(call.recording)}">{escape(_base_name(call.recording))}</b>'
        f"<span>{clock(call.start_s)} · score {call.score:.3f}</span></figcaption>"
    )
    if picture is None:
        return (
            f"<figure hidden>{caption}</figure>"
            if not pictured.problem
            else (
                f'<div class="panel">{caption}<p class="soft">{escape(pictured.problem)}</p></div>'
            )
        )
    length_s = picture.end_s - picture.begin_s

    def share(seconds: float) -> float:
        return 100 * min(max((seconds - picture.begin_s) / length_s, 0.0), 1.0)

    left, right = share(call.start_s), share(call.end_s)
    times = "".join(
        f'<span style="left:{share(second):.2f}%">{clock(second)}</span>'
        for second in range(int(picture.begin_s) + 1, int(picture.end_s) + 1)
        if second % 2 == 0 and 5 < share(second) < 95
    )
    levels = "".join(
        f'<span style="bottom:{100 * hz / TOP_HZ:.1f}%">{hz // 1000}</span>'
        for hz in range(1000, TOP_HZ, 1000)
    )
    return (
        f'<figure data-seconds="{length_s:.3f}">{caption}<div class="spectrogram axis">'
        f'<div class="bounds"><i style="left:{left:.2f}%;width:{right - left:.2f}%"></i></div>'
        f'<div class="y">{levels}</div><div class="picture">'
        f'<img loading="lazy" alt="spectrogram" src="{_data("image/jpeg", picture.jpeg)}">'
        f'<div class="playhead"></div></div><div class="unit">kHz</div>'
        f'<div class="x">{times}</div></div>'
        f'<audio controls preload="metadata" src="{_data("audio/mpeg", picture.mp3)}"></audio>'
        "</figure>"
    )


def _activity(results: RunResults) -> Iterator[str]:
    hours = by_hour(results.recordings, results.calls)
    dates = by_date(results.recordings, results.calls)
    sites = by_site(results.recordings)
    if not dates and not sites:
        return
    yield "<h2>Activity</h2>"
    timed = sum(1 for r in results.recordings if r.recorded_local and r.counted)
    counted = sum(1 for r in results.recordings if r.counted)
    yield (
        '<p class="soft">Calls for each hour validly recorded (less silence and dropouts), so that '
        "hours, days and sites with more recordings do not look busier."
        + (
            f" {timed:,} of {_many(counted, 'counted recording')} say when they began; times are "
            "of the clock on site. Grey: nothing recorded."
            if dates
            else " No recording says when it began."
        )
        + "</p>"
    )
    if dates:
        unit = "date" if len(dates[0].label) > len("YYYY-MM") else "month"
        yield f'<div class="panel">{bars(hours, "hour of the day")}</div>'
        yield f'<div class="panel">{bars(dates, unit)}</div>'
    if sites:
        yield '<div class="panel"><table class="sortable"><thead><tr>'
        yield _heads(
            [("site", False), ("calls", True), ("hours recorded", True), ("calls per hour", True)]
        )
        yield "</tr></thead><tbody>"
        for site in sites:
            rate = site.calls_per_hour
            yield (
                "<tr>"
                + "".join(
                    (
                        _cell(site.label, site.label),
                        _cell(f"{site.calls:,}", site.calls, "number"),
                        _cell(f"{site.valid_s / 3600:,.2f}", site.valid_s, "number"),
                        _cell("–" if rate is None else f"{rate:,.1f}", _or_empty(rate), "number"),
                    )
                )
                + "</tr>"
            )
        yield "</tbody></table></div>"


def _recordings(
    results: RunResults, listed: Sequence[RecordingResult], scores: Mapping[str, WindowScores]
) -> Iterator[str]:
    calls: dict[str, list[CallResult]] = {}
    for call in results.calls:
        calls.setdefault(call.recording, []).append(call)
    sites = any(r.site for r in listed)
    times = any(r.recorded_local for r in listed)
    flags = any(r.flags for r in listed)

    yield "<h2>Recordings</h2>"
    sampled = (
        f" {len(listed):,} of {len(results.recordings):,} are shown: those with the most calls, "
        "and others drawn at random; counts.csv lists them all."
        if len(listed) < len(results.recordings)
        else ""
    )
    folder = _common_folder(listed)
    below = f" Names begin at {escape(folder)}." if folder else ""
    yield (
        f'<p class="soft">Click a heading to sort.{below}{sampled}</p>'
        '<p class="soft">Scores over time: <i class="key" style="background:var(--data)"></i>'
        'score of a window, 0 to 1<i class="key" style="background:var(--call)"></i>call'
        " · dashed: threshold of a call</p>"
    )
    yield (
        '<input type="search" data-table="recordings" placeholder="Find a recording" '
        'aria-label="Find a recording">'
    )
    yield '<div class="panel"><table id="recordings" class="sortable"><thead><tr>'
    heads = [("recording", False), ("outcome", False), ("calls", True), ("highest score", True)]
    heads += [("began", False)] if times else []
    heads += [("site", False)] if sites else []
    heads += [("flags", False)] if flags else []
    yield _heads(heads) + "<th>scores over time (m:ss)</th></tr></thead><tbody>"
    for r in listed:
        picture = (
            strip(r.duration_s, scores.get(r.recording), calls.get(r.recording, ()), r.threshold)
            if r.counted
            else ""
        )
        began = r.recorded_local.isoformat(" ", "minutes") if r.recorded_local else ""
        row = [
            _cell(r.recording.removeprefix(folder), r.recording, "name"),
            _cell(r.outcome.replace("_", " "), r.outcome, f"outcome {r.outcome}"),
            _cell(_or_empty(r.call_count), _or_empty(r.call_count), "number"),
            _cell(
                "" if r.max_score is None else f"{r.max_score:.2f}",
                _or_empty(r.max_score),
                "number",
            ),
            _cell(began, began) if times else "",
            _cell(r.site, r.site) if sites else "",
            _cell(", ".join(r.flags), ", ".join(r.flags)) if flags else "",
            f'<td class="strip">{picture}</td>',
        ]
        yield f"<tr>{''.join(row)}</tr>"
    yield "</tbody></table></div>"


def _common_folder(recordings: Sequence[RecordingResult]) -> str:
    """The folder that holds all of them, with its final slash; empty if there is none."""
    names = [r.recording for r in recordings]
    ends = zip(min(names, default=""), max(names, default=""), strict=False)
    shared = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return shared[: shared.rfind("/") + 1]


def _failures(results: RunResults) -> Iterator[str]:
    failures = [r for r in results.recordings if is_failure(r)]
    if not failures:
        return
    yield "<h2>What could not be heard</h2>"
    if len(failures) > FAILURES_AT_MOST:
        yield (
            f'<p class="soft">The first {FAILURES_AT_MOST} of {len(failures):,}; failures.csv '
            "lists them all.</p>"
        )
    yield '<div class="panel"><table><thead><tr><th>recording</th><th>outcome</th><th>reason</th>'
    yield "</tr></thead><tbody>"
    for r in failures[:FAILURES_AT_MOST]:
        yield (
            f"<tr>{_cell(r.recording, '', 'name')}"
            f"{_cell(r.outcome, '', f'outcome {r.outcome}')}{_cell(r.error, '')}</tr>"
        )
    yield "</tbody></table></div>"


def _about(results: RunResults) -> Iterator[str]:
    run = results.run
    if not run:
        return
    yield "<h2>How this was made</h2>"
    yield '<div class="columns">'
    counting = run.get("counting", {})
    settings = {
        **{k: v for k, v in run.get("configuration", {}).items() if v not in (None, [], "")},
        "counting": counting.get("method", ""),
        **counting.get("rule", {}),
    }
    card = dict(run.get("contract") or run.get("model", {}))
    for nested in ("rule", "metrics", "libraries"):
        values = card.pop(nested, {})
        if nested == "metrics":
            card |= values
    yield f'<div class="panel"><h3>Model</h3>{_definitions(card)}</div>'
    yield f'<div class="panel"><h3>Configuration of the last run</h3>{_definitions(settings)}</div>'
    times = {
        "run": run.get("run_id", ""),
        "started": run.get("started_at", ""),
        "finished": run.get("finished_at", ""),
        **run.get("throughput", {}),
    }
    yield f'<div class="panel"><h3>Last run</h3>{_definitions(times)}</div>'
    yield f'<div class="panel"><h3>Versions</h3>{_definitions(run.get("versions", {}))}</div>'
    yield "</div>"
    yield (
        "<footer>Scores were calibrated on recordings of few birds; elsewhere they need not be "
        "probabilities of a call. Listen to a sample before drawing conclusions.</footer>"
    )


def _definitions(values: Mapping[str, Any]) -> str:
    return (
        "<dl>"
        + "".join(
            f"<dt>{escape(str(key).replace('_', ' '))}</dt><dd>{escape(_plain(value))}</dd>"
            for key, value in values.items()
        )
        + "</dl>"
    )


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _heads(columns: Iterable[tuple[str, bool]]) -> str:
    return "".join(
        f'<th{" class=number" if number else ""}><button type="button">{escape(name)}</button></th>'
        for name, number in columns
    )


def _cell(text: str, value: object, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<td{css} data-value="{escape(str(value))}">{escape(text)}</td>'


def _or_empty(value: float | None) -> str:
    return "" if value is None else f"{value}"


def _base_name(recording: str) -> str:
    return recording.rpartition("/")[2]


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
