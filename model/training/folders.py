"""Labelled recordings from folders: annotated recordings, or the tutorial's clips."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.audio.decoders import AudioError
from model.audio.recording import AUDIO_EXTENSIONS, read_all
from model.calls import MOO_S
from model.training.annotation_files import PROGRAMS, read_marked
from model.training.annotations import Names, calls_and_unclear, each_once, marks_in
from model.training.clips import Annotation, DataError, LabelledRecording, Scene
from model.training.marks import AnnotationError, Mark, MarkedFile
from model.windows import SAMPLE_RATE_HZ, Samples

TUTORIAL_CALLS = "Parsed_Capuchinbird_Clips"
TUTORIAL_OTHERS = "Parsed_Not_Capuchinbird_Clips"

RECORDINGS_TABLE = "recordings.csv"
CLIPS_TABLE = "clips.csv"

NEIGHBOURS = 3
"""Numbers of xeno-canto this close are one source."""

GROWL_S = 1.3
"""How long before its onset the call of a clip is taken to begin."""


@dataclass(frozen=True)
class TrainingData:
    """Annotated recordings, what was skipped on reading and why."""

    recordings: tuple[LabelledRecording, ...]
    skipped: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Annotated calls."""
        return sum(len(r.annotations) for r in self.recordings)

    def sha256(self) -> str:
        """Hash over the bytes of all recordings and all annotations, whatever their order."""
        lines = []
        for recording in self.recordings:
            digest = hashlib.sha256(recording.path.read_bytes()).hexdigest()
            notes = [(a.start_s, a.end_s, a.take, a.onset_s) for a in recording.annotations]
            lines.append(f"{recording.path.name} {digest} {recording.group} {notes}")
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_data(
    sources: Sequence[Path],
    negatives: Sequence[Path] = (),
    annotations: Path | None = None,
    call_labels: Sequence[str] = (),
) -> TrainingData:
    """Labelled recordings from folders.

    A source is one of

    * a folder with ``recordings/`` (or the audio files themselves) and ``annotations.csv``
      (``recording,start_s,end_s[,take]``), optionally ``recordings.csv``
      (``recording,background``);
    * such a folder with files of Raven, Audacity, BirdNET, Kaleidoscope, soundevent or whatever
      crowsetta reads, beside each recording or in ``annotations/``;
    * a folder with the tutorial's ``Parsed_Capuchinbird_Clips`` and
      ``Parsed_Not_Capuchinbird_Clips``, optionally ``clips.csv`` (``clip,source[,onset_s]``).

    Args:
        sources: folders with labelled audio.
        negatives: folders of recordings that hold no call.
        annotations: a table to use in place of a source's own (a corrected one from the review).
        call_labels: labels of annotations that mean a call, see ``annotations.calls_and_unclear``.

    Raises:
        DataError: nothing usable, or a table that is wrong.
    """
    try:
        return _read_data(sources, negatives, annotations, call_labels)
    except AnnotationError as error:
        raise DataError(str(error)) from None


def _read_data(
    sources: Sequence[Path],
    negatives: Sequence[Path],
    annotations: Path | None,
    call_labels: Sequence[str],
) -> TrainingData:
    recordings: list[LabelledRecording] = []
    skipped: list[str] = []
    for folder in (*sources, *negatives):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
    for source in sources:
        if (source / TUTORIAL_CALLS).is_dir() or (source / TUTORIAL_OTHERS).is_dir():
            recordings += _clip_folders(source)
        else:
            recordings += _annotated_folder(source, annotations, skipped, call_labels)
    for folder in negatives:
        recordings += [LabelledRecording(path, f"negatives/{path.stem}") for path in _audio(folder)]
    if not recordings:
        raise DataError(f"{', '.join(map(str, sources))}: holds no recordings that can be read")
    if not any(r.annotations for r in recordings):
        raise DataError(
            f"{', '.join(map(str, sources))}: no call is annotated; "
            "a model needs recordings with calls and without"
        )
    twice = [name for name, n in Counter(r.path.name for r in recordings).items() if n > 1]
    if twice:
        raise DataError(f"two recordings are both called {twice[0]}; rename one")
    return TrainingData(tuple(recordings), tuple(skipped))


