"""Clips of a run most worth a human look, as a folder that a person corrects and a training reads.

Three kinds: doubtful (score nearest the threshold, on either side), strongest (what the model is
surest of, where something else that it took for a call would show) and control (drawn at random,
where missed calls would show). Labels won this way are what a next training gains most from.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import soundfile

from model.calls import CountingRule, find_calls, log_odds
from model.decoders import AudioError
from model.isolated import IsolatedRecording
from model.windows import SAMPLE_RATE_HZ, WINDOW_S, Samples, samples_from_seconds
from pipeline.records import DetectedCall, RecordingCount
from pipeline.report.html import fill_in
from pipeline.report.spectrograms import TOP_HZ, spectrogram_jpeg
from pipeline.storage import files
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import csv_line
from pipeline.tables.read import RunResults, read_scores
from pipeline.tables.tool_formats import RAVEN, recording_selections, render

MARGIN_S = 3.0
"""Audio before and after what a clip is about."""

DOUBTFUL_LOG_ODDS = 3.0
"""A recording without calls is looked into if its highest score comes this near the threshold."""

LEAST_SCORE = 0.02
"""Peaks lower than this are not doubtful."""


class Stretch(NamedTuple):
    """A part of a recording, and the score that it was picked for."""

    recording: str
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class ReviewClip:
    """A stretch to look at, and the calls that the run found in it (seconds in the recording)."""

    stretch: Stretch
    reason: str
    calls: tuple[DetectedCall, ...]


@dataclass(frozen=True)
class _CutClip:
    """A clip in the review's folder; its calls in seconds from its start."""

    name: str
    clip: ReviewClip
    calls: tuple[DetectedCall, ...]


def peaks_below(output: str, results: RunResults, most: int) -> list[Stretch]:
    """Peaks under the threshold in recordings without calls, the nearest recordings first.

    They are found in the scores that the run kept, by the rule that it counted with.

    Args:
        output: the folder of the run.
        results: its tables.
        most: recordings to look into.
    """
    with_calls = {call.recording for call in results.calls}
    rows = [row for row in _heard(results) if row.recording not in with_calls]
    near = [row for row in rows if _distance(row) <= DOUBTFUL_LOG_ODDS]
    chosen = sorted(near, key=_distance)[:most]
    scores = read_scores(output, {row.recording for row in chosen})
    used = results.run.get("counting", {}).get("rule", {})
    rule = CountingRule(**{**used, "threshold": LEAST_SCORE})
    peaks = []
    for row in chosen:
        if kept := scores.get(row.recording):
            starts = np.rint(kept.starts_s * SAMPLE_RATE_HZ).astype(np.int64)
            n_samples = samples_from_seconds(row.duration_s or row.heard_s or 0)
            peaks += [
                Stretch(row.recording, peak.start_s, peak.end_s, peak.score)
                for peak in find_calls(starts, kept.scores, rule, n_samples)
                if peak.score < row.threshold
            ]
    return peaks


def _heard(results: RunResults) -> list[RecordingCount]:
    return [row for row in results.recordings if row.max_score is not None and row.heard_s]


def _distance(row: RecordingCount, score: float | None = None) -> float:
    """Between a score, or else the highest one, and the recording's threshold."""
    value = row.max_score if score is None else score
    return abs(float(log_odds(value or 0) - log_odds(row.threshold)))


def choose_clips(
    results: RunResults, below: Sequence[Stretch], per_kind: int, rng: np.random.Generator
) -> list[ReviewClip]:
    """The clips, each stretch at most once.

    Args:
        results: what was counted.
        below: peaks under the threshold.
        per_kind: clips of each kind at most.
        rng: draws the control clips.
    """
    rows = {row.recording: row for row in _heard(results)}
    calls = [call for call in results.calls if call.recording in rows]
    found = [Stretch(call.recording, call.start_s, call.end_s, call.score) for call in calls]
    clips: list[ReviewClip] = []

    def take(stretches: Iterable[Stretch], reason: str) -> None:
        taken = 0
        for stretch in stretches:
            wide = _widened(stretch, rows[stretch.recording])
            if taken < per_kind and not any(_overlap(wide, clip.stretch) for clip in clips):
                inside = tuple(call for call in calls if _overlap(wide, call))
                clips.append(ReviewClip(wide, reason, inside))
                taken += 1

    doubt = sorted([*found, *below], key=lambda s: _distance(rows[s.recording], s.score))
    take(doubt, "doubtful")
    take(sorted(found, key=lambda stretch: -stretch.score), "strongest")
    take(_drawn(list(rows.values()), 4 * per_kind, rng), "control")
    return clips


