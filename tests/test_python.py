"""``capuchinbird``, the module for Python, and its notebook."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import capuchinbird
from model.training.synth import synthesise_recording
from pipeline.records import DetectedCall, RecordingCount, column_names
from tests.test_histories import write_results
from tests.test_recorders import nights

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs/python.ipynb"


def test_tables_have_types(tmp_path: Path) -> None:
    rows = nights()
    write_results(tmp_path, rows, [])
    tables = capuchinbird.read(tmp_path)
    assert list(tables.counts.columns) == column_names(RecordingCount)
    assert list(tables.calls.columns) == column_names(DetectedCall)
    assert tables.counts.call_count.dtype == pd.Int64Dtype()
    assert tables.counts.recorded_at.dtype.kind == "M"
    assert list(tables.counts.recording) == [row.recording for row in rows]
    assert list(tables.counts.heard_s) == [row.heard_s for row in rows]
    assert (len(tables.calls), tables.run) == (0, {})


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"counts\.csv"):
        capuchinbird.read(tmp_path)


def test_flags_become_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    import pipeline.__main__

    given: list[list[str]] = []
    codes = iter([0, 3, 2])

    def main(arguments: list[str]) -> int:
        given.append(arguments)
        return next(codes)

    monkeypatch.setattr(pipeline.__main__, "main", main)
    capuchinbird.run("count", Path("a"), output=Path("b"), threshold="+1", quiet=True, format=None)
    assert given == [["count", "a", "--output=b", "--threshold=+1", "--quiet"]]
    assert capuchinbird.run("count", "a", output="b", format=["raven", "audacity"], json=False) == 3
    assert given[1] == ["count", "a", "--output=b", "--format=raven", "--format=audacity"]
    with pytest.raises(capuchinbird.CommandError, match="exit code 2") as error:
        capuchinbird.run("count", "nowhere", output="b")
    assert error.value.exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
def test_calls_in_an_array(channels: int) -> None:
    audio = synthesise_recording(30.0, (8.0, 17.0), 44_100, channels, seed=1)
    calls = capuchinbird.calls_in(audio, 44_100)
    assert [call.start_s for call in calls] == pytest.approx([8, 17], abs=0.6)
    assert capuchinbird.calls_in(audio, 44_100, threshold=0.9999) == ()
    assert capuchinbird.calls_in(np.zeros(16_000), 16_000) == ()


@pytest.fixture
def in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_notebook_runs(in_a_new_folder: Path) -> None:
    names: dict[str, Any] = {}
    values = []
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            values.append(_run("".join(cell["source"]), names))
    demo, counts, words, stricter, calls, picture = values
    assert demo in (0, 3)
    truth = pd.read_csv(in_a_new_folder / "demo/recordings/truth.csv").call_count.sum()
    assert counts.call_count.sum() == truth
    assert words.startswith(f"{truth:.0f} calls, ")
    assert 0 < stricter <= truth
    assert len(calls) == 2
    assert len(picture.axes) == 3


def _run(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell. Returns the value of its last line, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