def _audio(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in AUDIO_EXTENSIONS)


def _clip_folders(source: Path) -> Iterator[LabelledRecording]:
    """The tutorial's clips. ``clips.csv`` beside the folders says where calls begin."""
    table = _clip_table(source / CLIPS_TABLE)
    origins = clip_sources(p.stem for p in sorted(source.glob("Parsed_*/*")))
    for folder, is_call in ((TUTORIAL_CALLS, True), (TUTORIAL_OTHERS, False)):
        if not (source / folder).is_dir():
            raise DataError(f"{source}: lacks the folder {folder}, which its neighbour goes with")
        for path in _audio(source / folder):
            row = table.get(path.stem, {})
            origin = row.get("source") or origins[path.stem]
            notes: tuple[Annotation, ...] = ()
            if is_call and (onset := row.get("onset_s")):
                onset_s = float(onset)
                start_s, end_s = max(0.0, onset_s - GROWL_S), onset_s + MOO_S
                notes = (Annotation(start_s, end_s, origin, onset_s),)
            elif is_call:
                notes = (Annotation(0.0, float("inf"), origin),)
            yield LabelledRecording(path, f"clip/{origin}", notes, complete=not is_call)


def clip_sources(stems: Iterable[str]) -> dict[str, str]:
    """What each clip was cut from, by its name without extension.

    Clips of one recording are numbered. Recordings of xeno-canto whose numbers lie within
    ``NEIGHBOURS`` of each other were uploaded together, most likely of one bird.

    >>> clip_sources(["XC114131-0", "XC114132-4", "robin-chirping-12"])
    {'XC114131-0': 'XC114131', 'XC114132-4': 'XC114131', 'robin-chirping-12': 'robin-chirping'}
    """
    origins = {stem: stem.rsplit("-", 1)[0] for stem in stems}
    first: dict[str, str] = {}
    last, origin = -NEIGHBOURS - 1, ""
    numbers = {o: int(o[2:]) for o in origins.values() if re.fullmatch(r"XC\d+", o)}
    for name, number in sorted(numbers.items(), key=lambda item: item[1]):
        origin = origin if number - last <= NEIGHBOURS else name
        first[name], last = origin, number
    return {stem: first.get(name, name) for stem, name in origins.items()}


def _clip_table(table: Path) -> Mapping[str, Mapping[str, str]]:
    """Rows of ``clips.csv`` (``clip,source[,onset_s]``) by the clip's name without extension."""
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if rows and (missing := {"clip", "source"} - rows[0].keys()):
        raise DataError(f"{table}: lacks the column {', '.join(sorted(missing))}")
    for row in rows:
        try:
            float(row.get("onset_s") or 0)
        except ValueError:
            raise DataError(f"{table}: {row['clip']}: onset_s is no number") from None
    return {Path(row["clip"]).stem: row for row in rows}


def _annotated_folder(
    source: Path, table: Path | None, skipped: list[str], call_labels: Sequence[str]
) -> Iterator[LabelledRecording]:
    folder = source / "recordings" if (source / "recordings").is_dir() else source
    paths = _audio(folder)
    if not paths:
        raise DataError(f"{folder}: holds no audio files")
    table = table or source / "annotations.csv"
    names = [path.name for path in paths]
    files = {table: _marked(table)} if table.is_file() else _annotation_files(source, names)
    notes, doubtful = _calls_by_recording(files, names, call_labels)
    for file, marked in files.items():
        skipped += [f"{file}: {remark}" for remark in (marked.problem, *marked.remarks) if remark]
    for name in sorted(notes.keys() - set(names)):
        skipped.append(f"{name}: annotated, but not in {folder}")
    groups = _groups(source / RECORDINGS_TABLE)
    for path in paths:
        if why := doubtful.get(path.name):
            skipped.append(f"{path.name}: {why}; left out")
            continue
        calls = tuple(sorted(notes.get(path.name, ()), key=lambda a: a.start_s))
        yield LabelledRecording(path, groups.get(path.name, path.stem), calls)


def _marked(table: Path) -> MarkedFile:
    marked = read_marked(table)
    if marked is None:
        raise DataError(
            f"{table}: lacks the column end_s, start_s or recording, and is no file of {PROGRAMS}"
        )
    if marked.problem:
        raise DataError(f"{table}: {marked.problem}")
    return marked