def _drawn(rows: Sequence[RecordingCount], n: int, rng: np.random.Generator) -> list[Stretch]:
    """Places anywhere in what was heard, each second as likely as any other."""
    lengths_s = np.array([row.heard_s or 0 for row in rows])
    if not rows:
        return []
    drawn = rng.choice(len(rows), n, p=lengths_s / lengths_s.sum())
    starts_s = [float(rng.uniform(0, lengths_s[i])) for i in drawn]
    return [
        Stretch(rows[i].recording, start_s, start_s + WINDOW_S, 0.0)
        for i, start_s in zip(drawn, starts_s, strict=True)
    ]


def _widened(stretch: Stretch, row: RecordingCount) -> Stretch:
    start_s = max(0.0, stretch.start_s - MARGIN_S)
    return stretch._replace(start_s=start_s, end_s=min(row.heard_s or 0, stretch.end_s + MARGIN_S))


def _overlap(a: Stretch, b: Stretch | DetectedCall) -> bool:
    return a.recording == b.recording and a.start_s < b.end_s and b.start_s < a.end_s


def write_review(clips: Sequence[ReviewClip], folder: str) -> tuple[str, list[str]]:
    """Writes audio, pictures, tables and the page.

    Only the clips themselves are decoded.

    Args:
        clips: what to cut.
        folder: where to; here or in a bucket.

    Returns:
        The page's name, and a line for each clip that could not be cut.
    """
    cut, problems = [], []
    for number, clip in enumerate(clips):
        try:
            audio = _audio(clip.stretch)
        except (AudioError, OSError) as error:
            problems.append(str(error))
            continue
        stem = PurePath(clip.stretch.recording).stem
        name = f"{number:03d}-{clip.reason}-{stem}.wav"
        cut.append(_CutClip(name, clip, tuple(_within(name, clip))))
        _write(folder, f"recordings/{name}", _wav(audio))
        _write(folder, f"pictures/{name}.jpg", spectrogram_jpeg(audio))
        lines = render(RAVEN, recording_selections(cut[-1].calls))
        _write(folder, f"annotations/{name}.Table.1.selections.txt", encode("".join(lines)))
    bounds = [(c.name, f"{call.start_s:.2f}", f"{call.end_s:.2f}") for c in cut for call in c.calls]
    backgrounds = [(c.name, PurePath(c.clip.stretch.recording).stem) for c in cut]
    for table, rows in (
        ("annotations.csv", [("recording", "start_s", "end_s"), *bounds]),
        ("recordings.csv", [("recording", "background"), *backgrounds]),
    ):
        _write(folder, table, encode("".join(map(csv_line, rows))))
    page = fill_in("review.html", clips=cut, top_hz=TOP_HZ)
    return _write(folder, "review.html", encode(page)), problems


def _audio(stretch: Stretch) -> Samples:
    name = stretch.recording
    with files.open_to_read(name) as source, IsolatedRecording(source, name) as recording:
        first = samples_from_seconds(stretch.start_s)
        return recording.read(first, samples_from_seconds(stretch.end_s) - first).samples


def _within(name: str, clip: ReviewClip) -> Iterable[DetectedCall]:
    """The calls of a clip, cut at its ends, in seconds from its start."""
    begin_s, end_s = clip.stretch.start_s, clip.stretch.end_s
    for call in clip.calls:
        yield replace(
            call,
            recording=name,
            start_s=max(0.0, call.start_s - begin_s),
            end_s=min(call.end_s, end_s) - begin_s,
        )


def _wav(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _write(folder: str, name: str, content: bytes) -> str:
    path = files.join(folder, name)
    files.write_atomically(path, [content])
    return path
