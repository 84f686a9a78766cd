"""One small run of the job over recordings made on the spot, for whoever tests what it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import options
from pipeline.beam_options import beam_options
from pipeline.launch import run_job
from pipeline.preflight import Checked
from pipeline.run import Run
from tests import fakes

RUN_ID = "20240611T050000Z-fixed0"
RATE_HZ = 16_000


def write_recording(path: Path, duration_s: float, calls: dict[float, float]) -> None:
    """Faint noise with 440 Hz tones of 3 s: start in seconds → amplitude."""
    rng = np.random.default_rng(len(calls))
    samples = rng.uniform(-0.01, 0.01, round(duration_s * RATE_HZ))
    tone = np.sin(2 * np.pi * 440 * np.arange(3 * RATE_HZ) / RATE_HZ)
    for start_s, amplitude in calls.items():
        first = round(start_s * RATE_HZ)
        samples[first : first + len(tone)] += amplitude * tone[: len(samples) - first]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.clip(-1, 1), RATE_HZ, format="WAV")


def make_recordings(folder: Path) -> None:
    """Two calls, no call, one call at the end, a file of text."""
    write_recording(folder / "night1/REC_01.wav", 20, {3: 0.9, 12: 0.6})
    write_recording(folder / "night1/REC_02.wav", 10, {})
    write_recording(folder / "night2/REC_01.wav", 12.5, {9: 0.8})
    (folder / "night2/damaged.wav").write_text("not audio")


def run_in(folder: Path, arguments: list[str], run_id: str = RUN_ID) -> Path:
    """Runs with relative names, so that what is written names no folder of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = options.parse([*arguments, "--output", "out", "--direct_num_workers=1"])
        run = Run.of(config, fakes.contract(), run_id=run_id)
        run_job(run, fakes.peak_handler(), Checked(beam_options(config.beam_args), 4))
    return folder / "out"
