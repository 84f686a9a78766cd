"""Count the same recordings in every way, in turns, and print how fast each is.

The tutorial's loop, decoding alone, a plain loop and the Beam job each run in a process of their
own, seen from outside. Each runs twice a round: over one short recording, which is all start-up
(imports, loading the model, building the job), and over all recordings; the difference is the
steady part, which grows with the archive. The ways take turns for several rounds, so that a machine
that is busy for a while does not favour one of them; medians are compared.

Without ``--input`` the recordings are synthesised: 3 minutes each, 48 kHz stereo MP3, as the
tutorial's.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.harness import RELEASED, Usage, markdown, parser, run_child, write_json
from model.training.synth import synthesise_recording

TUTORIAL = "tutorial loop"
DECODE = "decode only"
PLAIN = "plain loop"
BEAM = "Beam job"

N_SYNTHETIC = 20
SHORT_S = 6.0


@dataclass(frozen=True)
class Run:
    """One process: what it took, and what it says it decoded and counted."""

    usage: Usage
    audio_s: float
    calls: int


Way = Callable[[Sequence[str]], Run]


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds of one way.

    Attributes:
        times_real_time: seconds of recordings a second, start-up left out.
        cpu_s_per_hour: CPU seconds for an hour of recordings, start-up left out.
        startup_s: wall time of a run over one short recording.
        whole_s: wall time of a run over all recordings, start-up included.
        spread: (slowest − fastest) / median of the steady part, over the rounds.
        peak_rss_mb: largest memory in 10⁶ bytes.
        recordings, audio_s, calls: what was gone through and counted.
    """

    times_real_time: float
    cpu_s_per_hour: float
    startup_s: float
    whole_s: float
    spread: float
    peak_rss_mb: float
    recordings: int
    audio_s: float
    calls: int


def run_script(command: Sequence[str], recordings: Sequence[str]) -> Run:
    """A script of this folder."""
    usage = run_child([*command, *recordings])
    return Run(usage, **json.loads(usage.last_line))


def run_pipeline(model: str, recordings: Sequence[str]) -> Run:
    """The Beam job, as a user calls it."""
    with tempfile.TemporaryDirectory() as output:
        job = [sys.executable, "-m", "pipeline", "--model", model, "--output", output]
        job.append("--no_report")
        usage = run_child([*job, "--input", *recordings])
        totals = json.loads(Path(output, "run.json").read_text(encoding="utf-8"))["totals"]
    return Run(usage, audio_s=totals["heard_s"], calls=totals["calls"])


def speed(short: Sequence[Run], whole: Sequence[Run], n_recordings: int) -> Speed:
    """Compares one way's runs over one short recording with its runs over all.

    Raises:
        RuntimeError: two runs over the same recordings counted differently.
    """
    counts = {run.calls for run in whole}
    if len(counts) > 1:
        raise RuntimeError(f"runs over the same recordings counted {sorted(counts)} calls")
    audio_s = whole[0].audio_s
    startup_s = statistics.median(run.usage.wall_s for run in short)
    startup_cpu_s = statistics.median(run.usage.cpu_s for run in short)
    steady_s = [run.usage.wall_s - startup_s for run in whole]
    cpu_s = statistics.median(run.usage.cpu_s for run in whole) - startup_cpu_s
    grown_s = audio_s - short[0].audio_s
    return Speed(
        times_real_time=grown_s / statistics.median(steady_s),
        cpu_s_per_hour=cpu_s / grown_s * 3600,
        startup_s=startup_s,
        whole_s=statistics.median(run.usage.wall_s for run in whole),
        spread=(max(steady_s) - min(steady_s)) / statistics.median(steady_s),
        peak_rss_mb=max(run.usage.peak_rss_bytes for run in whole) / 1e6,
        recordings=n_recordings,
        audio_s=audio_s,
        calls=counts.pop(),
    )


