"""Labelled audio for training: from annotated recordings and clip folders to examples and windows.

What a window's label means is decided here and nowhere else. Of a Capuchinbird call (1 to 1.5 s of
growl, then 2 s of flat harmonics, the "moo") the moo is the cue: it is what carries furthest and
what nothing else in the forest sounds like. A window is

* positive when it holds at least ``POSITIVE_SHARE`` of a call's cue,
* negative when it holds at most ``NEGATIVE_SHARE`` of every call's cue,
* left out of training and of window metrics in between.

A window is 3 s and a moo 2.2 s long, so the windows between both limits span a good 2.5 s: calls
that follow each other every 6 s leave windows without a call between them.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from model.audio import AUDIO_EXTENSIONS, read_all
from model.calls import MOO_S
from model.decoders import AudioError
from model.training.annotations import (
    PROGRAMS,
    AnnotationError,
    Mark,
    calls_among,
    marks_in,
    read_marks,
    recording_of,
)
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES, Samples

POSITIVE_SHARE = 0.7
NEGATIVE_SHARE = 0.38

CALL_LEAD_S, CALL_TAIL_S = 2.2, 1.0
"""Audio kept before and after an annotated call in its example."""

BACKGROUND_S = 30.0
"""Background is cut into examples of at most this length."""

GUARD_BEFORE_S, GUARD_AFTER_S = 2.0, 0.6
"""Background keeps this far from annotated calls: they have a dim lead-in and an echo."""

TUTORIAL_CALLS = "Parsed_Capuchinbird_Clips"
TUTORIAL_OTHERS = "Parsed_Not_Capuchinbird_Clips"

RECORDINGS_TABLE = "recordings.csv"

ClipKind = Literal["call", "background"]


class DataError(Exception):
    """Training data that cannot be used. The message names the file and the remedy."""


@dataclass(frozen=True)
class Annotation:
    """One call in a recording, in seconds from its start. ``take`` names the source of copies."""

    start_s: float
    end_s: float
    take: str = ""

    @property
    def cue_start_s(self) -> float:
        """Start of the cue: the last ``MOO_S`` of a call, or all of it when it is shorter."""
        return max(self.start_s, self.end_s - MOO_S)


@dataclass(frozen=True)
class LabelledRecording:
    """A recording whose calls are all annotated.

    Attributes:
        path: the audio file.
        group: what shares background sound; splits keep a group together.
        annotations: every call in it, by time; none means that it holds no call. A clip that is
            a call from end to end has one that ends at infinity.
    """

    path: Path
    group: str
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A decoded recording (or a cut-out of one) with the calls in it."""

    source: str
    group: str
    audio: Samples = field(repr=False)
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Example:
    """A stretch of audio to make training windows of: one call with its surroundings, or none.

    Attributes:
        audio: mono at 16 kHz, float32 ``[n]`` in −1…1.
        kind: ``call`` or ``background``.
        source: name of the recording; offset: first sample in it.
        group, take: what must not lie on both sides of a split.
        call_start, cue_start, call_end: samples from the start of ``audio``; 0 for background.
    """

    audio: Samples = field(repr=False)
    kind: ClipKind
    source: str
    offset: int
    group: str
    take: str = ""
    call_start: int = 0
    cue_start: int = 0
    call_end: int = 0


def window_label(start: int, cues: Sequence[tuple[int, int]]) -> int | None:
    """Label of the window that starts at sample ``start``: 1, 0, or None when in between.

    Args:
        start: first sample of the window.
        cues: (first, end) samples of every call's cue, on the same clock.
    """
    best = 0.0
    for first, end in cues:
        inside = min(end, start + WINDOW_SAMPLES) - max(first, start)
        best = max(best, inside / max(1, end - first))
    if best >= POSITIVE_SHARE:
        return 1
    return 0 if best <= NEGATIVE_SHARE else None


def cue_samples(annotations: Iterable[Annotation]) -> list[tuple[int, int]]:
    """(first, end) sample of each call's cue, at 16 kHz."""
    return [
        (round(a.cue_start_s * SAMPLE_RATE_HZ), round(a.end_s * SAMPLE_RATE_HZ))
        for a in annotations
    ]


def cut_examples(scene: Scene) -> Iterator[Example]:
    """The examples in one recording: each call, and the background away from any call."""
    rate, n = SAMPLE_RATE_HZ, len(scene.audio)
    clear = 0
    for note in scene.annotations:
        first = max(0, round((note.start_s - CALL_LEAD_S) * rate))
        last = min(n, round((note.end_s + CALL_TAIL_S) * rate))
        yield Example(
            audio=scene.audio[first:last],
            kind="call",
            source=scene.source,
            offset=first,
            group=scene.group,
            take=note.take,
            call_start=round(note.start_s * rate) - first,
            cue_start=round(note.cue_start_s * rate) - first,
            call_end=min(round(note.end_s * rate), n) - first,
        )
    for note in [*scene.annotations, Annotation(n / rate + GUARD_BEFORE_S, np.inf)]:
        yield from _background(scene, clear, round((note.start_s - GUARD_BEFORE_S) * rate))
        if np.isfinite(note.end_s):
            clear = max(clear, round((note.end_s + GUARD_AFTER_S) * rate))


