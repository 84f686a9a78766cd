"""docs/outputs.md: every column of every table, as the code defines it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pipeline.exports.tool_formats import (
    TOOL_FORMATS,
    CountedRecording,
    Selection,
    own_lines,
    table_name,
)
from pipeline.records import (
    SCHEMA_VERSION,
    ActivityHour,
    DetectedCall,
    Outcome,
    RecordingCount,
    SiteVisit,
    VerifiedCount,
)
from pipeline.report.html import examples, fill_in
from pipeline.survey.recorders import RecorderAtSite
from pipeline.tables.csv_text import TUTORIAL_COLUMNS, csv_line, tutorial_cells
from pipeline.tables.schema import Column, TableRow, cells, columns_of

_EXAMPLE: dict[str, Any] = examples("outputs") | {"schema_version": SCHEMA_VERSION}
"""Values of the example rows."""


def document() -> str:
    """The text of docs/outputs.md: ``templates/outputs.md`` with what the code says."""
    call = replace(_example(DetectedCall), windows=5)
    return fill_in(
        "outputs.md",
        count=_example(RecordingCount),
        call=call,
        hour=_example(ActivityHour),
        verified=replace(_example(VerifiedCount), calls_by_scores=3.1),
        visit=_example(SiteVisit),
        recorder=_example(RecorderAtSite),
        selection=Selection(1, call, 0.0, _EXAMPLE["threshold"]),
        counted=CountedRecording(_example(RecordingCount), (call,)),
        described=_described,
        outcomes=dict(_outcomes()),
        tools=TOOL_FORMATS.values(),
        table_name=table_name,
        own_lines=own_lines,
        csv_line=csv_line,
        tutorial_columns=TUTORIAL_COLUMNS,
        tutorial_cells=tutorial_cells,
    )


def _example(row_type: type[TableRow]) -> Any:
    names = [column.name for column in columns_of(row_type)]
    return row_type(**{name: _EXAMPLE[name] for name in names if name in _EXAMPLE})


def _described(row: TableRow) -> list[tuple[Column, str]]:
    return list(zip(columns_of(type(row)), cells(row), strict=True))


def _outcomes() -> Iterator[tuple[str, str]]:
    """The outcomes with what stands below each of them in the code."""
    (tree,) = ast.parse(inspect.getsource(Outcome)).body
    assert isinstance(tree, ast.ClassDef)
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
            meaning = ast.literal_eval(following.value)
            yield ast.literal_eval(statement.value), " ".join(meaning.split())
