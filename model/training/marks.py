"""What somebody marked in recordings, and what makes a mark possible."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


class AnnotationError(Exception):
    """A file of annotations that cannot be used. The message names it and the remedy."""


@dataclass(frozen=True)
class Mark:
    """A stretch of a recording that somebody marked, or a point in it.

    Attributes:
        recording: name or path as the file has it; empty where the file says nothing and is itself
            named after its recording.
        start_s, end_s: seconds from the start of the recording; equal for a point.
        label: what they called it; several names are joined by ``; ``.
        take: the source clip that a call was copied from, in our own tables alone.
        voice: channel or person, where the file names them.
    """

    recording: str
    start_s: float
    end_s: float
    label: str = ""
    take: str = ""
    voice: str = field(default="", compare=False)


@dataclass(frozen=True)
class MarkedFile:
    """What a file of annotations says.

    Attributes:
        marks: all of it, each once.
        unmarked: recordings in which somebody found nothing to mark, where the file names such.
        unfinished: recordings that somebody has still to listen to, where the file names such.
        problem: why nothing of it can be used, and the remedy; may be empty.
        remarks: on parts that say nothing.
    """

    marks: tuple[Mark, ...] = ()
    unmarked: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    problem: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def names_recordings(self) -> bool:
        """Whether it says itself what it is about."""
        return bool(self.unmarked or self.problem) or any(mark.recording for mark in self.marks)


TOLERATED_BEFORE_S = 0.05
"""A mark that begins so little before its recording begins with it: programs round."""

Cells = Mapping[str, str]
"""Cells by column, in lower case."""


def checked(path: Path, line: int, of_row: Callable[[Cells], Mark], row: Cells) -> Mark:
    """The mark of a row.

    Raises:
        AnnotationError: it cannot be one; the message names file and line.
    """
    try:
        mark = of_row(row)
    except (KeyError, ValueError) as error:
        raise AnnotationError(f"{path}, line {line}: {error}") from None
    return possible(mark, f"{path}, line {line}")


def possible(mark: Mark, where: str) -> Mark:
    """A mark that begins in its recording, as it may be by the rounding of programs.

    Raises:
        AnnotationError: it ends before it begins; the message says where it stands.
    """
    if -TOLERATED_BEFORE_S <= mark.start_s < 0:
        mark = replace(mark, start_s=0.0, end_s=max(0.0, mark.end_s))
    if not 0 <= mark.start_s <= mark.end_s:
        raise AnnotationError(
            f"{where}: a call cannot last from {mark.start_s:g} to {mark.end_s:g} s; "
            "correct the line or remove it"
        )
    return mark


def one_each(marks: Iterable[Mark]) -> list[Mark]:
    """Without repeats: Raven has a row for each view of a selection."""
    return list(dict.fromkeys(marks))


def seconds_of(text: str) -> float:
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
