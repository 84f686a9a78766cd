"""A network that workers load, which says which process it is in and waits when it is told to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.fakes import PeakScorer


class HeldScorer(PeakScorer):
    """Scores so many segments in each process, then waits for as long as a file is there."""

    def __init__(self, folder: str) -> None:
        self._folder, self._scored = Path(folder), 0

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        self._scored += 1
        if self._scored > 2:
            while (self._folder / "hold").exists():
                (self._folder / f"{os.getpid()}.waits").touch()
                time.sleep(0.02)
        return super().score(windows)


class HeldLoader:
    """Leaves a file named for the process that loaded the model."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __call__(self) -> HeldScorer:
        Path(self.folder, f"{os.getpid()}.loaded").touch()
        return HeldScorer(self.folder)


def processes(folder: Path, ending: str) -> set[int]:
    """Which processes have left such a file."""
    return {int(file.stem) for file in folder.glob(f"*.{ending}")}
