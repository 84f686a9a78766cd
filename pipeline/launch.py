"""A run from start to end: check, run, summarise."""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
from apache_beam.runners.runner import PipelineResult
from apache_beam.runners.worker import sdk_worker

from pipeline import plan, preflight, progress
from pipeline.beam_options import LOCAL_RUNNERS
from pipeline.inference.count import Counting
from pipeline.inference.score import ModelLoader
from pipeline.inference.transforms import SegmentHandler
from pipeline.job import build_pipeline, build_tables
from pipeline.ledger import drift, entries
from pipeline.ledger.moves import write_moves
from pipeline.options import Config
from pipeline.preflight import Checked
from pipeline.tables.read import read_counts
from pipeline.tables.run_report import Totals, summary, write_run_report

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNight

_NEVER_MS = 10**9


def launch(config: Config) -> int:
    """Checks, runs and summarises.

    Returns:
        An exit code, see ``options.EXIT_CODES``.

    Raises:
        UsageError: nothing was started; the message says what to change.
    """
    checked = preflight.check(config)
    config = checked.config
    if config.plan or config.max_cost is not None:
        estimate = plan.make_plan(config, checked.counting, checked.options)
        if config.plan:
            print(plan.describe(estimate))
        plan.check_cost(estimate, config.max_cost)
        if config.plan:
            return 0
    preflight.prepare_output(config.output)
    write_moves(entries.folder(config.output), checked.run_id, config.moved)
    committed_before = entries.shards(config.output)
    night = preflight.night_tables(checked)
    handler = SegmentHandler(
        ModelLoader(config.model), checked.counting.grid, checked.contract.padding
    )
    options, clock = checked.options, time.monotonic()
    try:
        n_inputs = run(
            config, checked.counting, handler, options, checked.n_inputs, night, wait=checked.waits
        )
        if not checked.waits:
            print(f"run {checked.run_id} was handed over; its tables will be in {config.output}")
            return 0
        once_more = night and night.once_more()
        write_tables_again(config, options, checked.run_id, committed_before, once_more)
        return summarise(checked, n_inputs, time.monotonic() - clock)
    except Exception as error:
        print(why_it_failed(error, config.output), file=sys.stderr)
        return 1


def why_it_failed(error: Exception, output: str) -> str:
    """What to say of an error that ended the job: a line where the disk said no, else its trace."""
    *trace, reason = str(error).strip().splitlines() or [type(error).__name__]
    if disk := re.search(r"(?:OSError|PermissionError): \[Errno \d+\] ([^\[\n:]+)", str(error)):
        what = disk[1].strip()
        remedy = "make room" if "space" in what or "quota" in what else "put that right"
        return (
            f"capuchinbird: the job failed: {output}: {what}; {remedy} and run it again: it goes "
            "on from what is done"
        )
    return "\n".join([*trace, f"capuchinbird: the job failed: {reason}"])


def run(
    config: Config,
    counting: Counting,
    handler: SegmentHandler,
    options: PipelineOptions,
    n_inputs: int | None,
    night: WriteNight | None = None,
    *,
    wait: bool = True,
) -> int:
    """Runs the job to its end, with a line about its progress.

    Returns:
        How many recordings it was given: as many as it found where ``n_inputs`` is None.
    """
    pipeline = new_pipeline(options)
    build_pipeline(pipeline, config, counting, handler, night)
    progress.reset()
    is_local = options.view_as(StandardOptions).runner in LOCAL_RUNNERS
    with progress.watch(n_inputs, enabled=is_local):
        result = run_to_end(pipeline, wait=wait)
    if n_inputs is not None or not wait:
        return n_inputs or 0
    listed = result.metrics().query(MetricsFilter().with_name("listed"))["counters"]
    return sum(counter.result or 0 for counter in listed)


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """A pipeline for the runner in the options."""
    name = options.view_as(StandardOptions).runner
    # Each second, by default, another thread would flush what a worker has encoded so far, be it
    # half an element: what was read from it then was garbage, or 20 GB long.
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = _NEVER_MS
    # Beam's default local runner would first look for a binary to download.
    runner = FnApiRunner() if name in LOCAL_RUNNERS else name
    return beam.Pipeline(runner=runner, options=options)


def run_to_end(pipeline: beam.Pipeline, *, wait: bool = True) -> PipelineResult:
    """Runs a pipeline to its end, or hands it over: here and only here."""
    logging.getLogger().addFilter(progress.is_worth_reading)
    # A worker prints the trace of an error, logs it and hands it over: the last is enough.
    vars(sdk_worker)["print"] = lambda *_, **__: None
    result = pipeline.run()
    state = result.wait_until_finish() if wait else None
    if state is not None and state != "DONE":
        raise RuntimeError(f"it ended as {state}")
    return result


def write_tables_again(
    config: Config,
    options: PipelineOptions,
    run_id: str,
    committed_before: list[str],
    night: beam.PTransform | None = None,
) -> None:
    """Writes the tables for as long as other runs add to the ledger meanwhile.

    Of several runs that end together, each looks once more after it has written, so that whoever
    writes last has seen what all others committed.
    """
    seen = set(committed_before)
    while found := {n for n in entries.shards(config.output) if run_id not in n} - seen:
        seen |= found
        pipeline = new_pipeline(options)
        build_tables(pipeline | beam.Create([""]), config, night)
        run_to_end(pipeline)


def summarise(checked: Checked, n_inputs: int, wall_s: float) -> int:
    """Writes run.json and the page, and prints what came out. Returns the exit code."""
    config = checked.config
    rows = read_counts(config.output)
    totals = Totals.of_run(rows, checked.run_id, n_inputs)
    notes = drift.notes_of_run(config.output, checked.run_id)
    holds = Totals.of(rows, len(rows))
    write_run_report(
        config, checked.counting, checked.contract, checked.started, totals, holds, notes, wall_s
    )
    drift.forget_notes(config.output, checked.run_id)
    page = make_report(config.output) if config.report else ""
    print(summary(config, totals, rows, wall_s, page))
    return 3 if totals.failed_fraction > config.max_failed_fraction else 0


def make_report(output: str) -> str:
    """Makes report.html. Returns its name, or nothing: the tables are worth more than the page."""
    try:
        from pipeline.report.page import write_page  # imports what a worker lacks

        return write_page(output)
    except Exception as error:
        print(f"capuchinbird: no report ({error}); the tables are complete", file=sys.stderr)
        return ""
