"""Cuts the clips of a run most worth a human look: ``python -m pipeline.commands.review RUN --output REVIEW``.

Three kinds: doubtful (score nearest the threshold, on either side), strongest (what the model is
surest of, where a false cue would show) and control (drawn at random, where calls would have been
missed). Labels won this way are what a next training gains most from.

REVIEW is itself a folder of labelled recordings. ``annotations.csv`` holds what the model says:
correct it (delete rows that are no call, add missed ones, move bounds) while looking at
``review.html`` or, clip by clip, at the Raven tables. Then train with both::

    python -m model.training.train DATA REVIEW
"""

from __future__ import annotations

import argparse
import csv
import html
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from model.audio import Recording
from model.calls import Call, find_calls
from model.contract import ContractError
from model.decoders import AudioError
from model.quiet import without_start_up_noise
from model.training.clips import DataError
from model.training.trials import Score
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES, cut_windows, window_starts

MARGIN_S = 3.0
"""Audio before and after what a clip is about."""

DOUBTFUL_LOG_ODDS = 3.0
"""A recording without calls is scored again if its highest score comes this near the threshold."""


@dataclass(frozen=True)
class Counted:
    """A recording of the run, from counts.csv and calls.csv."""

    recording: str
    duration_s: float
    max_score: float
    threshold: float
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Clip:
    """A stretch to look at, and what the model found in it (seconds in the recording)."""

    recording: str
    start_s: float
    end_s: float
    reason: str
    score: float
    calls: tuple[Call, ...]


