"""A run of the real job whose decoders and network sleep: what `benchmarks.cores` measures.

``python -m benchmarks.cores_job FLAGS`` takes the flags of ``capuchinbird count``. Recordings are
files without audio, as large as the real ones. A stand-in decodes silence and sleeps for the CPU
seconds that decoding was measured to take, another scores and sleeps for those of the network.
Sleep holds no lock, and neither do those. All else is what users run.
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.scale_job import Load, MadeScores, Silence
from model.audio.recording import Segment
from model.windows import SAMPLE_RATE_HZ, Samples

CORES_VARIABLE = "CORES_SIMULATED"

# CPU seconds of a recorded hour, docs/benchmarks.md.
DECODE_S_PER_HOUR = {".wav": 1.5, ".mp3": 7.5}
NETWORK_S_PER_HOUR = 1.2


class SlowSilence(Silence):
    """Silence that takes as long to decode as sound."""

    def __init__(self, source: str | IO[bytes], name: str, *more: object) -> None:
        super().__init__(source, name, *more)
        self._s_per_sample = DECODE_S_PER_HOUR[Path(name).suffix] / 3600 / SAMPLE_RATE_HZ

    def __enter__(self) -> SlowSilence:
        return self

    def read(self, start: int, n_samples: int, measured: range = range(0)) -> Segment:
        """A stretch of it, after a while."""
        time.sleep(n_samples * self._s_per_sample)
        return super().read(start, n_samples, measured)


class SlowScores(MadeScores):
    """Scores that take as long as the network's."""

    def score(self, inputs: Samples) -> Samples:
        """Scores float32 ``[n, k]``, after a while."""
        own_samples = len(inputs) * (inputs.shape[1] - 2 * self._context)
        time.sleep(max(0, own_samples) / SAMPLE_RATE_HZ * NETWORK_S_PER_HOUR / 3600)
        # Without a look at the audio: what that takes is in the time that was slept.
        scores: Samples = np.full((len(inputs), *self._shape), 0.1, np.float32)
        return scores


class SlowLoad(Load):
    """Takes the place of ``ModelLoader``."""

    def __call__(self) -> MadeScores:
        """A stand-in, by the contract of the model."""
        return SlowScores(super().__call__().contract)


def checksum_by_name(name: str) -> str:
    """Takes the place of a checksum of the content, which is part of the measured decoding."""
    return str(zlib.crc32(name.encode()))


def main(argv: Sequence[str]) -> int:
    """``capuchinbird count`` with stand-ins, on as many cores as are simulated."""
    from pipeline import __main__, launch
    from pipeline.inference import decode, transforms
    from pipeline.sharing import processes, spread

    for module in (decode, transforms):
        vars(module)["IsolatedRecording"] = SlowSilence
    vars(decode)["content_checksum"] = checksum_by_name
    vars(launch).update(ModelLoader=SlowLoad, start_ahead=lambda: None)
    vars(spread)["usable_cores"] = lambda: int(os.environ[CORES_VARIABLE])
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.cores_job"]
    vars(processes)["command_of"] = lambda arguments: [*command, *arguments]
    return __main__.main(["count", *argv])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
