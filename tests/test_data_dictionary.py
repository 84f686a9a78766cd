"""docs/outputs.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from pipeline.exports.tool_formats import TOOL_FORMATS
from pipeline.options import FORMATS
from pipeline.records import DetectedCall, Outcome, RecordingCount, column_names
from pipeline.report.dictionary import document

DOCUMENT = Path(__file__).parent.parent / "docs" / "outputs.md"


def test_the_document_is_the_one_that_the_code_makes() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "./run_local.sh columns > docs/outputs.md"


def test_every_column_format_and_outcome_is_explained() -> None:
    text = document()
    names = [*column_names(RecordingCount), *column_names(DetectedCall), *Outcome, *FORMATS]
    names += [column.name for tool in TOOL_FORMATS.values() for column in tool.columns]
    assert [name for name in names if f"`{name}`" not in text] == []
