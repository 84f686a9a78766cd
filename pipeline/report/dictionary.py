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
    RecorderAtSite,
    RecordingCount,
    SiteVisit,
    VerifiedCount,
)
from pipeline.report.html import fill_in
from pipeline.tables.csv_text import TUTORIAL_COLUMNS, csv_line, tutorial_cells
from pipeline.tables.schema import Column, TableRow, cells, columns_of

_EXAMPLE: dict[str, Any] = {
    "recording": "night1/S4A01_20240611_053000.wav",
    "outcome": "ok",
    "call_count": 2,
    "expected_calls": 2.01,
    "expected_low": 2,
    "expected_high": 2,
    "positive_windows": 7,
    "windows": 119,
    "max_score": 0.98412,
    "duration_s": 60.0,
    "heard_s": 60.0,
    "sample_rate_hz": 22_050,
    "channels": 1,
    "encoding": "WAV PCM_16",
    "counting": "calls",
    "threshold": 0.5,
    "hop_s": 0.5,
    "model_version": "onset-1",
    "run_id": "20240612T081500Z-3f9a1c",
    "start_s": 12.5,
    "end_s": 16.25,
    "score": 0.98412,
    "label": "Perissocephalus tricolor",
    "site": "Ridge",
    "latitude": 4.087412,
    "longitude": -52.680221,
    "recorded_at": "2024-06-11T05:30:00-03:00",
    "recorded_local": "2024-06-11T05:30:00",
    "time_zone": "America/Cayenne",
    "time_source": "file_name",
    "called_at": "2024-06-11T05:30:12.500-03:00",
    "called_local": "2024-06-11T05:30:12.500",
    "date": "2024-06-11",
    "hour": 5,
    "recorded_h": 0.5,
    "scope": "site",
    "counted_calls": 2,
    "labelled": 120,
    "unsure": 3,
    "precision": 0.97,
    "precision_low": 0.93,
    "precision_high": 1.0,
    "recall": 0.85,
    "recall_low": 0.6,
    "recall_high": 0.95,
    "verified_calls": 2.3,
    "verified_low": 2.0,
    "verified_high": 4.0,
    "calls_per_h": 4.6,
    "calls_per_h_low": 4.0,
    "calls_per_h_high": 8.0,
    "wanted_precision": 0.95,
    "threshold_wanted": 0.41,
    "recorder": "243B1F026488F56E",
    "gain": "medium",
    "battery_v": 4.2,
    "temperature_c": 24.5,
    "recordings": 12,
    "first_local": "2024-06-01T05:00:00",
    "last_local": "2024-06-12T06:00:00",
    "battery_first_v": 4.9,
    "battery_last_v": 4.2,
    "battery_lowest_v": 4.2,
    "temperature_lowest_c": 21.5,
    "temperature_highest_c": 31.0,
    "time_sources": "audiomoth_header",
    "visit": "2024-06-10",
    "starts_local": "2024-06-10T12:00:00",
    "ends_local": "2024-06-11T12:00:00",
    "valid_h": 0.5,
    "detected": 1,
    "verified": 1,
    "calls": 2,
    "schema_version": SCHEMA_VERSION,
}
"""Values of the example rows; a column that is not here is shown empty."""


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
