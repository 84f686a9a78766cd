"""Labelled clips as training data: short recordings, each with one call or none.

``capuchinbird train`` reads them like any recordings: the folder also holds ``annotations.csv`` and
``recordings.csv``.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import soundfile

from model.audio.decoders import AudioError
from model.audio.isolated import IsolatedRecording
from model.windows import SAMPLE_RATE_HZ, Samples, samples_from_seconds
from pipeline.review.sample import Stratum
from pipeline.review.units import REST
from pipeline.storage import files
from pipeline.survey.labels import Label
from pipeline.tables.csv_text import csv_line

MARGIN_S = 2.2
"""Audio before a call, for training; after it a second less."""

LEAST_S = 2.0
"""A shorter stretch without a call is useless for training."""


@dataclass(frozen=True)
class TrainingClip:
    """A piece of a recording, and the call in it in seconds from its start, if there is one."""

    recording: str
    begin_s: float
    end_s: float
    call: tuple[float, float] | None


def training_clips(labels: Sequence[Label]) -> tuple[list[TrainingClip], list[str]]:
    """Training clips from labels, and a line for each reason to leave labels out.

    A stretch with a no is background. With a yes, counted and faint calls have the bounds of a
    call; the start of a call in any other stretch is unknown, as are those of several birds.
    Stretches with different answers stay out.
    """
    given: dict[tuple[str, float, float], list[Label]] = {}
    for label in labels:
        given.setdefault((label.recording, label.start_s, label.end_s), []).append(label)
    clips: list[TrainingClip] = []
    left_out = {"unsure, or observers disagree": 0, "no bounds of one call": 0, "too short": 0}
    for (recording, start_s, end_s), same in given.items():
        answers = {label.label for label in same}
        if len(answers) > 1 or "unsure" in answers:
            left_out["unsure, or observers disagree"] += 1
        elif "no" in answers and end_s - start_s < LEAST_S:
            left_out["too short"] += 1
        elif "no" in answers:
            clips.append(TrainingClip(recording, start_s, end_s, None))
        elif max(label.n_birds or 1 for label in same) > 1 or not _has_bounds(same[0]):
            left_out["no bounds of one call"] += 1
        else:
            begin_s = max(0.0, start_s - MARGIN_S)
            call = (start_s - begin_s, end_s - begin_s)
            clips.append(TrainingClip(recording, begin_s, end_s + MARGIN_S - 1, call))
    return clips, [f"{n:,} labels left out: {why}" for why, n in left_out.items() if n]


def _has_bounds(label: Label) -> bool:
    try:
        return Stratum.from_name(label.stratum).kind != REST
    except ValueError:  # of no sample, but of annotations, which have bounds
        return True


def write_training_clips(clips: Sequence[TrainingClip], folder: Path) -> list[str]:
    """Writes the clips into a folder for ``capuchinbird train`` and replaces its contents.

    Returns:
        A line for each unreadable clip.
    """
    shutil.rmtree(folder, ignore_errors=True)
    calls, groups, problems = [], [], []
    for number, clip in enumerate(clips):
        try:
            audio = _audio(clip)
        except (AudioError, OSError) as error:
            problems.append(str(error))
            continue
        name = f"labelled-{number:04d}.wav"
        buffer = io.BytesIO()
        soundfile.write(buffer, audio, SAMPLE_RATE_HZ, format="WAV", subtype="FLOAT")
        files.write_atomically(str(folder / "recordings" / name), [buffer.getvalue()])
        groups.append((name, PurePath(clip.recording).stem))
        if clip.call:
            calls.append((name, *(f"{at_s:.3f}" for at_s in clip.call)))
    for table, rows in (
        ("annotations.csv", [("recording", "start_s", "end_s"), *calls]),
        ("recordings.csv", [("recording", "background"), *groups]),
    ):
        text = "".join(csv_line(row) for row in rows)
        files.write_atomically(str(folder / table), [text.encode()])
    return problems


def _audio(clip: TrainingClip) -> Samples:
    name = clip.recording
    with files.open_to_read(name) as source, IsolatedRecording(source, name) as recording:
        first = samples_from_seconds(clip.begin_s)
        end = min(samples_from_seconds(clip.end_s), recording.info.n_samples)
        return recording.read(first, max(0, end - first)).samples
