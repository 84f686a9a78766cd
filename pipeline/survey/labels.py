"""labels.csv: answers of people who listened to a sample of a run."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from pipeline.inputs.sheets import read_text
from pipeline.records import SCORE_DIGITS, DetectedCall, RecordingCount, column, optional, text
from pipeline.storage import files
from pipeline.store.moves import name_now, read_moves
from pipeline.store.parts import ledger
from pipeline.tables.cell_text import guard_path, unguard_text
from pipeline.tables.csv_text import csv_line
from pipeline.tables.read import WindowScores
from pipeline.tables.schema import cells, columns_of

Answer = Literal["yes", "no", "unsure"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)


@dataclass(frozen=True)
class Label:
    """One person's answer to whether a bird calls in a stretch of a recording: a row."""

    recording: str = column("Path or URI of the recording.")
    start_s: float = column("Start of the stretch, in seconds.", 3)
    end_s: float = column("End of the stretch, in seconds.", 3)
    score: float | None = column(
        "Score of the model there, 0 to 1; empty if unknown.", SCORE_DIGITS
    )
    site: str = column("Name of the place.")
    stratum: str = column("Stratum of the sample; empty outside a sample.")
    label: Answer = column("yes, no or unsure.")
    n_birds: int | None = optional("Number of birds; empty if not given.")
    observer: str = text("Name of the observer.")
    labelled_at: str = text("Time of the label, ISO 8601.")
    note: str = text("What else it is, or any other remark, in the observer's words.")


CALL_S = 3.5
"""About how long a call is: the stretch around a point at which somebody heard one."""

POINT_REACH_S = 1.0
"""How far from a call a point may lie that means it: people click where it begins for them."""

STRATUM = "heard in full"
"""Stratum of labels made from annotations of whole recordings, not from a sample."""

PRESENCE = "presence"
"""Stratum of labels that settle at which visits the species was: no random sample either."""

BROWSED = "browsed"
"""Stratum of labels of calls that somebody came across, which are no random sample."""

LABEL_COLUMNS = tuple(one.name for one in columns_of(Label))


def read_labels(path: str) -> list[Label]:
    """The rows of labels.csv, as it was written or as a spreadsheet saved it.

    Raises:
        OSError: the file is unreadable.
        ValueError: a missing column or an impossible cell; the message names file and row.
    """
    content = read_text(path)
    first = content.partition("\n")[0].strip()
    separator = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(content, newline=""), delimiter=separator)
    if missing := {"recording", "start_s", "end_s", "label"} - set(rows.fieldnames or ()):
        raise ValueError(f"{path}: lacks the column {', '.join(sorted(missing))}")
    labels = []
    for row in rows:
        try:
            labels.append(_label({name: row.get(name) or "" for name in LABEL_COLUMNS}))
        except ValueError as error:
            raise ValueError(f"{path}: row {rows.line_num}: {error}") from None
    return labels


def read_tables(paths: Sequence[str]) -> list[Label]:
    """The rows of several tables, see ``read_labels`` and ``pooled``."""
    return pooled([read_labels(path) for path in paths])


def pooled(tables: Sequence[Sequence[Label]]) -> list[Label]:
    """The labels of several tables; a call in two tables gets the same bounds in both.

    For a call that the model missed, a review states the bounds of its clip and annotations state
    those of the call. The call's bounds win. A yes takes the bounds of an earlier table's yes if
    both overlap by half of the shorter one, or if that call begins in the clip. A table takes each
    call once, the largest overlap first.
    """
    pool: list[Label] = []
    for table in sorted(tables, key=lambda table: all(one.stratum != STRATUM for one in table)):
        earlier: dict[str, set[tuple[float, float]]] = defaultdict(set)
        for label in pool:
            if label.label == "yes":
                earlier[label.recording].add((label.start_s, label.end_s))
        shares = sorted(
            (-share, at_s, n)
            for n, label in enumerate(table)
            for at_s in earlier.get(label.recording, ())
            if label.label == "yes"
            and (
                (share := _overlap((label.start_s, label.end_s), at_s)) >= 0.5
                or (label.stratum != STRATUM and label.start_s <= at_s[0] < label.end_s)
            )
        )
        moved: dict[int, tuple[float, float]] = {}
        taken: dict[str, dict[tuple[float, float], tuple[float, float]]] = defaultdict(dict)
        for _, at_s, n in shares:
            label = table[n]
            own = label.start_s, label.end_s
            # Two observers of one table have the same bounds: they move together.
            if n not in moved and taken[label.recording].setdefault(at_s, own) == own:
                moved[n] = at_s
        pool += [
            replace(label, start_s=moved[n][0], end_s=moved[n][1]) if n in moved else label
            for n, label in enumerate(table)
        ]
    return pool


