"""Examples through TFRecords and tfx-bsl are the examples themselves."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.training import dataset
from model.training.clips import DataError
from model.training.sounds import made_up_call
from pipeline.__main__ import main

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    call = made_up_call(rng)
    audio = rng.normal(0, 0.01, 70 * RATE)
    audio[: len(call.audio)] += 0.1 * call.audio
    soundfile.write(folder / "a.flac", np.clip(audio, -1, 1), RATE)
    soundfile.write(folder / "b.wav", 0.1 * np.ones(5 * RATE), RATE)
    start_s, end_s = call.call_start / RATE, call.call_end / RATE
    table = f"recording,start_s,end_s,take\na.flac,{start_s},{end_s},A\n"
    (folder / "annotations.csv").write_text(table)
    return folder


@pytest.mark.slow
def test_records_hold_what_memory_holds(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["test"])
    assert main(["examples", str(folder), "--output", str(tmp_path / "forest")]) == 0
    files = sorted(tmp_path.glob("*.tfrecord.gz"))
    assert files
    read = dataset.read_material(files)
    direct = dataset.read_material([folder])
    assert len(read.examples) == len(direct.examples) == 4
    ours = sorted(direct.examples, key=lambda e: (e.source, e.offset, e.kind))
    for record, example in zip(read.examples, ours, strict=True):
        np.testing.assert_allclose(record.audio, example.audio, atol=1 / 32767)
        for name in ("kind", "source", "offset", "group", "take", "call_start", "cue_start"):
            assert getattr(record, name) == getattr(example, name)
    calls = [s for s in read.scenes if s.annotations]
    assert [a.take for s in calls for a in s.annotations] == ["A"]
    assert read.sha256 != direct.sha256


def test_wrong_sources_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no records")
    with pytest.raises(DataError, match="neither a folder nor a file"):
        dataset.read_material([other])
    with pytest.raises(DataError, match="either folders or TFRecord files"):
        dataset.read_material([folder, other])
    assert main(["examples", str(tmp_path / "nowhere"), "--output", str(tmp_path / "x")]) == 2
