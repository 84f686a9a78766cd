"""One recording drawn as the model hears it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from model.audio.decoders import AudioError
from pipeline.__main__ import main
from pipeline.commands import show
from tests import fakes
from tests.fixed_run import write_recording


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("show")
    write_recording(found / "a.wav", 20, {3: 0.9, 12: 0.6})
    write_recording(found / "clip.wav", 1.2, {})
    fakes.write_model(found / "model")
    return found


def test_what_is_heard_is_what_the_job_counts(folder: Path) -> None:
    heard = show.score_stretch(str(folder / "a.wav"), fakes.PeakScorer(), fakes.contract(), 0, 600)
    assert [(c.start_s, c.end_s) for c in heard.calls] == [(4.0, 7.0), (13.0, 16.0)]
    assert len(heard.scores) == 18


def test_a_stretch_is_placed_in_the_recording(folder: Path) -> None:
    heard = show.score_stretch(str(folder / "a.wav"), fakes.PeakScorer(), fakes.contract(), 9, 10)
    assert [(c.start_s, c.end_s) for c in heard.calls] == [(4.0, 7.0)]
    figure = show.draw(heard, "a.wav")
    assert figure.axes[2].get_xlim() == (9, 19)
    assert figure.get_suptitle() == "a.wav (9 to 19.0 s of 20.0 s): 1 call"
    labels = [(a.get_xlabel(), a.get_ylabel()) for a in figure.axes]
    assert labels[1] == ("", "frequency (kHz)")
    assert labels[2][0] == "time in the recording (s)"
    with pytest.raises(AudioError, match="ends before 30 s"):
        show.score_stretch(str(folder / "a.wav"), fakes.PeakScorer(), fakes.contract(), 30, 10)


@pytest.mark.parametrize(("name", "calls"), [("a.wav", 2), ("clip.wav", 0)])
def test_the_command_writes_a_picture(
    folder: Path,
    tmp_path: Path,
    name: str,
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(show, "ModelLoader", lambda directory: fakes.CountedLoader())
    picture = tmp_path / "new folder" / "a.png"
    arguments = [str(folder / name), "--model", str(folder / "model"), "--output", str(picture)]
    assert main(["show", *arguments]) == 0
    *lines, written = capsys.readouterr().out.splitlines()
    assert written == str(picture)
    assert len(lines) == calls
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 200


@pytest.mark.parametrize("name", ["absent.wav", "model/contract.json"])
def test_what_cannot_be_drawn_is_one_clear_line(
    folder: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(show, "ModelLoader", lambda directory: fakes.CountedLoader())
    arguments = [str(folder / name), "--model", str(folder / "model")]
    assert main(["show", *arguments, "--output", str(tmp_path / "a.png")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert not (tmp_path / "a.png").exists()
