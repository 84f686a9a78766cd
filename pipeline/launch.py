"""A run from start to end: check, run, summarise."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

from model.isolated import start_ahead
from pipeline import plan, preflight, progress
from pipeline.beam_options import runs_here
from pipeline.inference.count import Counting
from pipeline.inference.score import ModelLoader
from pipeline.inference.transforms import SegmentHandler
from pipeline.inputs.versions import NOTHING_LISTED, Listings
from pipeline.job import build_pipeline
from pipeline.ledger import runs
from pipeline.ledger.runs import Note
from pipeline.options import Config, UsageError, console, say
from pipeline.preflight import Checked
from pipeline.run import Run
from pipeline.runtime import (
    LOCAL_RUNNERS,
    give_memory_back,
    new_pipeline,
    quieten_workers,
    run_to_end,
)
from pipeline.storage import files
from pipeline.tables.read import read_run, run_file
from pipeline.tables.run_report import RunReport, Totals, summary

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNights


def launch(run: Run, listings: Listings = NOTHING_LISTED) -> int:
    """Checks, runs and summarises.

    Args:
        run: what was asked.
        listings: what is known of patterns already; the job then lists them no more.

    Returns:
        An exit code, see ``options.EXIT_CODES``.

    Raises:
        UsageError: nothing was started; the message says what to change.
    """
    config = run.config
    checked = preflight.check(run, listings)
    if config.plan or config.max_cost is not None:
        estimate = plan.make_plan(run, checked.options)
        if config.plan:
            say(plan.describe(estimate), plan=asdict(estimate))
        plan.check_cost(estimate, config.max_cost)
        if config.plan:
            return 0
    report, night = preflight.prepare(run, checked)
    try:
        count(run, checked, report, night, listings)
    except Exception as error:
        if refusal := runs.take(run.output, run.run_id, Note.REFUSAL):
            runs.end(run.output, [run.run_id])
            raise UsageError(refusal) from None
        if not runs.take(run.output, run.run_id, Note.GATE):
            print(why_it_failed(error, run.output), file=sys.stderr)
            if read_run(run.output).get("run_id") == run.run_id:
                files.delete_if_there(run_file(run.output))  # the night's tables are not there
            return 1
    if not checked.waits:
        say(f"run {run.run_id} was handed over; its tables will be in {run.output}", run=run.run_id)
        return 0
    return summarise(config, runs.take(run.output, run.run_id, Note.REPORT))


def count(
    run: Run,
    checked: Checked,
    report: RunReport,
    night: WriteNights | None,
    listings: Listings,
) -> None:
    """Runs the job, and fills the night once more where other runs were going on beside it."""
    others_before = runs.others(run.output, run.run_id)
    runs.start(run.output, run.run_id)
    run_job(
        *(run.config, run.counting, _handler(run), checked.options, checked.n_inputs),
        *(night, report),
        wait=checked.waits,
        listings=listings,
    )
    if checked.waits and night and (others_before or runs.others(run.output, run.run_id)):
        fill_nights_again(night.once_more(), checked.options)


def _handler(run: Run) -> SegmentHandler:
    return SegmentHandler(ModelLoader(run.config.model), run.counting.grid, run.contract.padding)


def has_too_many_failures(config: Config, report: Mapping[str, Any]) -> bool:
    """Whether a run counts as failed although its job came to its end."""
    return Totals(**report["totals"]).failed_fraction > config.max_failed_fraction


def why_it_failed(error: Exception, output: str) -> str:
    """What to say of an error that ended the job: a line where the disk said no, else its trace."""
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
    config: Config,
    counting: Counting,
    handler: SegmentHandler,
    options: PipelineOptions,
    n_inputs: int | None,
    night: WriteNights | None = None,
    report: RunReport | None = None,
    *,
    wait: bool = True,
    listings: Listings = NOTHING_LISTED,
) -> None:
    """Runs the job to its end, with a line about its progress."""
    if runs_here(options):
        start_ahead()
        quieten_workers()
    pipeline = new_pipeline(options)
    # Here the exit code says that too many failed; elsewhere the job's state does.
    gate = options.view_as(StandardOptions).runner not in LOCAL_RUNNERS
    build_pipeline(pipeline, config, counting, handler, night, report, gate=gate, listings=listings)
    progress.reset()
    if endpoint := options.view_as(PortableOptions).job_endpoint:
        print(f"capuchinbird: the job server at {endpoint} has the job", file=sys.stderr)
    if not gate:
        give_memory_back()
    with progress.watch(n_inputs, enabled=runs_here(options) and not console.is_quiet()):
        run_to_end(pipeline, wait=wait)


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


def summarise(config: Config, report: Mapping[str, Any]) -> int:
    """Makes the page and prints what came out. Returns the exit code.

    Args:
        config: what was asked for.
        report: run.json.
    """
    page = make_report(config.output) if config.report else ""
    say(summary(config, report, page), run=report, report=page)
    return 3 if has_too_many_failures(config, report) else 0


def make_report(output: str) -> str:
    """Makes report.html. Returns its name, or nothing: the tables are worth more than the page."""
    try:
        from pipeline.report.page import write_page  # imports what a worker lacks

        return write_page(output)
    except Exception as error:
        print(f"capuchinbird: no report ({error}); the tables are complete", file=sys.stderr)
        return ""
