"""Does the memory of a run grow with the length of a recording?

Counts a 10-minute and a 6-hour WAV (48 kHz stereo, 16 bits: 4.1 GB) in processes of their own and
prints the peak memory of each.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.harness import RELEASED, parser, write_json
from benchmarks.run import run_pipeline
from model.training.synth import synthesise_recording

SAMPLE_RATE_HZ = 48_000
CHANNELS = 2
LOOP_S = 60
SHORT_MINUTES = 10
SPARE_BYTES = 1_000_000_000


def write_looped(path: Path, minutes: int) -> None:
    """One minute of forest with two calls, over and over."""
    loop = synthesise_recording(LOOP_S, (8.0, 33.0), SAMPLE_RATE_HZ, CHANNELS, seed=3)
    minute = np.round(loop * 32767).astype(np.int16)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, CHANNELS, "PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)


def main() -> None:
    """Measures, prints, writes the figures."""
    flags = parser(__doc__)
    flags.add_argument("--model", default=str(RELEASED), metavar="DIR")
    flags.add_argument("--minutes", type=int, default=360, help="the long recording's length")
    flags.add_argument("--folder", help="where to put the recordings while it runs")
    options = flags.parse_args()

    figures = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as directory:
        needed = options.minutes * 60 * SAMPLE_RATE_HZ * CHANNELS * 2 + SPARE_BYTES
        free = shutil.disk_usage(directory).free
        if free < needed:
            flags.error(f"{directory}: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
        for minutes in (SHORT_MINUTES, options.minutes):
            path = Path(directory, f"{minutes}_minutes.wav")
            write_looped(path, minutes)
            run = run_pipeline(options.model, [str(path)])
            path.unlink()
            figures[minutes] = {
                "calls": run.calls,
                "peak_rss_bytes": run.usage.peak_rss_bytes,
                "wall_s": run.usage.wall_s,
                "cpu_s": run.usage.cpu_s,
            }
            print(
                f"{minutes} min: peak {run.usage.peak_rss_bytes / 1e6:.0f} MB, "
                f"{run.usage.wall_s:.1f} s, {run.calls} calls",
                flush=True,
            )
    ratio = figures[options.minutes]["peak_rss_bytes"] / figures[SHORT_MINUTES]["peak_rss_bytes"]
    print(f"peak memory, {options.minutes} against {SHORT_MINUTES} min: {ratio:.2f} ×")
    write_json(options.json, figures)


if __name__ == "__main__":
    main()
