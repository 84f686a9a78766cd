"""labels.csv: what people heard in the clips of a review, written by its page, read back here."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from pipeline.records import ClipLabel
from pipeline.storage import files
from pipeline.tables.csv_text import csv_line
from pipeline.tables.schema import cells, columns_of, row_from_cells

ANSWERS = ("yes", "no", "unsure")


class LabelError(ValueError):
    """A table of labels that cannot be used. The message names file, line and remedy."""


def read_labels(name: str) -> list[ClipLabel]:
    """The labelled clips of a table; rows without a label are left out.

    Args:
        name: a file here or in a bucket, as the page of a review wrote it.

    Raises:
        LabelError: it is no such table, or a cell is wrong.
        OSError: it cannot be read.
    """
    text = files.read_bytes(name).decode("utf-8-sig")
    table = csv.DictReader(io.StringIO(text, newline=""))
    needed = [c.name for c in columns_of(ClipLabel)]
    if missing := [column for column in needed if column not in (table.fieldnames or ())]:
        raise LabelError(
            f"{name}: lacks the column {', '.join(missing)}; give the table that the page of "
            "capuchinbird review saved"
        )
    labels = []
    for row in table:
        if not (row["label"] or "").strip():
            continue
        line = f"{name}, line {table.line_num}"
        row["label"] = row["label"].strip().lower()
        try:
            label: ClipLabel = row_from_cells(ClipLabel, row)
        except ValueError as error:
            raise LabelError(f"{line}: {error}") from None
        if label.label not in ANSWERS:
            raise LabelError(f"{line}: label {label.label!r}; it is one of {', '.join(ANSWERS)}")
        if not 0 <= label.start_s < label.end_s:
            raise LabelError(f"{line}: a stretch from {label.start_s} to {label.end_s} s is none")
        if label.n_birds is not None and not (label.n_birds >= 1 and label.label == "yes"):
            raise LabelError(f"{line}: {label.n_birds} birds and the label {label.label}")
        labels.append(label)
    return labels


def labels_text(labels: Iterable[ClipLabel]) -> str:
    """Labels as the text of labels.csv."""
    header = csv_line([c.name for c in columns_of(ClipLabel)])
    return header + "".join(csv_line(cells(label)) for label in labels)
