"""What a short recording costs: CPU time of each of many one-second WAVs.

Counts few and then many of them in processes of their own, decoders included; what both share, the
start of the program, is taken off.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.harness import RELEASED, parser, write_json
from benchmarks.run import run_pipeline
from model.windows import SAMPLE_RATE_HZ

FEW = 20


def write_short(folder: Path, n: int, seconds: float) -> None:
    """``n`` recordings of noise, each another."""
    folder.mkdir()
    dice = np.random.default_rng(7)
    for i in range(n):
        noise = dice.normal(0, 0.02, round(seconds * SAMPLE_RATE_HZ)).astype(np.float32)
        soundfile.write(folder / f"{i:05d}.wav", noise, SAMPLE_RATE_HZ, "PCM_16")


def main() -> None:
    """Measures, prints, writes the figures."""
    flags = parser(__doc__)
    flags.add_argument("--model", default=str(RELEASED), metavar="DIR")
    flags.add_argument("--recordings", type=int, default=10_000)
    flags.add_argument("--seconds", type=float, default=1.0, help="length of a recording")
    options = flags.parse_args()
    used = {}
    with tempfile.TemporaryDirectory() as directory:
        for n in (FEW, options.recordings):
            folder = Path(directory, str(n))
            write_short(folder, n, options.seconds)
            used[n] = run_pipeline(options.model, [str(folder)]).usage
    few, many = used[FEW], used[options.recordings]
    each_ms = 1000 * (many.cpu_s - few.cpu_s) / (options.recordings - FEW)
    print(
        f"{options.recordings:,} recordings of {options.seconds:g} s: {many.wall_s:.0f} s, "
        f"{many.cpu_s:.0f} CPU s ({few.cpu_s:.0f} of {FEW}): {each_ms:.1f} CPU ms each"
    )
    write_json(options.json, {n: {"wall_s": u.wall_s, "cpu_s": u.cpu_s} for n, u in used.items()})


if __name__ == "__main__":
    main()
