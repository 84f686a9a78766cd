"""The text of docs/outputs.md: every column of every table.

The text comes from where the columns are defined, so that it cannot say something else.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pipeline.records import (
    SCHEMA_VERSION,
    DetectedCall,
    Outcome,
    RecordingCount,
    Row,
    column_names,
)
from pipeline.tables.csv_text import TUTORIAL_COLUMNS, csv_line, tutorial_cells
from pipeline.tables.schema import cells, columns_of
from pipeline.tables.tool_formats import (
    TOOL_FORMATS,
    ToolFormat,
    recording_selections,
    render,
    table_name,
)

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
    "model_version": "compact-1",
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
    "schema_version": SCHEMA_VERSION,
}
"""Values of the example rows; a column that is not here is shown empty."""


def document() -> str:
    """The text of docs/outputs.md."""
    call = replace(_example(DetectedCall), windows=5)
    count = _example(RecordingCount)
    parts = [
        "<!-- Made by `capuchinbird columns`; a test compares. Do not edit. -->\n",
        "# What a run writes\n",
        "All files lie in the folder that `--output` names. Times are seconds from the start of a "
        "recording unless a column says otherwise; scores lie between 0 and 1; they are "
        "probabilities as far as the recordings are like those the model was calibrated on. Text "
        "is UTF-8, decimals have a point. A file is written whole or not at "
        "all, and has its header even when nothing was found.\n",
        _overview(),
        "## counts.csv and failures.csv\n",
        "One row for every input, sorted by `recording`. `failures.csv` holds those rows that "
        "someone should look at: `failed` and `truncated`.\n",
        _columns(RecordingCount, count),
        "### Outcomes\n",
        _outcomes(),
        "## calls.csv\n",
        "One row for every call, sorted by `recording` and `start_s`.\n",
        _columns(DetectedCall, call),
        "## Tables for other programs (`--format`)\n",
        "`--format` may be given several times. Each recording that was counted has a table of its "
        "own, without rows if nothing called; a recording that failed has none. Its name is made "
        "of the recording's folder and name and of the first 8 digits of the SHA-256 of the "
        "recording's whole name, as two folders may hold recordings of one name. Where the program "
        "knows such a thing, there is a table of all recordings besides. `capuchinbird rescore` "
        "writes again whatever tables the output has.\n",
        *(_tool(tool, call) for tool in TOOL_FORMATS.values()),
        "### parquet\n",
        "`counts.parquet` and `calls.parquet` hold the rows of the CSV files with typed columns, "
        f"numbers in full, and `schema_version` ({SCHEMA_VERSION}) in the file's metadata. Unknown "
        "values are null. File names are the plain ones, as spreadsheets do not open Parquet.\n",
        "### tutorial\n",
        "`tutorial.csv`, as the tutorial writes it. A recording that failed has an empty count.\n",
        _block([csv_line(TUTORIAL_COLUMNS), csv_line(tutorial_cells(count))]),
        "## run.json\n",
        "What was run and what came out; written when all tables are, so that its absence means an "
        "unfinished run: `configuration`, `counting` (the rule as it was used), `contract` (the "
        "model's own account of itself), `versions`, `totals`, `throughput`.\n",
        "## report.html\n",
        "One page to look at and listen to, with everything in it; it fetches nothing. Of many "
        "calls it shows the strongest, the weakest and some drawn at random; of more than 1,000 "
        "recordings those with the most calls and others drawn at random, and says so. "
        "`--no_report` leaves it out; `capuchinbird report OUTPUT` makes it later.\n",
        "## Names that a spreadsheet would take for formulas\n",
        "A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break would be run by a "
        "spreadsheet that opens the file. In all CSV files and Raven's tables such a recording's "
        "name is written with `./` in front (`./=1+1.wav`): the same file, for every program. Any "
        "other such text gets an apostrophe in front, as does text that already begins with "
        "apostrophes before such a character; remove one apostrophe to have the text back "
        "(`pipeline.tables.cell_text.unguard_text`). Numbers stay numbers.\n",
        "Raven's and Audacity's tables know no quoting: there, a tab or line break within a name "
        "is written as the symbol ␉, ␊ or ␍.\n",
    ]
    return "\n".join(parts)


def _overview() -> str:
    lines = ["| `--format` | of each recording | of the run |", "|---|---|---|"]
    for tool in TOOL_FORMATS.values():
        own = table_name("night1/a.wav", tool)
        lines.append(f"| `{tool.name}` | `{own}` | {f'`{tool.run_file}`' * bool(tool.run_file)} |")
    lines.append("| `parquet` | | `counts.parquet`, `calls.parquet` |")
    lines.append("| `tutorial` | | `tutorial.csv` |")
    always = "| always | | `counts.csv`, `calls.csv`, `failures.csv`, `run.json`, `report.html` |"
    return "\n".join([*lines[:2], always, *lines[2:]]) + "\n"


def _columns(row_type: type[Row], example: Row) -> str:
    lines = ["| column | type | meaning | example |", "|---|---|---|---|"]
    for column, cell in zip(columns_of(row_type), cells(example), strict=True):
        kind = f"{column.parquet_type}{', may be empty' if column.nullable else ''}"
        lines.append(f"| `{column.name}` | {kind} | {column.doc} | {_code(cell)} |")
    row = [csv_line(column_names(row_type)), csv_line(cells(example))]
    return "\n".join([*lines, "", _block(row)])


def _example(row_type: type[Row]) -> Any:
    names = column_names(row_type)
    return row_type(**{name: _EXAMPLE[name] for name in names if name in _EXAMPLE})


def _outcomes() -> str:
    """The outcomes with what stands below each of them in the code."""
    (tree,) = ast.parse(inspect.getsource(Outcome)).body
    assert isinstance(tree, ast.ClassDef)
    lines = ["| outcome | meaning |", "|---|---|"]
    for statement, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
            name, meaning = ast.literal_eval(statement.value), ast.literal_eval(following.value)
            lines.append(f"| `{name}` | {' '.join(meaning.split())} |")
    assert len(lines) == 2 + len(Outcome)
    return "\n".join(lines) + "\n"


def _tool(tool: ToolFormat, call: DetectedCall) -> str:
    rows = list(render(tool, recording_selections([call])))
    example = next(recording_selections([call]))
    lines = [
        f"### {tool.name}\n",
        f"{tool.doc}\n",
        "| column | meaning | example |",
        "|---|---|---|",
    ]
    for column in tool.columns:
        lines.append(f"| `{column.name}` | {column.doc} | {_code(column.cell(example))} |")
    return "\n".join([*lines, "", _block(rows)])


def _block(lines: Iterable[str]) -> str:
    return f"```\n{''.join(lines)}```\n"


def _code(cell: str) -> str:
    return f"`{cell}`" if cell else ""
