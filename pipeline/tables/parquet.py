"""Rows as Parquet: columns with types, their meaning and the schema's version in the metadata."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet

from pipeline.records import SCHEMA_VERSION, Row
from pipeline.tables.cell_text import encode
from pipeline.tables.schema import columns_of


def parquet_schema(row_type: type[Row]) -> pa.Schema:
    """The columns of a table as Parquet types."""
    columns = [
        pa.field(
            column.name,
            pa.type_for_alias(column.parquet_type),
            nullable=column.nullable,
            metadata={"description": column.doc},
        )
        for column in columns_of(row_type)
    ]
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})


def parquet_bytes(rows: Sequence[Row], row_type: type[Row]) -> bytes:
    """A Parquet file with these rows, in their order."""
    schema = parquet_schema(row_type)
    columns = [[_storable(getattr(row, name)) for row in rows] for name in schema.names]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    buffer = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer)
    return bytes(buffer.getvalue().to_pybytes())


def _storable(value: object) -> object:
    return encode(value).decode() if isinstance(value, str) else value
