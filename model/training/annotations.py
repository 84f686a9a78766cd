"""What people have marked in recordings, read from whatever program they used.

Read here: our own tables, Raven, Audacity, BirdNET, Kaleidoscope and AOEF (soundevent, whombat).
By crowsetta, which is installed with training: Praat's TextGrid, evTAF's ``.not.mat``, TIMIT's
``.phn`` and ``.wrd``, ``.xml`` of the birdsong recognition data set, ``.mat`` of SongAnnotationGUI,
and its own generic and simple sequences. Which program wrote a table is told by its columns.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

CALL_NAMES = ("capuchin", "perissocephalus tricolor", "capuch1")
"""What a label that means the Capuchinbird holds, in lower case."""

PROGRAMS = "Raven, Audacity, BirdNET, Kaleidoscope, soundevent or crowsetta"

CROWSETTA_FORMATS = {
    ".textgrid": "textgrid",
    ".not.mat": "notmat",
    ".phn": "timit",
    ".wrd": "timit",
    ".xml": "birdsong-recognition-dataset",
    ".mat": "yarden",
}
"""Names of formats by the end of a file's name, in lower case; the first that fits."""


class AnnotationError(Exception):
    """A file of annotations that cannot be used. The message names it and the remedy."""


@dataclass(frozen=True)
class Mark:
    """A stretch of a recording that somebody marked.

    Attributes:
        recording: name or path as the file has it; empty where the file says nothing and is itself
            named after its recording.
        start_s, end_s: seconds from the start of the recording.
        label: what they called it; several names are joined by ``; ``.
        take: the source clip that a call was copied from, in our own tables alone.
    """

    recording: str
    start_s: float
    end_s: float
    label: str = ""
    take: str = ""


_Row = Mapping[str, str]


