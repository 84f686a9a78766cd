"""The columns of our own tables, from the fields of the rows in ``pipeline.records``.

CSV cells, Parquet and BigQuery columns and docs/outputs.md derive from these columns.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Protocol, get_args, get_type_hints

from pipeline.tables.cell_text import guard_path, guard_text, unguard_text


class TableRow(Protocol):
    """A row: a dataclass with a ``records.column`` for each field."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


_PARQUET = {str: "string", int: "int64", float: "double"}
_BIGQUERY = {str: "STRING", int: "INTEGER", float: "FLOAT"}
_BIGQUERY_TIMES = {
    "recorded_at": "TIMESTAMP",
    "called_at": "TIMESTAMP",
    "started_at": "TIMESTAMP",
    "recorded_local": "DATETIME",
    "called_local": "DATETIME",
}
_PARQUET_TIMES = {"TIMESTAMP": "timestamp[us, tz=UTC]", "DATETIME": "timestamp[us]"}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        kind: type of its values: str, int or float.
        nullable: whether a value may be None.
        doc: its meaning.
        digits: number of decimals in text; None for all.
    """

    name: str
    kind: type
    nullable: bool
    doc: str
    digits: int | None

    @property
    def parquet_type(self) -> str:
        """The type's alias in pyarrow. Times are text in CSV files and typed here."""
        return _PARQUET_TIMES.get(_BIGQUERY_TIMES.get(self.name, "")) or _PARQUET[self.kind]

    @property
    def is_time(self) -> bool:
        """Whether its text is a moment in ISO 8601, or empty."""
        return self.name in _BIGQUERY_TIMES

    @property
    def bigquery_type(self) -> str:
        """The type's name in BigQuery's API. Times are text in files and typed there."""
        return _BIGQUERY_TIMES.get(self.name) or _BIGQUERY[self.kind]

    def to_cell(self, value: Any) -> str:
        """A value as text; empty if unknown."""
        if value is None:
            return ""
        if self.kind is str:
            return guard_path(value) if self.name == "recording" else guard_text(value)
        # Adding 0 turns what rounds to -0 into 0.
        digits = self.digits
        return str(value) if digits is None else f"{round(value, digits) + 0.0:.{digits}f}"

    def from_cell(self, cell: str) -> Any:
        """The value of a cell, the inverse of ``to_cell`` but for rounding.

        A recording's name keeps ``./`` in front: it names the same file.
        """
        if self.kind is str:
            return cell if self.name == "recording" else unguard_text(cell)
        return self.kind(cell) if cell else None


_COLUMNS: dict[type[TableRow], tuple[Column, ...]] = {}  # every row needs its columns


def columns_of(row_type: type[TableRow]) -> tuple[Column, ...]:
    """The columns of a table, in order."""
    if row_type not in _COLUMNS:
        hints = get_type_hints(row_type)
        _COLUMNS[row_type] = tuple(_column(f, hints[f.name]) for f in fields(row_type))
    return _COLUMNS[row_type]


def _column(field: Field[Any], hint: Any) -> Column:
    options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    (kind,) = (option for option in options if option is not type(None))
    doc, digits = field.metadata["doc"], field.metadata["digits"]
    return Column(field.name, kind, type(None) in options, doc, digits)


def cells(row: TableRow) -> list[str]:
    """A row as text; empty for unknown values."""
    return [column.to_cell(getattr(row, column.name)) for column in columns_of(type(row))]


def row_from_cells(row_type: type[TableRow], text: Mapping[str, str | None]) -> Any:
    """The row of these cells; columns that an older table lacks are empty or None."""
    return row_type(**{c.name: c.from_cell(text.get(c.name) or "") for c in columns_of(row_type)})
