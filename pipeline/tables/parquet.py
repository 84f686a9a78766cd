"""Rows as Parquet: columns with types, their meaning and the schema's version in the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from pipeline.records import SCHEMA_VERSION
from pipeline.tables.cell_text import encode
from pipeline.tables.schema import TableRow, columns_of

_TIMES = {str(kind): kind for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC"))}


def parquet_schema(row_type: type[TableRow]) -> pa.Schema:
    """The columns of a table as Parquet types."""
    columns = [
        pa.field(
            column.name,
            _TIMES.get(column.parquet_type) or pa.type_for_alias(column.parquet_type),
            nullable=column.nullable or column.is_time,
            metadata={"description": column.doc},
        )
        for column in columns_of(row_type)
    ]
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})


def arrow_table(rows: Sequence[Any], row_type: type[TableRow]) -> pa.Table:
    """These rows as columns with types, in their order."""
    schema = parquet_schema(row_type)
    arrays = [
        pa.array([_storable(getattr(row, field.name), field.type) for row in rows], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def parquet_bytes(rows: Sequence[Any], row_type: type[TableRow]) -> bytes:
    """A Parquet file with these rows, in their order."""
    buffer = pa.BufferOutputStream()
    pyarrow.parquet.write_table(arrow_table(rows, row_type), buffer)
    return bytes(buffer.getvalue().to_pybytes())


def _storable(value: object, kind: pa.DataType) -> object:
    if pa.types.is_timestamp(kind):
        moment = datetime.fromisoformat(str(value)) if value else None
        # pyarrow would take the digits and drop an offset.
        return moment.astimezone(UTC) if moment and moment.tzinfo else moment
    return encode(value).decode() if isinstance(value, str) else value
