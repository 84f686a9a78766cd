"""A run from start to end: check, run, summarise."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from model.audio.isolated import start_ahead
from pipeline import plan, preflight, progress
from pipeline.beam_options import runs_here
from pipeline.inference.score import ModelLoader
from pipeline.inference.transforms import SegmentHandler
from pipeline.job import build_pipeline
from pipeline.ledger.runs import Note
from pipeline.ledger.shares import Record, withdraw
from pipeline.options import UsageError, console, remark, say
from pipeline.preflight import Checked
from pipeline.progress import Progress
from pipeline.results.finish import exit_code
from pipeline.results.run_report import Totals, summary
from pipeline.run import Run
from pipeline.runtime import (
    LOCAL_RUNNERS,
    give_memory_back,
    new_pipeline,
    quieten_workers,
    run_to_end,
)
from pipeline.sharing import processes
from pipeline.sharing.spread import spread_of
from pipeline.tables.read import read_run

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNights


def launch(run: Run, command: Sequence[str] = ()) -> int:
    """Checks, runs and summarises.

    Args:
        run: model, recordings and output, checked.
        command: what counts the same in another process, so that several can share it out.

    Returns:
        An exit code, see ``options.EXIT_CODES``.

    Raises:
        UsageError: nothing was started; the message says what to change.
    """
    processes.end_with_parent()
    checked = preflight.check(run)
    spread = spread_of(run, checked.options, checked.n_inputs, is_divisible=bool(command))
    if run.config.plan or run.config.max_cost is not None:
        estimate = plan.make_plan(run, checked.options)
        if run.config.plan:
            say(plan.describe(estimate), plan=asdict(estimate))
        plan.check_cost(estimate, run.config.max_cost)
        if run.config.plan:
            return 0
    night = preflight.prepare(run, checked)
    if spread.processes > 1:
        return processes.count_in_processes(run, spread, command, checked.n_inputs)
    checked.options.view_as(DirectOptions).direct_num_workers = spread.workers
    try:
        count(run, checked, night)
    except Exception as error:
        if failed(run, error):
            return 1
    if not checked.waits:
        say(f"run {run.run_id} was handed over; its tables will be in {run.output}", run=run.run_id)
        return 0
    return summarise_share(run) if run.config.share else summarise(run)


def count(run: Run, checked: Checked, night: WriteNights | None) -> None:
    """Runs the job, and fills the night once more where other runs were going on beside it."""
    others_before = run.notes.others()
    if run.config.share:
        Record.begun(run.config, run.counting, run.started).write(run.config.output)
    run.notes.start()
    handler = SegmentHandler(ModelLoader(run.config.model), run.counting.grid, run.contract.padding)
    run_job(run, handler, checked, night)
    if checked.waits and night and (others_before or run.notes.others()):
        fill_nights_again(night.once_more(), checked.options)


def failed(run: Run, error: Exception) -> bool:
    """Whether an error ended the job before its tables were written; then it is printed.

    Raises:
        UsageError: the job refused to add its recordings to the output.
    """
    if refusal := run.notes.take(Note.REFUSAL):
        run.notes.end()
        withdraw(run.config.output, run.run_id)
        raise UsageError(refusal) from None
    if run.notes.take(Note.GATE):
        return False
    print(why_it_failed(error, run.config.output), file=sys.stderr)
    if read_run(run.config.output).get("run_id") == run.run_id:
        run.output.delete_run_file()  # the night's tables are not there
    return True


def why_it_failed(error: Exception, output: str) -> str:
    """The message for an error that ended the job: one line for a full disk, else its trace."""
    *trace, reason = str(error).strip().splitlines() or [type(error).__name__]
    if gone := re.search(r"StatusCode\.UNAVAILABLE\n\s*details = \"(.*)\"", str(error)):
        return (
            f"capuchinbird: the job failed: the job server no longer answers ({gone[1]}); see to "
            "it and run it again: it goes on from what is done"
        )
    if causes := re.findall(r"^Caused by: (.+)$", str(error), re.MULTILINE):  # a trace of Java's
        reason = causes[-1]
    if disk := re.search(r"(?:OSError|PermissionError): \[Errno \d+\] ([^\[\n:]+)", str(error)):
        what = disk[1].strip()
        remedy = "make room" if "space" in what or "quota" in what else "put that right"
        return (
            f"capuchinbird: the job failed: {output}: {what}; {remedy} and run it again: it goes "
            "on from what is done"
        )
    return "\n".join([*trace, f"capuchinbird: the job failed: {reason}"])


def run_job(
    run: Run, handler: SegmentHandler, checked: Checked, night: WriteNights | None = None
) -> None:
    """Runs the job to its end, with a line about its progress."""
    options = checked.options
    is_here = runs_here(options)
    if is_here:
        start_ahead()
        quieten_workers()
    pipeline = new_pipeline(options)
    # Here the exit code says that too many failed; elsewhere the job's state does.
    gate = options.view_as(StandardOptions).runner not in LOCAL_RUNNERS
    build_pipeline(pipeline, run, handler, night, gate=gate)
    progress.reset()
    if endpoint := options.view_as(PortableOptions).job_endpoint:
        remark(f"the job server at {endpoint} has the job")
    if not gate:
        give_memory_back()
    n_inputs = None if run.config.share else checked.n_inputs  # a share's are counted as it lists
    with progress.watch(n_inputs, enabled=is_here and not console.is_quiet()):
        if not is_here:
            run_to_end(pipeline, wait=checked.waits)
            return
        try:
            with progress.kept(lambda now: run.notes.keep_progress(stated_progress(now))):
                run_to_end(pipeline, wait=checked.waits)
        finally:
            run.notes.forget_progress()


def stated_progress(now: Progress) -> dict[str, Any]:
    """Progress as others read it, with the time."""
    return {**asdict(now), "at": datetime.now(UTC).isoformat()}


def fill_nights_again(night: WriteNights, options: PipelineOptions) -> None:
    """Fills a night once more, after a run beside which others were going on.

    Of several runs that end together, each looks once more after it has written, so that whoever
    writes last has seen what all others committed.
    """
    pipeline = new_pipeline(options)
    nothing = pipeline | "No part" >> beam.Create([], reshuffle=False)
    once = pipeline | "Once more" >> beam.Create([0])
    (nothing, once) | "Fill nights" >> night
    run_to_end(pipeline)


def summarise(run: Run) -> int:
    """Makes the page and prints what came out. Returns the exit code."""
    page = run.output.make_page() if run.config.report else ""
    report = run.notes.take(Note.REPORT)
    say(summary(run.config, report, page), run=report, report=page)
    return exit_code(run.config, report)


def summarise_share(run: Run) -> int:
    """Prints what a share came to; whether too many failed is judged when all are joined."""
    report = run.notes.take(Note.REPORT)
    say(
        f"share {run.config.share}: {Totals(**report['totals']).in_words()}; when all shares have "
        f"ended: capuchinbird join {run.output}",
        **report,
    )
    return 0
