"""Beam's own options, checked: Beam itself passes over a misspelt one."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import shutil
import socket
from argparse import ArgumentParser
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner

from pipeline.options import COUNT, UsageError
from pipeline.runtime import (
    JOB_SERVER_TIMEOUT_S,
    LOCAL_RUNNERS,
    MOST_WORKERS,
    OptionsWithLastingViews,
    parse_without_translations,
    usable_cores,
)

PORTABLE_RUNNERS = ("FlinkRunner", "PortableRunner")
"""Hand the job to a job server, which knows the engine."""

DATAFLOW_THREADS = 2
"""Threads of each worker process. Dataflow starts a process a core, each with a model of its own;
one thread of it decodes and scores while the other waits for the bucket. Its default of 12 would
hold the audio of 12 segments in each process, and no core would be free for 10 of them."""


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options from what is left of the command line.

    On this machine the cores that this process may use work as threads of it, at most eight, and
    share one model.

    Raises:
        UsageError: an option that neither this pipeline nor Beam knows.
    """
    parse_without_translations()
    _check_names(list(arguments))
    defaults = ["--direct_running_mode=multi_threading", "--direct_num_workers=0"]
    defaults += [f"--job_server_timeout={JOB_SERVER_TIMEOUT_S}"]
    result = OptionsWithLastingViews([*defaults, *arguments])
    standard, direct = result.view_as(StandardOptions), result.view_as(DirectOptions)
    direct.direct_num_workers = direct.direct_num_workers or min(MOST_WORKERS, usable_cores())
    if standard.runner in LOCAL_RUNNERS:
        standard.runner = "FnApiRunner"
        return result
    # The workers install our packages: what __main__ holds is of no use to them.
    result.view_as(SetupOptions).save_main_session = False
    workers = result.view_as(DebugOptions)
    if standard.runner == "DataflowRunner" and workers.number_of_worker_harness_threads is None:
        workers.number_of_worker_harness_threads = DATAFLOW_THREADS
    try:
        create_runner(standard.runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner {standard.runner}: {error}") from None
    if standard.runner in PORTABLE_RUNNERS:
        _check_portable(result)
    return result


def runs_here(options: PipelineOptions) -> bool:
    """Whether this process does the work itself, and not only hands it over."""
    loopback = options.view_as(PortableOptions).environment_type == "LOOPBACK"
    return loopback or options.view_as(StandardOptions).runner in LOCAL_RUNNERS


def starts_job_server(options: PipelineOptions) -> bool:
    """Whether the job server is started for this job, and ends with this process."""
    is_portable = options.view_as(StandardOptions).runner in PORTABLE_RUNNERS
    return is_portable and not options.view_as(PortableOptions).job_endpoint


def _check_portable(options: PipelineOptions) -> None:
    """Refuses what Beam would find out after minutes, or by downloading something."""
    name = options.view_as(StandardOptions).runner
    portable, flink = options.view_as(PortableOptions), options.view_as(FlinkRunnerOptions)
    if not portable.environment_type:
        raise UsageError(
            f"--runner {name}: say where the Python workers are: --environment_type=EXTERNAL "
            "--environment_config=HOST:PORT (a worker pool), DOCKER with an image of this project, "
            "PROCESS, or LOOPBACK for a trial; see docs/flink.md"
        )
    if portable.environment_type != "LOOPBACK" and not (
        portable.environment_config or portable.environment_options
    ):
        needed = {"DOCKER": "the image built from Dockerfile", "EXTERNAL": "HOST:PORT of the pool"}
        raise UsageError(
            f"--environment_type {portable.environment_type}: give --environment_config, "
            f"{needed.get(portable.environment_type, 'what to start')}; Beam's own image lacks "
            "this project"
        )
    if portable.job_endpoint:
        _check_answers(portable.job_endpoint)
    elif name == "PortableRunner":
        raise UsageError("--runner PortableRunner: give --job_endpoint=HOST:PORT of a job server")
    elif not flink.flink_job_server_jar or not os.path.isfile(flink.flink_job_server_jar):
        raise UsageError(
            "--runner FlinkRunner: give --job_endpoint=HOST:PORT of a job server, or "
            "--flink_job_server_jar=FILE to start one for this job; see docs/flink.md"
        )
    elif not shutil.which("java"):
        raise UsageError("--flink_job_server_jar: no java on this machine to start it with")


def _check_answers(endpoint: str, patience_s: float = 5) -> None:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), patience_s).close()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--job_endpoint {endpoint}: no job server answers there ({error}); start it, or "
            "correct HOST:PORT"
        ) from None


def _check_names(arguments: list[str]) -> None:
    parsers: list[ArgumentParser] = []
    beams = PipelineOptions([]).get_all_options(add_extra_args_fn=parsers.append)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            _, unknown = parsers[0].parse_known_args(arguments)
    except SystemExit:
        raise UsageError(complaint.getvalue().strip().rpartition("error: ")[2]) from None
    if unknown and not unknown[0].startswith("-"):
        raise UsageError(f"unknown argument {unknown[0]}; name recordings with --input")
    if unknown:
        name = unknown[0].partition("=")[0].lstrip("-")
        ours = (flag.lstrip("-") for flag in COUNT.parser.flags)
        close = difflib.get_close_matches(name, [*ours, *beams], n=1)
        hint = f"did you mean --{close[0]}?" if close else "see --help"
        raise UsageError(f"unknown argument --{name}; {hint}")
