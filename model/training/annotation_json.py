"""Annotations in JSON: of Label Studio, and in the Acoustic Objects Exchange Format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from model.training.marks import (
    TOLERATED_BEFORE_S,
    Cells,
    Mark,
    MarkedFile,
    checked,
    one_each,
    seconds_of,
)


def marks_of_json(path: Path, content: bytes) -> MarkedFile | None:
    """What a file of JSON says; None if it is of another kind.

    Raises:
        AnnotationError: see ``tasks_of_label_studio``.
    """
    try:
        document = json.loads(content)
        if isinstance(document, list):
            return tasks_of_label_studio(path, document)
        return _aoef(document["data"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def tasks_of_label_studio(path: Path, tasks: Sequence[Mapping[str, Any]]) -> MarkedFile | None:
    """An export as JSON, JSON-MIN or CSV. A task that nobody finished says nothing.

    Raises:
        AnnotationError: a stretch without a start.
    """
    marks: list[Mark] = []
    unmarked: list[str] = []
    unfinished: list[str] = []
    for task in tasks:
        data = task.get("data", task)
        audio = data.get("audio") or next((v for v in data.values() if "." in str(v)), "")
        name = _uploaded(str(audio))
        finished = list(_finished(task))
        unfinished += [name] if not finished else []
        for number, regions in enumerate(finished):
            if not regions:
                unmarked.append(name)
            for one in regions:
                value = one.get("value", one)
                if "start" not in value:
                    continue
                label = "; ".join(map(str, value.get("labels") or value.get("choices") or ()))
                cells = {"recording": name, "start_s": str(value["start"]), "label": label}
                cells["end_s"] = str(value.get("end", value["start"]))
                mark = checked(path, int(task.get("id", 0)), _of_cells, cells)
                voice = f"{number} {value.get('channel', '')}"
                marks.append(replace(mark, voice=voice))
    if tasks and not marks and not unmarked and len(unfinished) < len(tasks):
        return None
    remark = f"{len(unfinished):,} of {len(tasks):,} tasks are not finished, and say nothing"
    remarks = (remark,) if unfinished else ()
    return MarkedFile(tuple(one_each(marks)), tuple(unmarked), tuple(unfinished), remarks=remarks)


def _of_cells(cells: Cells) -> Mark:
    times = seconds_of(cells["start_s"]), seconds_of(cells["end_s"])
    return Mark(cells["recording"], *times, cells["label"])


def _finished(task: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The regions of each person who finished a task; of JSON-MIN and CSV, of the one."""
    if "annotations" in task or "predictions" in task:
        for one in task.get("annotations") or ():
            if not one.get("was_cancelled"):
                yield list(one.get("result") or ())
    elif "annotation_id" in task or "annotator" in task or isinstance(task.get("label"), list):
        regions = [one for cell in task.values() if isinstance(cell, list) for one in cell]
        yield [one for one in regions if isinstance(one, dict)]


def _uploaded(audio: str) -> str:
    """The recording's name, of a file that was uploaded or is served from a folder.

    >>> _uploaded("/data/upload/2/0a1b2c3d-REC_01.wav")
    'REC_01.wav'
    >>> _uploaded("/data/local-files/?d=a%20b/c.wav")
    'a b/c.wav'
    """
    parts = urlsplit(audio) if "?d=" in audio or "://" in audio else None
    served = parse_qs(parts.query).get("d") if parts else None
    name = served[0] if served else unquote(parts.path) if parts else audio
    if "/upload/" in name:
        return re.sub(r"^[0-9a-f]{8}-", "", unquote(name.rpartition("/")[2]))
    return name


def _aoef(data: Mapping[str, Any]) -> MarkedFile:
    """A set or project of annotations, or a set of predictions."""
    recordings = {one["uuid"]: one["path"] for one in data["recordings"] or ()}
    events = {one["uuid"]: one for one in data.get("sound_events") or ()}
    names = {tag["id"]: tag["value"] for tag in data.get("tags") or ()}
    marks = []
    kinds = "sound_event_annotations", "sound_event_predictions"
    for one in (one for kind in kinds for one in data.get(kind) or ()):
        event = events.get(one["sound_event"])
        if event is None or not event.get("geometry"):
            continue
        start_s, end_s = _times_of(event["geometry"])
        start_s = 0.0 if -TOLERATED_BEFORE_S <= start_s < 0 else start_s
        tags = [tag[0] if isinstance(tag, list) else tag for tag in one.get("tags") or ()]
        label = "; ".join(names[tag] for tag in tags if tag in names)
        if 0 <= start_s <= end_s:
            marks.append(Mark(recordings[event["recording"]], start_s, end_s, label))
    return MarkedFile(tuple(one_each(marks)))


def _times_of(geometry: Mapping[str, Any]) -> tuple[float, float]:
    """First and last second of a geometry in time and frequency."""
    coordinates = geometry["coordinates"]
    if geometry["type"] == "TimeInterval":
        return float(coordinates[0]), float(coordinates[1])
    if geometry["type"] == "BoundingBox":
        return float(coordinates[0]), float(coordinates[2])
    times = list(_first_of_pairs(coordinates))
    return min(times), max(times)


def _first_of_pairs(nested: Any) -> Iterator[float]:
    if not isinstance(nested, list):
        yield float(nested)
    elif nested and not isinstance(nested[0], list):
        yield float(nested[0])
    else:
        for inner in nested:
            yield from _first_of_pairs(inner)
