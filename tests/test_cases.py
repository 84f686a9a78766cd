"""Cards and clocks that people met, counted by the model that ships; see the fixture ``cases``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import options
from pipeline.rerun import done_already
from pipeline.run import run_of
from tests import nights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_loop")]

Rows = list[dict[str, str]]


def counted(output: Path, *arguments: object) -> tuple[Rows, Rows]:
    """Rows of counts.csv and calls.csv."""
    assert nights.launch_here("--output", output, *arguments) == 0
    return nights.read(output / "counts.csv"), nights.read(output / "calls.csv")


def test_a_recording_across_a_change_of_clocks(cases: Path, tmp_path: Path) -> None:
    folder = cases / "dst"
    _, calls = counted(tmp_path, "--input", folder / "NY", "--deployments", folder / "dep.csv")
    local = [call["called_local"][:19] for call in calls]
    assert [clock[:16] for clock in local] == ["2024-03-10T01:59"] * 2 + ["2024-03-10T03:00"]
    assert calls[2]["called_at"].startswith(f"{local[2]}.")
    assert calls[2]["called_at"].endswith("-04:00")
    hours = nights.read(tmp_path / "activity.csv")
    assert [(row["hour"], row["calls"]) for row in hours] == [("1", "2"), ("3", "1")]
    assert [float(row["recorded_h"]) * 3600 for row in hours] == pytest.approx([20, 10], abs=0.4)


def test_a_card_as_it_came_out_of_a_recorder(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [row], calls = counted(tmp_path, "--input", cases / "card")
    assert (row["recording"][-24:], row["outcome"]) == ("DATA/20240601_050000.WAV", "ok")
    assert len(calls) == 3
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["other_files"] == {
        "$RECYCLE.BIN/": 1, ".icloud": 1, ".part": 1, ".w4v": 1, ".wac": 1, ".wma": 1,
        "without an ending": 1,
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "passed over   7 other files: 1 in $RECYCLE.BIN, 1 .icloud, 1 .part, 1 .w4v" in printed
    assert ".w4v, .wac: Wildlife Acoustics' own formats" in printed
    flags = ["--input", str(cases / "card"), "--output", str(tmp_path), "--no_report"]
    assert done_already(run_of(options.parse(flags))) == 0
    again = json.loads((tmp_path / "run.json").read_text())
    assert again["other_files"] == report["other_files"]


def test_a_card_that_was_copied(cases: Path, tmp_path: Path) -> None:
    folder = cases / "copies"
    rows, calls = counted(tmp_path, "--input", folder)
    of = {row["recording"][len(str(folder)) + 1 :]: row["outcome"] for row in rows}
    assert of == {
        "card1 copy/20240601_050000.WAV": "copy",
        "card1/20240601_050000 (1).WAV": "copy",
        "card1/20240601_050000.WAV": "ok",
    }
    assert len(calls) == 3
    _, calls = counted(tmp_path, "--input", folder, "--keep_copies")
    assert len(calls) == 9
