"""Recordings counted in shares on a real Slurm, by the real command."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from model.training.synth import synthesise_recording
from tests.slurm import disturb
from tests.slurm.cluster import Slurm


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four, of four nights, with two calls each."""
    folder = tmp_path_factory.mktemp("archive") / "recordings"
    folder.mkdir()
    for k in range(4):
        audio = synthesise_recording(12.0, [2.0, 7.0], 48_000, 1, seed=k)
        soundfile.write(folder / f"SITE_2024061{k}_050000.WAV", audio, 48_000)
    return folder


@pytest.mark.slow
def test_shares_that_are_killed_cancelled_and_put_back_change_no_byte(
    slurm: Slurm, recordings: Path, tmp_path: Path
) -> None:
    disturb.count_disturbed(slurm, recordings, tmp_path / "disturbed", shares=3)
    disturb.count_once(recordings, tmp_path / "once")
    tables = disturb.tables(tmp_path / "once")
    assert disturb.tables(tmp_path / "disturbed") == tables
    assert tables["calls.csv"].count(b"\n") > 4