def table(speeds: dict[str, Speed]) -> str:
    """The speeds and their ratios, as a table in Markdown."""
    head = ["way", "recordings", "start-up s", "× real time", "recorded h a minute"]
    head += ["CPU s a recorded h", "spread", "× tutorial", "× decode only", "peak MB"]
    rows = []
    for way, s in speeds.items():
        versus = [
            f"{s.times_real_time / speeds[other].times_real_time:.2f}" if other in speeds else ""
            for other in (TUTORIAL, DECODE)
        ]
        speed = [f"{s.times_real_time:.0f}", f"{s.times_real_time / 60:.2f}"]
        costs = [f"{s.cpu_s_per_hour:.1f}", f"{s.spread:.0%}", *versus, f"{s.peak_rss_mb:.0f}"]
        rows.append([way, str(s.recordings), f"{s.startup_s:.1f}", *speed, *costs])
    wall = speeds[PLAIN].times_real_time / speeds[BEAM].times_real_time
    cpu = speeds[BEAM].cpu_s_per_hour / speeds[PLAIN].cpu_s_per_hour
    return (
        f"{markdown(head, rows)}\n\n"
        f"Beam job against plain loop: {wall:.2f} × the time, {cpu:.2f} × the CPU time"
    )


def synthesise(directory: Path) -> list[str]:
    """Recordings like the tutorial's, with a few calls each."""
    paths = []
    for seed in range(N_SYNTHETIC):
        path = directory / f"recording_{seed:02d}.mp3"
        starts_s = tuple(np.arange(seed % 5) * 31.0 + 10.0)
        soundfile.write(path, synthesise_recording(180.0, starts_s, 48_000, 2, seed), 48_000)
        paths.append(str(path))
    return paths


def files_of(patterns: Sequence[str]) -> list[str]:
    """The files that match, as absolute paths: the ways run in the project's root."""
    names = {os.path.abspath(name) for pattern in patterns for name in glob.glob(pattern)}
    if not names:
        raise SystemExit(f"benchmarks/run.sh: no file matches {' '.join(patterns)}")
    return sorted(names)


def measure(options: argparse.Namespace, directory: Path) -> dict[str, Speed]:
    """Runs every way over the recordings, in turns."""
    recordings = files_of(options.input) if options.input else synthesise(directory)
    short = str(directory / "short.mp3")
    soundfile.write(short, synthesise_recording(SHORT_S, (), 48_000, 2, seed=0), 48_000)

    here = [sys.executable, "-m"]
    ways: dict[str, Way] = {
        DECODE: partial(run_script, [*here, "benchmarks.loops"]),
        PLAIN: partial(run_script, [*here, "benchmarks.loops", "--model", options.model]),
        BEAM: partial(run_pipeline, options.model),
    }
    # The tutorial's loop is so slow that a part of the recordings is enough to measure it.
    samples = dict.fromkeys(ways, recordings)
    if options.tutorial_python:
        python = os.path.abspath(options.tutorial_python)
        ways = {TUTORIAL: partial(run_script, [python, "-m", "benchmarks.tutorial_loop"])} | ways
        samples[TUTORIAL] = recordings[: options.tutorial_recordings]

    runs: dict[str, tuple[list[Run], list[Run]]] = {way: ([], []) for way in ways}
    for number in range(options.rounds):
        for way, run in ways.items():
            print(f"round {number + 1} of {options.rounds}: {way}", file=sys.stderr, flush=True)
            runs[way][0].append(run([short]))
            runs[way][1].append(run(samples[way]))
    return {way: speed(*runs[way], len(samples[way])) for way in ways}


def main() -> None:
    """Measures, prints a table, writes the figures."""
    flags = parser(__doc__, prog="benchmarks/run.sh")
    flags.add_argument(
        "--input", nargs="+", default=[], metavar="PATTERN", help="MP3 recordings, 48 kHz stereo"
    )
    flags.add_argument("--model", default=str(RELEASED), metavar="DIR")
    flags.add_argument("--rounds", type=int, default=3, metavar="N")
    flags.add_argument(
        "--tutorial_python",
        metavar="FILE",
        help="Python of the tutorial's environment; without it the baseline is left out",
    )
    flags.add_argument(
        "--tutorial_recordings",
        type=int,
        default=8,
        metavar="N",
        help="how many of the recordings the tutorial's loop goes through (default: 8)",
    )
    options = flags.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        speeds = measure(options, Path(directory))
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    print(f"{machine}, {options.rounds} rounds\n\n{table(speeds)}")
    ways = {way: asdict(s) for way, s in speeds.items()}
    write_json(options.json, {"machine": machine, "rounds": options.rounds, "ways": ways})


if __name__ == "__main__":
    main()