def parser() -> argparse.ArgumentParser:
    """The flags."""
    p = argparse.ArgumentParser(
        prog="python -m pipeline.commands.review",
        description="Cuts the clips of a run most worth a human look, ready to correct.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = p.add_argument
    add("run", type=Path, help="output folder of a run, with counts.csv and calls.csv")
    add("--output", type=Path, default=Path("review"), help="folder to make")
    add("--model", type=Path, default=Path("model/released"), help="the model of the run")
    add("--clips", type=int, default=20, help="of each of the three kinds")
    add("--seed", type=int, default=0, help="decides the control clips")
    return p


def read_run(folder: Path) -> list[Counted]:
    """The recordings that a run counted.

    Raises:
        DataError: a table is absent or lacks a column.
    """
    calls: dict[str, list[Call]] = {}
    try:
        for row in _rows(folder / "calls.csv"):
            call = Call(
                float(row["start_s"]),
                float(row["end_s"]),
                float(row["score"]),
                int(row["windows"]),
            )
            calls.setdefault(row["recording"], []).append(call)
        return [
            Counted(
                recording=row["recording"],
                duration_s=float(row["heard_s"]),
                max_score=float(row["max_score"]),
                threshold=float(row["threshold"]),
                calls=tuple(calls.get(row["recording"], ())),
            )
            for row in _rows(folder / "counts.csv")
            if row["max_score"] and float(row["heard_s"]) > 0
        ]
    except (KeyError, ValueError) as error:
        raise DataError(f"{folder}: its tables are not those of a run ({error})") from None


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        raise DataError(f"{table.parent}: lacks {table.name}; give the output folder of a run")
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def choose_clips(
    run: Sequence[Counted],
    below: Mapping[str, Sequence[Call]],
    per_kind: int,
    rng: np.random.Generator,
) -> list[Clip]:
    """The clips, each stretch at most once.

    Args:
        run: what was counted.
        below: peaks under the threshold in some recordings without calls.
        per_kind: clips of each kind at most.
        rng: draws the control clips.
    """
    by_name = {c.recording: c for c in run}
    known = [(c.recording, call) for c in run for call in c.calls]
    doubtful = known + [(name, call) for name, found in below.items() for call in found]

    def distance(item: tuple[str, Call]) -> float:
        return abs(_log_odds(item[1].score) - _log_odds(by_name[item[0]].threshold))

    clips: list[Clip] = []

    def take(items: Sequence[tuple[str, Call]], reason: str) -> None:
        taken = 0
        for name, call in items:
            clip = _clip(by_name[name], call.start_s, call.end_s, reason, call.score)
            if taken < per_kind and not any(_overlap(clip, other) for other in clips):
                clips.append(clip)
                taken += 1

    take(sorted(doubtful, key=distance), "doubtful")
    take(sorted(known, key=lambda item: -item[1].score), "strongest")
    weights = np.array([c.duration_s for c in run])
    drawn = rng.choice(len(run), 4 * per_kind, p=weights / weights.sum()) if len(run) else ()
    control = []
    for i in drawn:
        start_s = float(rng.uniform(0, run[i].duration_s))
        control.append((run[i].recording, Call(start_s, start_s + 3.0, 0.0, 0)))
    take(control, "control")
    return clips


def _log_odds(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return float(np.log(score / (1 - score)))


def _clip(counted: Counted, start_s: float, end_s: float, reason: str, score: float) -> Clip:
    first_s = max(0.0, start_s - MARGIN_S)
    last_s = min(counted.duration_s, end_s + MARGIN_S)
    inside = tuple(c for c in counted.calls if c.start_s < last_s and c.end_s > first_s)
    return Clip(counted.recording, first_s, last_s, reason, score, inside)


def _overlap(a: Clip, b: Clip) -> bool:
    return a.recording == b.recording and a.start_s < b.end_s and b.start_s < a.end_s


def peaks_below(run: Sequence[Counted], model: Path, most: int) -> Iterator[tuple[str, list[Call]]]:
    """Peaks under the threshold in recordings without calls, the nearest recordings first.

    A run keeps no scores of windows, so these few recordings are scored again.
    """
    near = sorted(
        (c for c in run if not c.calls),
        key=lambda c: abs(_log_odds(c.max_score) - _log_odds(c.threshold)),
    )
    near = [
        c for c in near if abs(_log_odds(c.max_score) - _log_odds(c.threshold)) <= DOUBTFUL_LOG_ODDS
    ][:most]
    if not near:
        return
    with without_start_up_noise():
        from model.export import load_exported
    loaded = load_exported(model)
    rule = replace(loaded.contract.rule, threshold=0.02)
    for counted in near:
        try:
            starts, scores, n = _score(counted.recording, loaded.score, loaded.contract.hop_s)
        except AudioError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        found = find_calls(starts, scores, rule, n)
        yield counted.recording, [c for c in found if c.score < counted.threshold]


def _score(
    path: str, score: Score, hop_s: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], int]:
    """Scores of a recording, a minute of audio in memory at a time."""
    with Recording(path) as recording:
        n = recording.info.n_samples
        starts = window_starts(n, round(hop_s * SAMPLE_RATE_HZ))
        parts = []
        for i in range(0, len(starts), 64):
            some = starts[i : i + 64]
            first = int(some[0])
            audio = recording.read(first, min(int(some[-1]) + WINDOW_SAMPLES, n) - first).samples
            parts.append(score(cut_windows(audio, some - first)))
    return starts, np.concatenate(parts) if parts else np.zeros(0, np.float32), n


def write_review(clips: Sequence[Clip], folder: Path) -> int:
    """Audio, pictures, tables and the page. Returns how many clips could be cut."""
    from model.training.charts import draw_scene

    for name in ("recordings", "pictures", "annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    notes, groups, parts = [], [], []
    for number, clip in enumerate(clips):
        try:
            with Recording(clip.recording) as recording:
                first = round(clip.start_s * SAMPLE_RATE_HZ)
                count = round(clip.end_s * SAMPLE_RATE_HZ) - first
                audio = recording.read(first, count).samples
        except AudioError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        name = f"{number:03d}-{clip.reason}-{Path(clip.recording).stem}.wav"
        soundfile.write(folder / "recordings" / name, audio, SAMPLE_RATE_HZ, subtype="PCM_16")
        bounds = [
            (max(0.0, c.start_s - clip.start_s), min(c.end_s, clip.end_s) - clip.start_s, c.score)
            for c in clip.calls
        ]
        notes += [(name, f"{start:.2f}", f"{end:.2f}") for start, end, _ in bounds]
        groups.append((name, Path(clip.recording).stem))
        _write_raven(folder / "annotations" / f"{name}.Table.1.selections.txt", bounds)
        title = f"{clip.reason}, score {clip.score:.2f}: {clip.recording} {clip.start_s:.1f} s"
        draw_scene(audio, title[-90:], folder / "pictures" / f"{name}.png")
        said = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end, _ in bounds) or "no call"
        quoted = html.escape(name, quote=True)
        parts.append(
            f"<h3>{html.escape(title)}</h3><p>{quoted}: {said}</p>"
            f'<img src="pictures/{quoted}.png"><br>'
            f'<audio controls preload=none src="recordings/{quoted}"></audio>'
        )
    _write_table(folder / "annotations.csv", ("recording", "start_s", "end_s"), notes)
    _write_table(folder / "recordings.csv", ("recording", "background"), groups)
    page = (
        "<!doctype html><meta charset=utf-8><title>Review</title><h1>Review</h1>"
        "<p>Correct annotations.csv: one row a call, seconds from the start of the clip.</p>"
    )
    (folder / "review.html").write_text(page + "\n".join(parts), encoding="utf-8")
    return len(groups)


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _write_raven(path: Path, bounds: Sequence[tuple[float, float, float]]) -> None:
    """A selection table as Raven Pro reads it: tabs, a row per selection."""
    columns = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)")
    lines = ["\t".join((*columns, "Low Freq (Hz)", "High Freq (Hz)", "Score"))]
    for i, (start, end, score) in enumerate(bounds, 1):
        lines.append(f"{i}\tSpectrogram 1\t1\t{start:.3f}\t{end:.3f}\t350\t1800\t{score:.4f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 0 done, 2 a run or model that cannot be used."""
    flags = parser().parse_args(arguments)
    try:
        run = read_run(flags.run)
        below = dict(peaks_below(run, flags.model, flags.clips))
        clips = choose_clips(run, below, flags.clips, np.random.default_rng(flags.seed))
        count = write_review(clips, flags.output)
    except (DataError, ContractError, OSError) as error:
        print(f"pipeline.commands.review: {error}", file=sys.stderr)
        return 2
    print(f"{count} clips: look at {flags.output / 'review.html'}, correct annotations.csv there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
