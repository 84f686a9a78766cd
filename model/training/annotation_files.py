"""Files of what people have marked in recordings, read whatever program wrote them.

Read here: our own tables, Raven, Audacity, BirdNET, Kaleidoscope, Label Studio and AOEF
(soundevent, whombat). By crowsetta, which is installed with training: Praat's TextGrid, evTAF's
``.not.mat``, TIMIT's ``.phn`` and ``.wrd``, ``.xml`` of the birdsong recognition data set, ``.mat``
of SongAnnotationGUI, and its own generic and simple sequences. A table's
columns, in upper or lower case, say which program wrote it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from model.training.annotation_json import marks_of_json, tasks_of_label_studio
from model.training.marks import (
    AnnotationError,
    Cells,
    Mark,
    MarkedFile,
    checked,
    one_each,
    possible,
    seconds_of,
)

PROGRAMS = "Raven, Audacity, BirdNET, Kaleidoscope, Label Studio, soundevent or crowsetta"

CROWSETTA_FORMATS = {
    ".textgrid": "textgrid",
    ".not.mat": "notmat",
    ".phn": "timit",
    ".wrd": "timit",
    ".xml": "birdsong-recognition-dataset",
    ".mat": "yarden",
}
"""Names of formats by the end of a file's name, in lower case; the first that fits."""


