"""What is refused before anything starts: in words that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from tests import fakes, nights


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    nights.write_recording(tmp_path / "archive" / "a.wav", bursts=1)
    return tmp_path / "archive"


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refused command prints."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_a_folder_without_a_flag(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused([str(archive)], capsys)
    assert f"capuchinbird count --input {archive} --output results" in line


def test_a_misspelt_command_and_a_misspelt_flag(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "did you mean rescore?" in refused(["rescor"], capsys)
    arguments = ["--input", str(archive), "--output", str(tmp_path / "out"), "--tresold", "0.5"]
    assert "did you mean --threshold?" in refused(arguments, capsys)


def test_a_decimal_comma(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(["--input", str(archive), "--output", "x", "--threshold", "0,5"], capsys)
    assert "0,5 is no number; write 0.5" in line


@pytest.mark.parametrize("name", ["counts.csv", "calls.csv"])
def test_tables_of_somebody_else_are_not_overwritten(
    archive: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fakes.write_model(tmp_path / "model")
    output = tmp_path / "mine"
    output.mkdir()
    (output / name).write_text("species,n\nmacaw,3\n")
    line = refused(
        ["--input", str(archive), "--output", str(output), "--model", str(model)], capsys
    )
    assert f"{name} there is not from this program" in line
    assert [path.name for path in output.iterdir()] == [name]


def test_a_bucket_without_credentials(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    line = refused(["--input", "gs://bucket/a.wav", "--output", str(tmp_path / "out")], capsys)
    assert "no Google credentials" in line
    assert "gcloud auth application-default login" in line