def read_marks(path: Path) -> list[Mark] | None:
    """All that is marked in a file; None if no program known here wrote it.

    Raises:
        AnnotationError: it cannot be read, or a row of it cannot be right.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror or error}") from None
    lower = path.name.lower()
    for ending, name in CROWSETTA_FORMATS.items():
        if lower.endswith(ending):
            return list(_by_crowsetta(path, name))
    if lower.endswith(".json"):
        return _aoef(path, content)
    text = _decoded(content)
    first = next(iter(text.splitlines()), "")
    separator = max("\t,;", key=first.count)
    header = next(csv.reader([first], delimiter=separator), [])
    for columns, of_row in _TABLES:
        if set(columns) <= set(header):
            rows = _rows(path, text, separator)
            return _one_each([_checked(path, line, of_row, row) for line, row in rows])
    for columns, name in (
        (("label", "onset_s", "offset_s", "notated_path"), "generic-seq"),
        (("onset_s", "offset_s"), "simple-seq"),
    ):
        if set(columns) <= set(header):
            return list(_by_crowsetta(path, name))
    if lower.endswith(".txt") and _AUDACITY_LINE.match(first):
        return list(_audacity(path, text))
    return None


def marks_in(
    folders: Iterable[Path], recordings: Sequence[str], passed_over: Container[str]
) -> dict[Path, list[Mark]]:
    """All that is marked in the files of some folders, by file.

    Args:
        folders: those that do not exist hold nothing.
        recordings: their names. A file that names no recording must be named after one of them.
        passed_over: names of files that are something else.
    """
    found = {}
    for folder in folders:
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.name in passed_over or not file.is_file():
                continue
            marks = read_marks(file)
            is_named_after_one = bool(recording_of(Mark("", 0, 0), file, recordings))
            if marks is not None and (is_named_after_one or any(m.recording for m in marks)):
                found[file] = marks
    return found


def calls_among(marks: Iterable[Mark], names: Sequence[str] = ()) -> list[Mark]:
    """The marks that are calls.

    Args:
        marks: of all files that belong together.
        names: labels that mean a call, in any case. By default those that name the Capuchinbird if
            there are any, and every mark if all have one and the same label or none.

    Raises:
        AnnotationError: labels differ, and none names the Capuchinbird or is among ``names``.
    """
    marks = list(marks)
    wanted = {name.casefold() for name in names}

    def is_call(mark: Mark) -> bool:
        if wanted:
            return not wanted.isdisjoint(mark.label.casefold().split("; "))
        return any(name in mark.label.lower() for name in CALL_NAMES)

    found = [mark for mark in marks if is_call(mark)]
    labels = sorted({mark.label for mark in marks})
    if found or not marks or (not wanted and len(labels) == 1):
        return found or marks
    shown = ", ".join(repr(label) for label in labels[:5])
    raise AnnotationError(
        f"no annotation is labelled {', '.join(names) or 'Capuchinbird'}, but {shown}; say with "
        "--annotated_as which labels are calls"
    )


def calls_heard(
    paths: Iterable[Path], names: Iterable[str], call_labels: Sequence[str] = ()
) -> tuple[dict[str, list[Mark]], list[str]]:
    """Calls in recordings that somebody heard in full: all that a file of annotations is about.

    Args:
        paths: the files.
        names: of recordings.
        call_labels: see ``calls_among``.

    Returns:
        Calls by recording, none for one in which nothing is marked; a line for each file that is
        about none of these recordings.

    Raises:
        AnnotationError: a file that cannot be right, or labels of which none means a call.
    """
    known = list(names)
    marks_of = {path: read_marks(path) for path in paths}
    every = [mark for marks in marks_of.values() for mark in marks or ()]
    calls = set(calls_among(every, call_labels))
    heard: dict[str, list[Mark]] = {}
    strange = []
    for path, marks in marks_of.items():
        own = recording_of(Mark("", 0, 0), path, known)
        places = {mark: recording_of(mark, path, known) for mark in marks or ()}
        if marks is None or not (any(places.values()) or (own and not marks)):
            why = "no program known here wrote it" if marks is None else "names no recording there"
            strange.append(f"{path}: {why}")
            continue
        for name in {own} if not marks else {*places.values()} - {""}:
            heard.setdefault(name, [])
        for mark, name in places.items():
            if name and mark in calls:
                heard[name].append(mark)
    return heard, strange


def recording_of(mark: Mark, file: Path, names: Iterable[str]) -> str:
    """The recording that a mark belongs to, of those with these names; empty if to none.

    A file that names no recording is named after it: ``REC.wav.Table.1.selections.txt``,
    ``REC.TextGrid``.
    """
    known = set(names)
    if mark.recording:
        name = re.split(r"[/\\]", mark.recording)[-1]
        return name if name in known else ""
    fitting = [name for name in known if file.name.startswith((f"{name}.", f"{Path(name).stem}."))]
    return max(fitting, key=len, default="")


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, _Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            yield reader.line_num, {str(k): (v or "").strip() for k, v in row.items() if k}
    except csv.Error as error:
        raise AnnotationError(f"{path}, line {reader.line_num}: {error}") from None


def _checked(
    path: Path, line: int, of_row: Callable[[_Row], Mark | None], row: _Row
) -> Mark | None:
    try:
        mark = of_row(row)
    except (KeyError, ValueError) as error:
        raise AnnotationError(f"{path}, line {line}: {error}") from None
    if mark and not 0 <= mark.start_s < mark.end_s:
        raise AnnotationError(
            f"{path}, line {line}: a call cannot last from {mark.start_s:g} to {mark.end_s:g} s"
        )
    return mark


def _one_each(marks: Iterable[Mark | None]) -> list[Mark]:
    """Without repeats: Raven has a row for each view of a selection."""
    return list(dict.fromkeys(mark for mark in marks if mark is not None))


def _seconds(text: str) -> float:
    """Seconds, with a point or, where the computer's language has it so, a comma.

    Raises:
        ValueError: neither.
    """
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{text!r} are not seconds") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} are not seconds")
    return value


def _first(row: _Row, *columns: str) -> str:
    return next((row[column] for column in columns if row.get(column)), "")


def _own(row: _Row) -> Mark:
    times = _seconds(row["start_s"]), _seconds(row["end_s"])
    return Mark(row["recording"], *times, row.get("label", ""), row.get("take", ""))


_RAVEN_LABELS = ("Common Name", "Species", "Annotation", "Label", "label", "Species Code", "Tags")


def _raven(row: _Row) -> Mark:
    """Begin and end run on over all files of a table; the offset is that within its own file."""
    begin, end = _seconds(row["Begin Time (s)"]), _seconds(row["End Time (s)"])
    recording = _first(row, "Begin File", "Begin Path")
    if offset := row.get("File Offset (s)", ""):
        begin, end = _seconds(offset), round(_seconds(offset) + end - begin, 6)
    return Mark(recording, begin, end, _first(row, *_RAVEN_LABELS))


def _birdnet(row: _Row) -> Mark:
    times = _seconds(row["Start (s)"]), _seconds(row["End (s)"])
    return Mark(row.get("File", ""), *times, _first(row, "Common name", "Scientific name"))


def _birdnet_for_r(row: _Row) -> Mark:
    times = _seconds(row["start"]), _seconds(row["end"])
    return Mark(row["filepath"], *times, _first(row, "common_name", "scientific_name"))


def _kaleidoscope(row: _Row) -> Mark:
    start_s = _seconds(row["OFFSET"])
    end_s = round(start_s + _seconds(row["DURATION"]), 6)
    label = _first(row, "MANUAL ID", "MANUAL ID*", "TOP1MATCH", "TOP1MATCH*", "AUTO ID", "AUTO ID*")
    return Mark(row["IN FILE"], start_s, end_s, label)


def _of_a_segmenter(row: _Row) -> Mark:
    times = _seconds(row["start_seconds"]), _seconds(row["stop_seconds"])
    return Mark(row.get("source_file", ""), *times, row.get("name", ""))


_TABLES: tuple[tuple[tuple[str, ...], Callable[[_Row], Mark]], ...] = (
    (("recording", "start_s", "end_s"), _own),
    (("Begin Time (s)", "End Time (s)"), _raven),
    (("Start (s)", "End (s)"), _birdnet),
    (("filepath", "start", "end", "confidence"), _birdnet_for_r),
    (("IN FILE", "OFFSET", "DURATION"), _kaleidoscope),
    (("start_seconds", "stop_seconds"), _of_a_segmenter),
)
"""Columns that tell who wrote a table, and what its rows say."""

_NUMBER = r"-?\d+(?:[.,]\d+)?"
_AUDACITY_LINE = re.compile(rf"({_NUMBER})\t({_NUMBER})(?:\t(.*))?$")


def _audacity(path: Path, text: str) -> Iterator[Mark]:
    """Start, end and label in each line; a line that begins with ``\\`` holds frequencies."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        match = _AUDACITY_LINE.match(line)
        if not match:
            raise AnnotationError(f"{path}, line {number}: {line!r} is no label of Audacity")
        start, end, label = match[1], match[2], match[3] or ""
        cells = {"start_s": start, "end_s": end, "recording": "", "label": label.strip()}
        if mark := _checked(path, number, _own, cells):
            yield mark


