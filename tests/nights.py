"""Nights of recordings, and a job in a process of its own: what the tests of the ledger share."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import soundfile

from pipeline import launch, options
from pipeline.score import SegmentHandler
from tests.conftest import noise_with_bursts
from tests.fakes import CountedLoader

ROOT = Path(__file__).resolve().parents[1]
RUN_COLUMNS = ("run_id",)


def write_recording(path: Path, bursts: int, seconds: float = 12, seed: int = 0) -> None:
    """A recording with so many calls."""
    path.parent.mkdir(parents=True, exist_ok=True)
    starts = [2.0 + 5 * k for k in range(bursts)]
    soundfile.write(path, noise_with_bursts(seconds, 16_000, 1, starts, seed), 16_000)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def tables(output: Path) -> dict[str, list[dict[str, str]]]:
    """All tables without the column that names the run."""
    return {
        name: [
            {k: v for k, v in row.items() if k not in RUN_COLUMNS} for row in read(output / name)
        ]
        for name in ("counts.csv", "calls.csv", "failures.csv")
    }


def bytes_of(output: Path) -> dict[str, bytes]:
    return {name: (output / name).read_bytes() for name in ("counts.csv", "calls.csv")}


def launch_here(*arguments: Any) -> int:
    """The whole job in this process, with the stand-in for the network."""
    return launch.launch(options.parse([str(argument) for argument in arguments]))


def start(*arguments: Any, **environment: str) -> subprocess.Popen[bytes]:
    """The whole job in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.nights", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def use_the_stand_in() -> None:
    launch.ModelLoader = lambda directory: CountedLoader()  # type: ignore[assignment, misc]


if __name__ == "__main__":
    use_the_stand_in()
    assert SegmentHandler
    sys.exit(launch_here(*sys.argv[1:]))
