"""What tests share: sounds, recordings and the project's real data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import settings

if TYPE_CHECKING:
    from pipeline.commands.demo import DemoRecording

settings.register_profile("patient", deadline=None)  # a busy machine is no bug
settings.load_profile("patient")

Recordings = tuple[Path, dict[str, int | None]]
"""A folder, and the calls in each of its recordings; None for what cannot be opened."""

Count = Callable[..., int]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def forest() -> Path:
    """The tutorial's own recordings."""
    folder = SHARED / "forest"
    if not folder.is_dir():
        pytest.skip(f"the forest recordings are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def eight_of_the_forest(forest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every fifth of them: enough to show that two ways to count are the same."""
    folder = tmp_path_factory.mktemp("forest")
    for path in sorted((forest / "recordings").iterdir())[::5]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def field() -> Path:
    """Files as recorders write them."""
    folder = SHARED / "field"
    if not folder.is_dir():
        pytest.skip(f"the recorder files are not at {folder}")
    return folder


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Counts into ``out`` with the stand-in network."""
    from pipeline import launch
    from tests import fakes, nights

    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model = fakes.write_model(tmp_path / "model")

    def run(*arguments: Any, output: Path = tmp_path / "out") -> int:
        return nights.launch_here("--model", model, "--output", output, *arguments)

    return run


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that people met; what is right of each stands beside their maker."""
    maker = SHARED.parent / "cases" / "make_cases.py"
    if not maker.is_file():
        pytest.skip(f"the cases are not made: {maker} is not there")
    folder = tmp_path_factory.mktemp("cases")
    root = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    subprocess.run([sys.executable, maker, folder], env=root, check=True)
    return folder


@pytest.fixture(scope="module")
def plain_loop() -> Iterator[None]:
    """Local jobs of a module run as a plain loop: for tests of what a job decides and writes."""
    from tests import plain_runner

    with pytest.MonkeyPatch.context() as patch:
        plain_runner.use(patch)
        yield


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[DemoRecording]]:
    """The demo's recordings, and what they hold."""
    from pipeline.commands.demo import make_demo

    directory = tmp_path_factory.mktemp("demo") / "recordings"
    return directory, make_demo(directory)


def noise_with_bursts(
    duration_s: float, rate: int, channels: int, burst_starts_s: Sequence[float], seed: int = 0
) -> npt.NDArray[np.float64]:
    """Quiet noise with bursts of 1 s that `PeakScorer` scores high, float64 [n, channels]."""
    generator = np.random.default_rng(seed)
    audio = generator.normal(0, 0.02, (round(duration_s * rate), channels))
    for start_s in burst_starts_s:
        span = slice(round(start_s * rate), round((start_s + 1) * rate))
        tone = np.sin(2 * np.pi * 600 * np.arange(len(audio[span])) / rate)
        audio[span] += 0.7 * tone[:, None]
    return np.clip(audio, -1, 1)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """A folder of recordings as people have them, and their numbers of bursts."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "night one").mkdir()
    truth: dict[str, int | None] = {}
    for name, rate, channels, duration_s, bursts in (
        ("a.wav", 48_000, 2, 31.7, (3, 12, 20)),
        ("b.flac", 44_100, 1, 65, (5, 30, 45, 60)),
        ("c.mp3", 48_000, 2, 20.3, (8,)),
        ("night one/SITE_20240611_053000.WAV", 22_050, 1, 12, (2.5,)),
        ("quiet.wav", 16_000, 1, 10, ()),
        ("short.wav", 8_000, 1, 0.4, ()),
    ):
        soundfile.write(folder / name, noise_with_bursts(duration_s, rate, channels, bursts), rate)
        truth[str(folder / name)] = len(bursts)
    (folder / "broken.flac").write_bytes(b"fLaC is what it says, no more")
    (folder / "._a.wav").write_bytes(b"left by macOS")
    (folder / "notes.txt").write_text("not a recording")
    truth[str(folder / "broken.flac")] = None
    return folder, truth