def _aoef(path: Path, content: bytes) -> list[Mark] | None:
    """A set or project of annotations, or a set of predictions."""
    try:
        data = json.loads(content)["data"]
        recordings = {one["uuid"]: one["path"] for one in data["recordings"] or ()}
        events = {one["uuid"]: one for one in data.get("sound_events") or ()}
    except (ValueError, KeyError, TypeError):
        return None
    names = {tag["id"]: tag["value"] for tag in data.get("tags") or ()}
    marks = []
    said = (data.get("sound_event_annotations") or []) + (data.get("sound_event_predictions") or [])
    for one in said:
        event = events.get(one["sound_event"])
        if event is None or not event.get("geometry"):
            continue
        start_s, end_s = _times_of(event["geometry"])
        tags = [tag[0] if isinstance(tag, list) else tag for tag in one.get("tags") or ()]
        label = "; ".join(names[tag] for tag in tags if tag in names)
        if start_s < end_s:
            marks.append(Mark(recordings[event["recording"]], start_s, end_s, label))
    return marks


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


def _by_crowsetta(path: Path, name: str) -> Iterator[Mark]:
    try:
        import crowsetta
    except ImportError:
        raise AnnotationError(
            f"{path}: reading {name} needs crowsetta; install it with pip install crowsetta"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is raised below
            found = crowsetta.formats.by_name(name).from_file(path).to_annot()
    except Exception as error:  # whatever its parsers meet
        raise AnnotationError(f"{path}: crowsetta cannot read it as {name}: {error}") from None
    for annotation in found if isinstance(found, list) else [found]:
        recording = str(annotation.notated_path or "")
        named_after = not recording or name in ("simple-seq",)
        for part in getattr(annotation, "bboxes", None) or _segments(annotation, path, name):
            mark = Mark("" if named_after else recording, 0, 0, str(part.label))
            yield replace(mark, start_s=float(part.onset), end_s=float(part.offset))


@dataclass(frozen=True)
class _Segment:
    onset: float
    offset: float
    label: str


def _segments(annotation: Any, path: Path, name: str) -> Iterator[_Segment]:
    sequences = annotation.seq if isinstance(annotation.seq, list) else [annotation.seq]
    for sequence in sequences:
        for one in sequence.segments:
            if one.onset_s is None or one.offset_s is None:
                raise AnnotationError(
                    f"{path}: {name} counts in samples here; convert it to seconds with crowsetta"
                )
            if one.onset_s < one.offset_s:
                yield _Segment(one.onset_s, one.offset_s, one.label)
