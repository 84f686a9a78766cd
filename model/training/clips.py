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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from model.calls import MOO_S
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES, Samples

POSITIVE_SHARE = 0.7
NEGATIVE_SHARE = 0.38

CALL_LEAD_S, CALL_TAIL_S = 2.2, 1.0
"""Audio kept before and after an annotated call in its example."""

BACKGROUND_S = 30.0
"""Background is cut into examples of at most this length."""

GUARD_BEFORE_S, GUARD_AFTER_S = 2.0, 0.6
"""Background keeps this far from annotated calls: they have a dim lead-in and an echo."""

ClipKind = Literal["call", "background"]


class DataError(Exception):
    """Training data that cannot be used. The message names the file and the remedy."""


@dataclass(frozen=True)
class Annotation:
    """One call in a recording, in seconds from its start.

    Attributes:
        start_s, end_s: the call from growl to the end of its harmonics.
        take: the bird, or the source of copies; what must not lie on both sides of a split.
        onset_s: where the moo begins, where somebody has marked it.
    """

    start_s: float
    end_s: float
    take: str = ""
    onset_s: float | None = None

    @property
    def cue_start_s(self) -> float:
        """Start of the cue: the onset, or else ``MOO_S`` before the end, or the call's start."""
        if self.onset_s is not None:
            return self.onset_s
        return max(self.start_s, self.end_s - MOO_S)


@dataclass(frozen=True)
class LabelledRecording:
    """A recording with its annotated calls.

    Attributes:
        path: the audio file.
        group: what shares background sound; splits keep a group together.
        annotations: the calls in it, by time; none means that it holds no call. A clip that is
            a call from end to end has one that ends at infinity.
        complete: whether every call is annotated. Of a clip only the main call is.
    """

    path: Path
    group: str
    annotations: tuple[Annotation, ...] = ()
    complete: bool = True


@dataclass(frozen=True)
class Scene:
    """A decoded recording (or a cut-out of one) with the calls in it, see ``LabelledRecording``."""

    source: str
    group: str
    audio: Samples = field(repr=False)
    annotations: tuple[Annotation, ...] = ()
    complete: bool = True


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
    if not scene.complete:
        return
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
