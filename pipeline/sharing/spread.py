"""How many processes and workers a run has on this machine.

Beam's local runner does its bookkeeping under Python's lock, once for each worker in each of some
thirty steps: a worker more costs time in every run, however short, and pays only where there is
enough to decode. Beyond eight workers more processes pay instead, each with a share of the
recordings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipeline.options import UsageError
from pipeline.run import Run
from pipeline.runtime import LOCAL_RUNNERS, MOST_WORKERS, usable_cores
from pipeline.storage import files

FEWEST_WORKERS = 4
"""Of each of several processes: a process takes the memory of seven workers."""

# CPU seconds, measured on two busy hardware threads; see docs/cores.md.
WORKER_S = 0.8
"""What a worker adds to a run, one after the other."""
PROCESS_S = 0.2
"""What a process more adds to a run of several: its start beside the others, and the join."""
SERIAL_S_PER_RECORDING = 0.005
"""Of a recording, what a process does one after the other."""
S_PER_RECORDING = 0.025
S_PER_MB = {".wav": 0.011, ".flac": 0.03}
"""By what they are compressed to; others take ``S_PER_OTHER_MB``."""
S_PER_OTHER_MB = 0.15

PROCESS_MB = 950
"""With Beam, TensorFlow and the model."""
WORKER_MB = 130
"""A decoder's process, and the audio that is on its way from it to the network."""


@dataclass(frozen=True)
class Spread:
    """Processes and workers of a run.

    Attributes:
        workers: of each process.
    """

    processes: int
    workers: int

    @property
    def memory_gb(self) -> float:
        """What they hold in memory at most, about."""
        return self.processes * (PROCESS_MB + self.workers * WORKER_MB) / 1000

    def seconds(self, work_s: float, recordings: float = 0) -> float:
        """About how long work takes, beyond the start of a run.

        Args:
            work_s: CPU seconds of one core.
            recordings: how many that are.
        """
        serial_s = SERIAL_S_PER_RECORDING * recordings / self.processes
        more_s = PROCESS_S * self.processes if self.processes > 1 else 0.0
        return (
            work_s / (self.processes * self.workers) + WORKER_S * self.workers + serial_s + more_s
        )

    def __str__(self) -> str:
        workers = f"{self.workers} worker{'' if self.workers == 1 else 's'}"
        return workers if self.processes == 1 else f"{self.processes} processes of {workers}"


def best_spread(
    cores: int, work_s: float, recordings: int = 0, *, processes: int = 0, workers: int = 0
) -> Spread:
    """The spread that ends first, of those that the cores allow.

    Args:
        cores: that may be used.
        work_s: CPU seconds of one core; infinite where nothing is known.
        recordings: how many that are.
        processes, workers: those that were asked for; 0 leaves the choice.
    """
    work_s = min(work_s, 1e9)

    def choices() -> Iterable[Spread]:
        most = processes or (max(1, cores // FEWEST_WORKERS) if cores > MOST_WORKERS else 1)
        for some in range(processes or 1, most + 1):
            each = workers or min(MOST_WORKERS, max(1, cores // some))
            for n in range(workers or 1, each + 1):
                yield Spread(some, n)

    return min(choices(), key=lambda one: (one.seconds(work_s, recordings), one.memory_gb))


def work_s_of(sample: Sequence[str], recordings: int) -> float:
    """About how many CPU seconds recordings take; infinite where they lie in a bucket.

    Args:
        sample: names of some, whose sizes stand for all.
        recordings: how many there are.
    """
    if not sample or not all(map(files.is_local, sample)):
        return math.inf
    total_s = 0.0
    for name in sample:
        size = 0
        with suppress(OSError, ValueError):
            size = os.stat(name).st_size
        kind = PurePath(name).suffix.lower()
        total_s += S_PER_RECORDING + size / 1e6 * S_PER_MB.get(kind, S_PER_OTHER_MB)
    return total_s * recordings / len(sample)


def spread_of(
    run: Run,
    options: PipelineOptions,
    n_inputs: int | None,
    *,
    is_divisible: bool = True,
    work_s: float | None = None,
) -> Spread:
    """How many processes and workers a run has on this machine.

    Args:
        run: what was asked, and checked.
        options: Beam's.
        n_inputs: how many recordings there are, if known.
        is_divisible: whether other processes can count shares of it.
        work_s: CPU seconds of all that is to do; by the sizes of some recordings unless given.

    Raises:
        UsageError: several processes are asked for, and it cannot be divided among them.
    """
    config = run.config
    is_here = options.view_as(StandardOptions).runner in LOCAL_RUNNERS
    is_whole = is_here and is_divisible and not (config.share or config.bigquery)
    if config.processes > 1 and not is_whole:
        raise UsageError(
            "--processes: goes neither with --share (cut into more shares), nor with --bigquery, "
            "nor with a service, which shares the recordings out itself"
        )
    if not is_here or any(word.startswith("--direct_") for word in config.beam_args):
        return Spread(config.processes or 1, options.view_as(DirectOptions).direct_num_workers)
    n, of = n_inputs or 0, config.share.of if config.share else 1
    if work_s is None:
        work_s = work_s_of(run.recordings.sample, n) / of
    processes = config.processes if is_whole else 1
    return best_spread(usable_cores(), work_s, n // of, processes=processes)
