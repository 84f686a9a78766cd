"""labels.csv: what people heard when they checked a sample of a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from pipeline.inputs.sheets import read_text
from pipeline.tables.cell_text import guard_path, unguard_text

Answer = Literal["yes", "no", "unsure"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)


@dataclass(frozen=True)
class Label:
    """One person's answer to whether a bird calls between ``start_s`` and ``end_s``.

    Attributes:
        score: of the model there, 0 to 1; None if unknown.
        stratum: of the sample; empty where the label is part of none.
        n_birds: birds heard; None if not said.
        labelled_at: ISO 8601, or empty.
    """

    recording: str
    start_s: float
    end_s: float
    score: float | None
    site: str
    stratum: str
    label: Answer
    n_birds: int | None = None
    observer: str = ""
    labelled_at: str = ""


LABEL_COLUMNS = tuple(field.name for field in fields(Label))


def read_labels(path: str) -> list[Label]:
    """The rows of labels.csv, as it was written or as a spreadsheet saved it.

    Raises:
        OSError: it cannot be read.
        ValueError: a column that is needed is not there, or a cell that cannot be right; the
            message names file and row.
    """
    text = read_text(path)
    first = text.partition("\n")[0].strip()
    separator = max(",;\t", key=first.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    if missing := {"recording", "start_s", "end_s", "label"} - set(rows.fieldnames or ()):
        raise ValueError(f"{path}: lacks the column {', '.join(sorted(missing))}")
    found = []
    for row in rows:
        try:
            found.append(_label({name: row.get(name) or "" for name in LABEL_COLUMNS}))
        except ValueError as error:
            raise ValueError(f"{path}: row {rows.line_num}: {error}") from None
    return found


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
    )


def _number(cell: str) -> float | None:
    """A number, with a point or, as some spreadsheets save it, a comma."""
    return float(cell.replace(",", ".")) if cell.strip() else None
