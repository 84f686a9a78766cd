"""Rows as Parquet: columns with types, their meaning and the schema's version in the metadata."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet

from pipeline.records import SCHEMA_VERSION, Row
from pipeline.tables.cell_text import encode

_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    date: pa.date32(),
    datetime: pa.timestamp("ms"),
}


def parquet_schema(row_type: type[Row]) -> pa.Schema:
    """The columns of a table, from the fields of its rows."""
    hints = get_type_hints(row_type)
    columns = []
    for field in fields(row_type):
        hint = hints[field.name]
        options = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        (kind,) = (option for option in options if option is not type(None))
        columns.append(
            pa.field(
                field.name,
                _TYPES[kind],
                nullable=type(None) in options,
                metadata={"description": field.metadata["doc"]},
            )
        )
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})


def parquet_bytes(rows: Sequence[Row], row_type: type[Row]) -> bytes:
    """A Parquet file with these rows, in their order."""
    schema = parquet_schema(row_type)
    columns = [[_value(getattr(row, name)) for row in rows] for name in schema.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    buffer = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer)
    return bytes(buffer.getvalue().to_pybytes())


def _value(value: Any) -> Any:
    return encode(value).decode() if isinstance(value, str) else value
