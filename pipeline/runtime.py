"""Makes Beam, argparse and glibc do otherwise than they would, and runs a job.

Each entry names the version that it is for and what goes wrong without it; look here first when a
library moves. What is done to a first import of TensorFlow is in ``model.quiet``: training and the
decoders' processes need it, too.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
from apache_beam.runners.worker import sdk_worker

_View = TypeVar("_View", bound=PipelineOptions)

LOCAL_RUNNERS = (None, "DirectRunner", "FnApiRunner")

JOB_SERVER_TIMEOUT_S = 365 * 86_400
"""Beam 2.77 takes the longest wait for an answer of a job server for the length of a job, too: with
its default of 300 s a job that goes on well fails with DEADLINE_EXCEEDED (apache/beam#35867)."""

WORKERS_LOG = "apache_beam.runners.portability.local_job_service"
ERRORS_LOGS = ("apache_beam.runners.common", "apache_beam.runners.worker.sdk_worker")
"""Where Beam logs an error with its trace, twice, before it hands it to the launcher."""

_NEVER_MS = 10**9
_ARENA_MAX, _TRIM_THRESHOLD = -8, -1  # malloc.h


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """A pipeline for the runner in the options; "DirectRunner" is the one in this process.

    Beam 2.68 and later take Prism for it and download a binary (apache/beam#34612).
    """
    flush_whole_elements()
    name = options.view_as(StandardOptions).runner
    runner = FnApiRunner() if name in LOCAL_RUNNERS else name
    return beam.Pipeline(runner=runner, options=options)


def run_to_end(pipeline: beam.Pipeline, *, wait: bool = True) -> None:
    """Runs a pipeline to its end, or hands it over: here and only here.

    Raises:
        RuntimeError: it ended otherwise than done.
    """
    logging.getLogger().addFilter(is_worth_reading)
    print_no_traces()
    result = pipeline.run()
    state = result.wait_until_finish() if wait else None
    if state is not None and state != "DONE":
        raise RuntimeError(f"it ended as {state}")


def flush_whole_elements() -> None:
    """Workers of the local runner flush when a buffer is full, no longer once a second.

    In Beam 2.77 another thread does that, without a lock
    (``TimeBasedBufferingClosableOutputStream`` of apache/beam#10246), so half an element can be
    sent. The reader makes of it an error, None, or a length of 20 GB. Beam has no issue for it;
    ``tests/test_local_runner.py`` shows it.
    """
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = _NEVER_MS


def print_no_traces() -> None:
    """A worker of Beam 2.77 prints an error's trace, logs it and hands it over: that is enough."""
    vars(sdk_worker)["print"] = lambda *_, **__: None


def is_worth_reading(record: logging.LogRecord) -> bool:
    """False for what Beam 2.77 says of every worker on every machine, or says again later."""
    if record.name in ERRORS_LOGS and record.levelno >= logging.ERROR:
        return False
    text = record.getMessage()
    return "Resource module is not" not in text and "No semi_persistent_directory" not in text


def quieten_workers() -> None:
    """Keeps out of this process's log what is not worth reading. A filter holds for one logger."""
    for name in (WORKERS_LOG, *ERRORS_LOGS):
        logging.getLogger(name).addFilter(is_worth_reading)


class OptionsWithLastingViews(PipelineOptions):
    """Beam's options, which make each view once; views share their values.

    Beam 2.77 asks for the same few views a thousand times while it builds a job, and makes a
    parser of arguments for each.
    """

    def view_as(self, cls: type[_View]) -> _View:
        views: dict[type, Any] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]  # type: ignore[no-any-return]


def parse_without_translations() -> None:
    """Spares argparse (Python 3.11, 3.12) a search for translations by each parser.

    Beam makes hundreds of parsers.
    """
    os.environ["LANGUAGE"] = "C"


def give_memory_back() -> None:
    """Lets glibc return freed memory: by default each thread keeps heaps of its own.

    Beam hands all that passes from step to step through other threads. On the local runner, with
    30,000 short recordings, this is the difference between 1.5 and 1 GB; a worker of an engine
    holds a fifth less (as in dask/dask#3530). Other C libraries have no such knobs.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_ARENA_MAX, 2)
        libc.mallopt(_TRIM_THRESHOLD, 1 << 20)


MOST_WORKERS = 8
"""Of a process: Beam 2.77 goes through some thirty steps for each, one at a time, and above eight
that costs more than they do (docs/cores.md)."""
_OF_SCHEDULERS = (
    *("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"),
    *("PBS_NCPUS", "NCPUS", "NSLOTS", "LSB_DJOB_NUMPROC"),
)
"""Where Slurm, PBS, Grid Engine and LSF say how many cores a job has; the first that is set."""


def usable_cores(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """The cores that this process may use: of its affinity, its control group and its scheduler.

    Beam 2.77 takes ``multiprocessing.cpu_count()``, which is all that the machine has.

    Args:
        environ: environment variables.
        root: of the file system.
    """
    of_process = getattr(os, "sched_getaffinity", None)  # elsewhere than on Linux there is none
    cores = float(len(of_process(0)) if of_process else os.cpu_count() or 1)
    asked = next((environ[name] for name in _OF_SCHEDULERS if environ.get(name)), "")
    if asked.isdecimal():
        cores = min(cores, int(asked))
    return max(1, math.ceil(min([cores, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """Cores' worth of time of this process's control group and those above it, where limited."""
    groups: list[str] = []
    with suppress(OSError):
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    for line in groups:
        _, kinds, path = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        top = root / "sys/fs/cgroup" / kinds
        folder = top / path.strip("/")
        for group in (folder, *folder.parents):
            with suppress(OSError, ValueError):
                if kinds:
                    quota = (group / "cpu.cfs_quota_us").read_text()
                    period = (group / "cpu.cfs_period_us").read_text()
                else:
                    quota, period = (group / "cpu.max").read_text().split()
                if quota.strip() != "max" and int(quota) > 0:
                    yield int(quota) / int(period)
            if group == top:
                break
