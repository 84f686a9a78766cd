"""Beam's own options, checked: Beam itself passes over a misspelt one."""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Sequence

from apache_beam.options.pipeline_options import (
    DebugOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner

from pipeline.options import UsageError, parser

LOCAL_RUNNERS = (None, "DirectRunner", "FnApiRunner")

DATAFLOW_THREADS = 2
"""Threads of each worker process. Dataflow starts a process a core, each with a model of its own;
one thread of it decodes and scores while the other waits for the bucket. Its default of 12 would
hold the audio of 12 segments in each process, and no core would be free for 10 of them."""


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options from what is left of the command line.

    On this machine all cores work as threads of one process, which share one model.

    Raises:
        UsageError: an option that neither this pipeline nor Beam knows.
    """
    _check_known(list(arguments))
    defaults = ["--direct_running_mode=multi_threading", "--direct_num_workers=0"]
    result = PipelineOptions([*defaults, *arguments])
    standard = result.view_as(StandardOptions)
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
    return result


def _check_known(arguments: list[str]) -> None:
    known = PipelineOptions([]).get_all_options()
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            asked = PipelineOptions(arguments).get_all_options(retain_unknown_options=True)
    except SystemExit:
        raise UsageError(complaint.getvalue().strip().rpartition("error: ")[2]) from None
    for name in sorted(asked.keys() - known.keys()):
        ours = vars(parser().parse_known_args(["--output="])[0])
        close = difflib.get_close_matches(name, [*ours, *known], n=1)
        hint = f"did you mean --{close[0]}?" if close else "see --help"
        raise UsageError(f"unknown argument --{name}; {hint}")
    if arguments and not arguments[0].startswith("-"):
        raise UsageError(f"unknown argument {arguments[0]}; name recordings with --input")
