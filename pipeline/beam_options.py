"""Beam's own options, checked: Beam itself passes over a misspelt one."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

from apache_beam.options.pipeline_options import (
    DebugOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.runners.runner import create_runner

from pipeline import options

LOCAL_RUNNERS = (None, "DirectRunner", "FnApiRunner")

DATAFLOW_THREADS = 2
"""Threads of each worker process. Dataflow starts a process a core, each with a model of its own;
one thread of it decodes and scores while the other waits for the bucket. Its default of 12 would
hold the audio of 12 segments in each process, and no core would be free for 10 of them."""


class _KnownFlags(argparse.ArgumentParser):
    """Beam declares a few options twice; the first declaration is as good as the second."""

    def add_argument(self, *names: str, **settings: object) -> argparse.Action:
        try:
            return super().add_argument(*names, **settings)  # type: ignore[arg-type]
        except argparse.ArgumentError:
            return argparse.Action([], "")

    def add_value_provider_argument(self, *names: str, **settings: object) -> None:
        self.add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise options.UsageError(message)


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options from what is left of the command line.

    On this machine all cores work as threads of one process, which share one model.

    Raises:
        UsageError: an option that neither this pipeline nor Beam knows.
    """
    known = _KnownFlags(allow_abbrev=False, add_help=False)
    for group in PipelineOptions.__subclasses__():
        if "_add_argparse_args" in group.__dict__:
            group._add_argparse_args(known)
    _, unknown = known.parse_known_args(list(arguments))
    if unknown:
        raise options.UsageError(_unknown(unknown[0], known))
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
        raise options.UsageError(f"--runner {standard.runner}: {error}") from None
    return result


def _unknown(argument: str, known: argparse.ArgumentParser) -> str:
    flag = argument.split("=")[0]
    flags = [
        name
        for parser in (options.parser(), known)
        for action in parser._actions
        for name in action.option_strings
    ]
    close = difflib.get_close_matches(flag, flags, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; see --help"
    return f"unknown argument {flag}{hint}"