def _background(scene: Scene, first: int, end: int) -> Iterator[Example]:
    """Background first … end in pieces of about ``BACKGROUND_S``.

    What is shorter than a window is left out, unless it is all there is: a short recording without
    a call is heard as it will be when serving.
    """
    length = end - first
    whole = first == 0 and end == len(scene.audio)
    if length <= 0 or (length < WINDOW_SAMPLES and not whole):
        return
    pieces = max(1, length // round(BACKGROUND_S * SAMPLE_RATE_HZ))
    edges = np.linspace(first, end, pieces + 1).astype(int)
    for begin, stop in pairwise(edges):
        audio = scene.audio[begin:stop]
        yield Example(audio, "background", scene.source, int(begin), scene.group)


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
            notes = [(a.start_s, a.end_s, a.take) for a in recording.annotations]
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
      ``Parsed_Not_Capuchinbird_Clips``.

    Args:
        sources: folders with labelled audio.
        negatives: folders of recordings that hold no call.
        annotations: a table to use in place of a source's own (a corrected one from the review).
        call_labels: labels of annotations that mean a call, see ``annotations.calls_among``.

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
    whole = (Annotation(0.0, float("inf")),)
    for folder, notes in ((TUTORIAL_CALLS, whole), (TUTORIAL_OTHERS, ())):
        if not (source / folder).is_dir():
            raise DataError(f"{source}: lacks the folder {folder}, which its neighbour goes with")
        for path in _audio(source / folder):
            # Clips of one recording are numbered: XC114131-0.wav, XC114131-1.wav.
            origin = path.stem.rsplit("-", 1)[0]
            yield LabelledRecording(path, f"clip/{origin}", notes)


def _annotated_folder(
    source: Path, table: Path | None, skipped: list[str], call_labels: Sequence[str]
) -> Iterator[LabelledRecording]:
    folder = source / "recordings" if (source / "recordings").is_dir() else source
    paths = _audio(folder)
    if not paths:
        raise DataError(f"{folder}: holds no audio files")
    table = table or source / "annotations.csv"
    if table.is_file():
        notes = read_annotations(table, [path.name for path in paths], call_labels)
    else:
        notes = _annotation_files(source, paths, call_labels)
    for name in sorted(notes.keys() - {p.name for p in paths}):
        skipped.append(f"{name}: annotated, but not in {folder}")
    groups = _groups(source / RECORDINGS_TABLE)
    for path in paths:
        calls = tuple(sorted(notes.get(path.name, ()), key=lambda a: a.start_s))
        yield LabelledRecording(path, groups.get(path.name, path.stem), calls)


def read_annotations(
    table: Path, names: Iterable[str], call_labels: Sequence[str] = ()
) -> dict[str, list[Annotation]]:
    """Calls of each recording from one file of annotations, see ``annotations.read_marks``.

    Args:
        table: the file.
        names: of the recordings; a mark of another one is kept under the name that it has.
        call_labels: see ``annotations.calls_among``.

    Raises:
        DataError: it cannot be read.
    """
    return _calls_by_recording({table: _marks(table)}, names, call_labels)


def _marks(table: Path) -> list[Mark]:
    marks = read_marks(table)
    if marks is None:
        raise DataError(
            f"{table}: lacks the column end_s, start_s or recording, and is no file of {PROGRAMS}"
        )
    return marks


def _calls_by_recording(
    files: Mapping[Path, Sequence[Mark]], names: Iterable[str], call_labels: Sequence[str]
) -> dict[str, list[Annotation]]:
    """A take that is not stated means that each recording is its own source."""
    known, notes = list(names), dict[str, list[Annotation]]()
    calls = set(calls_among([mark for marks in files.values() for mark in marks], call_labels))
    for file, marks in files.items():
        for mark in marks:
            if mark in calls:
                name = recording_of(mark, file, known) or Path(mark.recording).name
                notes.setdefault(name, []).append(Annotation(mark.start_s, mark.end_s, mark.take))
    return notes


def _annotation_files(
    source: Path, paths: Sequence[Path], call_labels: Sequence[str]
) -> dict[str, list[Annotation]]:
    """Calls from all files of annotations beside the recordings or in ``annotations/``."""
    names = [path.name for path in paths]
    folders = (source, source / "recordings", source / "annotations")
    found = marks_in(folders, names, {*names, RECORDINGS_TABLE})
    if not found:
        raise DataError(
            f"{source}: holds neither annotations.csv (recording,start_s,end_s) nor files of "
            f"{PROGRAMS} named after its recordings"
        )
    return _calls_by_recording(found, names, call_labels)


def read_raven(table: Path) -> list[Annotation]:
    """Calls from one Raven selection table, each once, whatever its views and labels."""
    return [Annotation(mark.start_s, mark.end_s) for mark in _marks(table)]


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

    A call may run out of the recording: what counts is that its cue has begun.
    """
    duration_s = len(audio) / SAMPLE_RATE_HZ
    kept, late = [], []
    for note in recording.annotations:
        if note.end_s == np.inf:  # a clip: all of it is the call
            kept.append(replace(note, end_s=duration_s))
        elif note.cue_start_s < duration_s - 0.5:
            kept.append(note)
        else:
            late.append(
                f"{recording.path.name}: annotation at {note.start_s:g} s lies beyond its end, "
                f"{duration_s:.1f} s"
            )
    return Scene(recording.path.name, recording.group, audio, tuple(kept)), late


def refuse_leaks(
    training: Iterable[Example], testing: Iterable[Example], by: Sequence[str]
) -> None:
    """Refuses a split that has the same thing on both sides.

    Args:
        training, testing: the two sides.
        by: attributes of ``Example`` that must not be shared: ``take``, ``group``, ``source``.
            An empty take is unknown and shared with nothing.

    Raises:
        DataError: names what leaks.
    """
    training, testing = list(training), list(testing)
    for attribute in by:
        left = {getattr(e, attribute) for e in training}
        shared = sorted((left & {getattr(e, attribute) for e in testing}) - {""})
        if shared:
            raise DataError(f"the split leaks: {attribute} {', '.join(shared[:5])} on both sides")