def _calls_by_recording(
    files: Mapping[Path, MarkedFile], recordings: Iterable[str], call_labels: Sequence[str]
) -> tuple[dict[str, list[Annotation]], dict[str, str]]:
    """Calls of each recording, and why a recording cannot be learnt from.

    A mark of another recording is kept under the name that it has. A take that is not stated means
    that each recording is its own source.
    """
    names = Names(recordings)
    every = [mark for file in files.values() for mark in file.marks]
    calls, unclear = map(set, calls_and_unclear(every, call_labels))
    voices: dict[str, dict[tuple[Path, str], list[Mark]]] = {}
    doubtful: dict[str, str] = {}
    for path, file in files.items():
        if file.problem:
            doubtful |= dict.fromkeys(names.of_file(path), f"{path}: {file.problem}")
        for name in file.unfinished:
            doubtful |= dict.fromkeys(names.named(name), f"{path}: its task is not finished")
        for mark in file.marks:
            fitting = names.meant(mark.recording, path)
            name = fitting[0] if fitting else Path(mark.recording).name
            if mark in unclear:
                doubtful[name] = (
                    f"{mark.start_s:g} s is labelled {mark.label!r}, which may be a call or not; "
                    "say with --annotated_as which labels are calls"
                )
            elif mark in calls and mark.start_s == mark.end_s:
                doubtful[name] = (
                    f"{mark.start_s:g} s is marked as a point, and training needs where a call "
                    "begins and ends"
                )
            elif mark in calls:
                voices.setdefault(name, {}).setdefault((path, mark.voice), []).append(mark)
    notes = {
        name: [
            Annotation(mark.start_s, mark.end_s, mark.take) for mark in each_once([*of.values()])
        ]
        for name, of in voices.items()
    }
    return notes, doubtful


def _annotation_files(source: Path, names: Sequence[str]) -> dict[Path, MarkedFile]:
    """All files of annotations beside the recordings or in ``annotations/``."""
    folders = (source, source / "recordings", source / "annotations")
    found = marks_in(folders, names, {*names, RECORDINGS_TABLE})
    if not found:
        raise DataError(
            f"{source}: holds neither annotations.csv (recording,start_s,end_s) nor files of "
            f"{PROGRAMS} named after its recordings"
        )
    return found


def _groups(table: Path) -> Mapping[str, str]:
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        return {
            r["recording"]: r["background"] for r in csv.DictReader(file) if r.get("background")
        }


def load_scenes(data: TrainingData) -> tuple[list[Scene], list[str]]:
    """Decodes every recording.

    A recording that cannot be read is skipped, as is an annotation beyond its recording's end.

    Returns:
        The recordings, and one line for everything skipped.

    Raises:
        DataError: no annotated call is left.
    """
    scenes: list[Scene] = []
    skipped: list[str] = []
    for recording in data.recordings:
        try:
            audio = read_all(recording.path)
        except AudioError as error:
            skipped.append(str(error))
            continue
        scene, late = labelled(recording, audio)
        scenes.append(scene)
        skipped += late
    if not any(scene.annotations for scene in scenes):
        raise DataError("no annotated call could be read: " + "; ".join(skipped[:3]))
    return scenes, skipped


def labelled(recording: LabelledRecording, audio: Samples) -> tuple[Scene, list[str]]:
    """A decoded recording with the annotations that lie inside it, and a line for each other one.

    A call may run out of the recording: what counts is that its cue has begun. A call without a
    take is of its background's own bird.
    """
    duration_s = len(audio) / SAMPLE_RATE_HZ
    kept, late = [], []
    for note in recording.annotations:
        note = replace(note, take=note.take or recording.group)
        if note.end_s == np.inf:  # a clip: all of it is the call
            kept.append(replace(note, end_s=duration_s))
        elif note.cue_start_s < duration_s - 0.5:
            kept.append(note)
        else:
            late.append(
                f"{recording.path.name}: annotation at {note.start_s:g} s lies beyond its end, "
                f"{duration_s:.1f} s"
            )
    name, group = recording.path.name, recording.group
    return Scene(name, group, audio, tuple(kept), recording.complete), late
