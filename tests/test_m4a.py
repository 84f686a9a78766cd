"""A phone's recordings where PyAV is not installed, and once it is."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.audio import isolated
from pipeline import launch
from pipeline.__main__ import main
from tests import fakes, nights
from tests.test_audio import m4a  # noqa: F401  (a fixture)

pytestmark = pytest.mark.slow


@pytest.fixture
def without_av(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """As long as nothing is undone, no process finds PyAV."""
    (tmp_path / "hidden" / "av").mkdir(parents=True)
    (tmp_path / "hidden" / "av" / "__init__.py").write_text("raise ImportError('not installed')\n")
    isolated._stop_all()  # those that found it
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path / "hidden")
        for name in [name for name in sys.modules if name == "model.audio.decoder_av"]:
            patch.delitem(sys.modules, name)
        for name in [name for name in sys.modules if name.partition(".")[0] == "av"]:
            patch.delitem(sys.modules, name)
        yield patch
    isolated._stop_all()


def test_what_failed_for_want_of_a_package_is_counted_once_it_is_there(
    m4a: Path,  # noqa: F811
    without_av: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model = str(fakes.write_model(tmp_path / "model"))
    output = tmp_path / "out"
    arguments = ["--input", str(m4a), "--model", model, "--output", str(output), "--no_report"]

    assert main(arguments) == 3
    printed = capsys.readouterr().out
    command = printed.partition("AAC needs one more package; run: ")[2].splitlines()[0]
    assert shlex.split(command) == [sys.executable, "-m", "pip", "install", "av"]
    help_text = subprocess.run(
        [*shlex.split(command)[:4], "--help"], capture_output=True, check=True
    ).stdout
    assert b"pip install" in help_text  # the command can be run as it stands

    without_av.undo()  # as if it had been run
    isolated._stop_all()
    assert main(arguments) == 0
    assert "1 recording, 2 calls (1 with calls)" in capsys.readouterr().out
    assert [row["call_count"] for row in nights.read(output / "counts.csv")] == ["2"]
    assert main(arguments) == 0
    assert "nothing new: 1 of 1 recordings were done before" in capsys.readouterr().out
