"""The page for labelling a sample: one file with all clips, which works offline.

It hides scores and the model's answers, which would bias a listener.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from model.audio.decoders import AudioError
from pipeline.records import DetectedCall
from pipeline.report.charts import distinct_names
from pipeline.report.html import data_uri, fill_in
from pipeline.report.spectrograms import TOP_HZ, picture_call
from pipeline.report.speech import SpeechMode
from pipeline.review.sample import Sample
from pipeline.storage import files
from pipeline.survey.labels import LABEL_COLUMNS, Label
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import csv_line
from pipeline.tables.schema import cells

PAGE = "review.html"
CLIPS = "clips.csv"


def write_review(
    sample: Sample, calls: Sequence[DetectedCall], folder: str, speech: SpeechMode = ""
) -> tuple[str, list[str]]:
    """Cuts the clips and writes the page, and clips.csv with a row for each.

    Args:
        sample: to label.
        calls: all counted calls; the page marks those near a clip.
        folder: local or in a bucket.
        speech: treatment of people's voices.

    Returns:
        The page's name, and a line for each unreadable clip.
    """
    of_recording: dict[str, list[DetectedCall]] = defaultdict(list)
    for call in calls:
        of_recording[call.recording].append(call)
    names = distinct_names([clip.recording for clip in sample.clips])
    cut: list[tuple[Label, dict[str, Any]]] = []
    problems = []
    for clip, visit in zip(sample.clips, sample.visits or [""] * len(sample.clips), strict=True):
        try:
            picture = picture_call(clip.recording, clip.start_s, clip.end_s, speech)
        except (AudioError, OSError) as error:
            problems.append(str(error))
            continue
        marked = [
            [call.start_s, call.end_s]
            for call in of_recording[clip.recording]
            if call.start_s < picture.end_s
            and picture.begin_s < call.end_s
            and abs(call.start_s - clip.start_s) > 0.01
        ]
        shown = {
            "cells": _cells(clip),
            "name": names[clip.recording],
            "site": clip.site,
            "visit": visit,
            "begin": round(picture.begin_s, 3),
            "end": round(picture.end_s, 3),
            "start": clip.start_s,
            "stop": clip.end_s,
            "others": marked,
            "speech": (" · speech" + (" silenced" if speech == "blank" else ""))
            if picture.speech
            else "",
            "picture": data_uri(picture.jpeg, "image/jpeg"),
            "sound": data_uri(picture.mp3, "audio/mpeg"),
        }
        cut.append((clip, shown))
    table = "".join(csv_line(line) for line in [LABEL_COLUMNS, *(c["cells"] for _, c in cut)])
    on_page = {(clip.recording, clip.start_s) for clip, _ in cut}
    others = (call for call in calls if (call.recording, round(call.start_s, 3)) not in on_page)
    data = {
        "id": hashlib.sha256(table.encode()).hexdigest()[:16],
        "columns": LABEL_COLUMNS,
        "clips": [shown for _, shown in cut],
        "top": TOP_HZ,
    }
    text = fill_in(
        PAGE,
        data=data,
        n_clips=len(cut),
        for_presence=bool(sample.visits),
        reference=_reference(max(others, key=lambda call: call.score, default=None), speech),
        seed=sample.seed,
        sites=sorted({clip.site for clip, _ in cut}),
        sizes=[
            (bin_.name, sum(of_site.values()), sum(clip.stratum == bin_.name for clip, _ in cut))
            for bin_, of_site in sample.strata.items()
        ],
    )
    files.write_atomically(files.join(folder, CLIPS), [encode(table)])
    page = files.join(folder, PAGE)
    files.write_atomically(page, [encode(text)])
    return page, problems


def _reference(call: DetectedCall | None, speech: SpeechMode) -> dict[str, Any] | None:
    """A call to compare with; None without one that can be read."""
    if call is None:
        return None
    try:
        picture = picture_call(call.recording, call.start_s, call.end_s, speech)
    except (AudioError, OSError):
        return None
    return {
        "name": posixpath.basename(call.recording),
        "begin": picture.begin_s,
        "picture": data_uri(picture.jpeg, "image/jpeg"),
        "sound": data_uri(picture.mp3, "audio/mpeg"),
    }


def _cells(clip: Label) -> list[str]:
    """A clip's cells of labels.csv, with an empty label."""
    named = zip(LABEL_COLUMNS, cells(clip), strict=True)
    return ["" if name == "label" else cell for name, cell in named]