def named_today(labels: Iterable[Label], recordings: Collection[str], output: str) -> list[Label]:
    """Labels with the names that their recordings have in an output after all moves.

    Args:
        labels: made before or after.
        recordings: their names in the output's tables.
        output: the folder of a run.
    """
    moves = read_moves(ledger(output))

    def today(name: str) -> str:
        if name in recordings:
            return name
        return guard_path(name_now(name, files.identity(name), "", moves))

    return [replace(one, recording=today(one.recording)) for one in labels]


def label_lines(labels: Iterable[Label]) -> Iterator[str]:
    """The lines of labels.csv."""
    yield csv_line(LABEL_COLUMNS)
    yield from (csv_line(cells(one)) for one in labels)


def labels_from_marks(
    row: RecordingCount,
    calls: Sequence[DetectedCall],
    marked: Sequence[tuple[float, float]],
    scores: WindowScores | None,
    observer: str,
    labelled_at: str,
    unclear: Sequence[tuple[float, float]] = (),
) -> list[Label]:
    """Labels from one observer's annotations of a whole recording.

    A call gets a yes if it overlaps an annotation by half of the shorter of both, otherwise a no,
    or unsure if it overlaps one whose meaning is not plain. An annotation without such a call is a
    call that the model missed.

    Args:
        row: the recording.
        calls: the model's.
        marked: annotations as start and end in seconds, equal for a point.
        scores: stored scores of the recording; a missed call gets the highest within it.
        observer, labelled_at: who and when; may be empty.
        unclear: annotations that may be calls or not.
    """
    free = list(marked)
    labels = []

    def label(times: tuple[float, float], score: float | None, answer: Answer) -> Label:
        return Label(
            row.recording,
            *times,
            score=score,
            site=row.site,
            stratum=STRATUM,
            label=answer,
            observer=observer,
            labelled_at=labelled_at,
        )

    for call in sorted(calls, key=lambda call: call.start_s):
        times = call.start_s, call.end_s
        overlaps = [(_overlap(times, mark), -abs(sum(mark) - sum(times)), mark) for mark in free]
        share, _, mark = max(overlaps, default=(0.0, 0.0, (0.0, 0.0)))
        if share >= 0.5:
            free.remove(mark)
            answer: Answer = "yes"
        else:
            answer = "unsure" if any(_overlap(times, one) >= 0.5 for one in unclear) else "no"
        labels.append(label(times, call.score, answer))
    for start_s, end_s in free:
        if start_s == end_s:
            start_s, end_s = max(0.0, start_s - CALL_S / 2), end_s + CALL_S / 2
        score = scores.highest(start_s, end_s) if scores else None
        labels.append(label((start_s, end_s), score, "yes"))
    return sorted(labels, key=lambda one: one.start_s)


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Overlap of two stretches as a share of the shorter one, 0 to 1.

    A point is of a call in which it lies, or nearly.
    """
    shared = min(one[1], other[1]) - max(one[0], other[0])
    shorter = min(one[1] - one[0], other[1] - other[0])
    if shorter <= 0:
        return 1.0 if shared >= -POINT_REACH_S else 0.0
    return max(0.0, shared) / shorter


def _label(cells: Mapping[str, str]) -> Label:
    answer = cells["label"].strip().lower()
    if answer not in ANSWERS:
        raise ValueError(f"label {answer!r}: write yes, no or unsure")
    start_s, end_s = _number(cells["start_s"]), _number(cells["end_s"])
    if start_s is None or end_s is None or not 0 <= start_s < end_s:
        raise ValueError(f"{cells['start_s']} to {cells['end_s']} s is no stretch of a recording")
    n_birds = _number(cells["n_birds"])
    return Label(
        recording=guard_path(cells["recording"]),
        start_s=start_s,
        end_s=end_s,
        score=_number(cells["score"]),
        site=unguard_text(cells["site"]),
        stratum=unguard_text(cells["stratum"]),
        label=answer,
        n_birds=None if n_birds is None else int(n_birds),
        observer=unguard_text(cells["observer"]),
        labelled_at=cells["labelled_at"],
        note=unguard_text(cells["note"]),
    )


def _number(cell: str) -> float | None:
    """A number, with a point or, as some spreadsheets save it, a comma."""
    return float(cell.replace(",", ".")) if cell.strip() else None