def read_marked(path: Path) -> MarkedFile | None:
    """What a file of annotations says; None if no program known here wrote it.

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
            return MarkedFile(tuple(_by_crowsetta(path, name)))
    if lower.endswith(".json"):
        return marks_of_json(path, content)
    text = _decoded(content)
    first = next(iter(text.splitlines()), "")
    separator = max("\t,;", key=first.count)
    header = [_plain(cell) for cell in next(csv.reader([first], delimiter=separator), [])]
    for columns, of_row in _TABLES:
        if set(columns) <= set(header):
            rows = list(_rows(path, text, separator))
            if of_row is _raven and (
                problem := _sequence_without_offsets([row for _, row in rows])
            ):
                return MarkedFile(problem=problem)
            return MarkedFile(tuple(one_each(checked(path, n, of_row, row) for n, row in rows)))
    for columns, name in (
        (("label", "onset_s", "offset_s", "notated_path"), "generic-seq"),
        (("onset_s", "offset_s"), "simple-seq"),
    ):
        if set(columns) <= set(header):
            return MarkedFile(tuple(_by_crowsetta(path, name)))
    if {"audio", "id", "label"} <= set(header) and "[{" in text:
        tasks = [
            {**row, "label": _json_cell(row["label"])} for _, row in _rows(path, text, separator)
        ]
        return tasks_of_label_studio(path, tasks)
    if lower.endswith(".txt") and _AUDACITY_LINE.match(first):
        return MarkedFile(tuple(_audacity(path, text)))
    return None


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _plain(column: str) -> str:
    return " ".join(column.casefold().split())


def _json_cell(text: str) -> Any:
    try:
        return json.loads(text or "[]")
    except ValueError:
        return text


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, Cells]]:
    """(line, cells by column in lower case) of each row."""
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in reader:
            yield reader.line_num, {_plain(k): (v or "").strip() for k, v in row.items() if k}
    except csv.Error as error:
        raise AnnotationError(f"{path}, line {reader.line_num}: {error}") from None


_LABEL_COLUMNS = (
    *("common name", "common_name", "scientific name", "scientific_name", "species", "annotation"),
    *("annotations", "label", "labels", "species code", "species_code", "tag", "tags", "class"),
    *("class name", "class_name", "sound type", "call type", "call_type", "type", "name", "code"),
    *("manual id", "id", "sound", "category", "especie", "espécie", "espèce", "etiqueta"),
)
"""Columns of what people called a mark, in lower case."""

_NO_LABELS = re.compile(
    r"selection|view|channel|(begin|end|file|delta|low|high|peak|center|max|min|avg|inband|length)\b"
    r".*|.*\(.*|score|confidence|rank|date|time|observer|annotator|occupancy|take|recording|"
    r"(start|end|onset|offset|stop)_.*"
)


def _label(row: Cells) -> str:
    """All that a row says of what it is."""
    return _said(row, (column for column in _LABEL_COLUMNS if column in row))


def _said(row: Cells, columns: Iterable[str]) -> str:
    texts = dict.fromkeys(row[column] for column in columns if row[column])
    words = [text for text in texts if not re.fullmatch(r"[\d.,]+", text)]
    return "; ".join(words or texts)


def _own(row: Cells) -> Mark:
    times = seconds_of(row["start_s"]), seconds_of(row["end_s"])
    return Mark(row["recording"], *times, _label(row), row.get("take", ""))


def _raven(row: Cells) -> Mark:
    """Begin and end run on over all files of a table; the offset is that within its own file."""
    begin, end = seconds_of(row["begin time (s)"]), seconds_of(row["end time (s)"])
    if offset := row.get("file offset (s)", ""):
        begin, end = seconds_of(offset), round(seconds_of(offset) + end - begin, 6)
    # People name this column as they like.
    label = _label(row) or _said(row, (c for c in row if not _NO_LABELS.fullmatch(c)))
    return Mark(_raven_file(row), begin, end, label, voice=row.get("channel", ""))


def _raven_file(row: Cells) -> str:
    """The path where the table has it: names alone may be those of two sites."""
    name, path = row.get("begin file", ""), row.get("begin path", "")
    if name and path and not path.endswith(name):
        return f"{path}/{name}"
    return path or name


def _sequence_without_offsets(rows: Sequence[Cells]) -> str:
    """Why a table of several files does not say at which times; empty if it does."""
    several = sorted({_raven_file(row) for row in rows})
    if len(several) < 2 or all(row.get("file offset (s)") for row in rows):
        return ""
    return (
        f"is of {len(several)} files in sequence and does not say where in each ({several[0]}, "
        f"{several[1]}, …); add the measurement 'File Offset (s)' in Raven and save it again"
    )


def _birdnet(row: Cells) -> Mark:
    times = seconds_of(row["start (s)"]), seconds_of(row["end (s)"])
    return Mark(row.get("file", ""), *times, _label(row))


def _birdnet_for_r(row: Cells) -> Mark:
    return Mark(row["filepath"], seconds_of(row["start"]), seconds_of(row["end"]), _label(row))


_KALEIDOSCOPE_LABELS = (
    *("manual id", "manual id*", "top1match", "top1match*", "auto id", "auto id*"),
)


def _kaleidoscope(row: Cells) -> Mark:
    start_s = seconds_of(row["offset"])
    end_s = round(start_s + seconds_of(row["duration"]), 6)
    label = next((row[column] for column in _KALEIDOSCOPE_LABELS if row.get(column)), "")
    folder = row.get("folder", "").replace("\\", "/").strip("/")
    name = f"{folder}/{row['in file']}" if folder else row["in file"]
    return Mark(name, start_s, end_s, label, voice=row.get("channel", ""))


def _of_a_segmenter(row: Cells) -> Mark:
    times = seconds_of(row["start_seconds"]), seconds_of(row["stop_seconds"])
    return Mark(row.get("source_file", ""), *times, row.get("name", ""))


_TABLES: tuple[tuple[tuple[str, ...], Callable[[Cells], Mark]], ...] = (
    (("recording", "start_s", "end_s"), _own),
    (("begin time (s)", "end time (s)"), _raven),
    (("start (s)", "end (s)"), _birdnet),
    (("filepath", "start", "end", "confidence"), _birdnet_for_r),
    (("in file", "offset", "duration"), _kaleidoscope),
    (("start_seconds", "stop_seconds"), _of_a_segmenter),
)
"""Columns that show which program wrote a table, and what its rows say."""

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
        yield checked(path, number, _own, cells)


def _by_crowsetta(path: Path, name: str) -> Iterator[Mark]:
    try:
        import crowsetta
    except ImportError:
        raise AnnotationError(
            f"{path}: reading {name} needs crowsetta; install it with pip install crowsetta"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is raised below
            annotations = crowsetta.formats.by_name(name).from_file(path).to_annot()
    except Exception as error:  # whatever its parsers meet
        raise AnnotationError(f"{path}: crowsetta cannot read it as {name}: {error}") from None
    for annotation in annotations if isinstance(annotations, list) else [annotations]:
        recording = "" if name == "simple-seq" else str(annotation.notated_path or "")
        for onset, offset, label in _stretches(annotation, path, name):
            mark = Mark(recording, float(onset), float(offset), str(label))
            yield possible(mark, str(path))


def _stretches(annotation: Any, path: Path, name: str) -> Iterator[tuple[float, float, str]]:
    """Onset, offset and label of all that one of crowsetta's annotations holds."""
    if boxes := getattr(annotation, "bboxes", None):
        yield from ((box.onset, box.offset, box.label) for box in boxes)
        return
    for sequence in annotation.seq if isinstance(annotation.seq, list) else [annotation.seq]:
        for one in sequence.segments:
            if one.onset_s is None or one.offset_s is None:
                raise AnnotationError(
                    f"{path}: {name} counts in samples here; convert it to seconds with crowsetta"
                )
            if one.onset_s < one.offset_s:
                yield one.onset_s, one.offset_s, one.label
