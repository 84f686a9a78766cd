"""Everything around the job: checks before it, progress during it, the report after it."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import json
import logging
import platform
import sys
import time
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from model.contract import CONTRACT_FILE, MODEL_FILE, ContractError, ServingContract
from pipeline import preflight as cloud
from pipeline import progress
from pipeline.beam_options import LOCAL_RUNNERS, beam_options
from pipeline.commands.publish import resolve as resolve_model
from pipeline.inference.count import Counting
from pipeline.inference.score import ModelLoader, SegmentHandler
from pipeline.inputs import deployments as places
from pipeline.inputs.manifests import read_manifest
from pipeline.job import build_pipeline, build_tables
from pipeline.ledger import drift
from pipeline.ledger import entries as ledger
from pipeline.options import Config, UsageError
from pipeline.plan import check_cost, describe, make_plan
from pipeline.progress_line import watch
from pipeline.records import SCHEMA_VERSION, Outcome
from pipeline.storage import files

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNight

LIBRARIES = ("apache-beam", "tensorflow", "keras", "tensorflow-io", "soundfile", "soxr", "numpy")


def launch(config: Config) -> int:
    """Checks, runs and reports.

    Returns:
        An exit code, see ``options.EXIT_CODES``.

    Raises:
        UsageError: nothing was started; the message says what to change.
    """
    started = datetime.now(UTC)
    run_id = new_run_id(started)
    options = beam_options(config.beam_args)
    cloud.check_places(config, options)
    config = replace(config, model=resolve_model(config.model))
    contract = read_contract(config.model)
    n_inputs = count_inputs(config)
    counting = Counting.of(config, contract, run_id)
    if config.plan or config.max_cost is not None:
        plan = make_plan(config, counting, options)
        if config.plan:
            print(describe(plan))
        check_cost(plan, config.max_cost)
        if config.plan:
            return 0
    prepare_output(config.output)
    finished_before = ledger.shards(config.output)
    night = cloud.night_tables(config, counting, contract, started, options)

    clock = time.monotonic()
    handler = SegmentHandler(ModelLoader(config.model), contract.padding)
    try:
        run(config, counting, handler, options, n_inputs, night)
        if not cloud.waits(config, options):
            print(f"run {run_id} was handed over; its tables will lie in {config.output}")
            return 0
        settle(config, options, run_id, finished_before, night)
    except Exception as error:
        *trace, reason = str(error).strip().splitlines() or [type(error).__name__]
        print(*trace, f"pipeline: the job failed: {reason}", sep="\n", file=sys.stderr)
        return 1
    wall_s = time.monotonic() - clock

    totals = read_totals(files.join(config.output, "counts.csv"), run_id, n_inputs)
    notes = drift.notes_of_run(config.output, config.model, counting)
    report = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "started_at": started.isoformat(timespec="seconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "configuration": asdict(config),
        "counting": asdict(counting),
        "model": {
            "version": counting.model_version,
            "model_sha256": contract.model_sha256,
            "training_data_sha256": contract.training_data_sha256,
        },
        "contract": asdict(contract),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        },
        "totals": asdict(totals),
        "drift": [asdict(note) for note in notes],
        "throughput": {
            "wall_s": round(wall_s, 3),
            "times_real_time": round(totals.heard_s / wall_s, 1),
        },
    }
    text = json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n"
    files.write_atomically(files.join(config.output, "run.json"), [text.encode()])
    page = make_report(config.output) if config.report else ""
    print(summary(totals, wall_s, config, page))
    return 3 if totals.failed_fraction > config.max_failed_fraction else 0


def new_run_id(started: datetime) -> str:
    """A name for a run; names sort by the time of the start, which the ledger relies on."""
    return f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:6]}"


def run(
    config: Config,
    counting: Counting,
    handler: SegmentHandler,
    options: PipelineOptions,
    n_inputs: int,
    night: WriteNight | None = None,
) -> None:
    """Runs the job to its end."""
    pipeline = new_pipeline(options)
    build_pipeline(pipeline, config, counting, handler, night)
    progress.reset()
    with watch(n_inputs, enabled=options.view_as(StandardOptions).runner in LOCAL_RUNNERS):
        finish(pipeline, wait=cloud.waits(config, options))


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """A pipeline for the runner in the options."""
    name = options.view_as(StandardOptions).runner
    # Beam's default local runner would first look for a binary to download.
    runner = FnApiRunner() if name in LOCAL_RUNNERS else name
    return beam.Pipeline(runner=runner, options=options)


def finish(pipeline: beam.Pipeline, *, wait: bool = True) -> None:
    """Runs a pipeline to its end, or hands it over: here and only here."""
    logging.getLogger().addFilter(_is_news)
    result = pipeline.run()
    state = result.wait_until_finish() if wait else None
    if state is not None and state != "DONE":
        raise RuntimeError(f"it ended as {state}")


def settle(
    config: Config,
    options: PipelineOptions,
    run_id: str,
    finished_before: list[str],
    night: WriteNight | None = None,
) -> None:
    """Writes the tables again for as long as other runs add to the ledger meanwhile.

    Of several runs that end together, each looks once more after it has written, so that whoever
    writes last has seen what all others committed.
    """
    seen = set(finished_before)
    while found := {name for name in ledger.shards(config.output) if run_id not in name} - seen:
        seen |= found
        pipeline = new_pipeline(options)
        build_tables(pipeline | beam.Create([""]), config, night and night.once_more())
        finish(pipeline)


def _is_news(record: logging.LogRecord) -> bool:
    """False for a warning that Beam 2.77 gives on every machine without its model manager."""
    return "Resource module is not available" not in record.getMessage()


def read_contract(model: str) -> ServingContract:
    """The contract of the model in a folder, refused unless this pipeline can feed the model."""
    name = files.join(model, CONTRACT_FILE)
    try:
        text = files.read_bytes(name)
    except OSError:
        raise UsageError(
            f"--model {model}: no {CONTRACT_FILE} there; give the folder that model.training.train wrote"
        ) from None
    try:
        contract = ServingContract.from_json(text)
    except ContractError as error:
        raise UsageError(f"{name}: {error}") from None
    try:
        network = files.read_bytes(files.join(model, MODEL_FILE))
    except OSError:
        raise UsageError(f"--model {model}: no {MODEL_FILE} beside {CONTRACT_FILE}") from None
    if hashlib.sha256(network).hexdigest() != contract.model_sha256:
        raise UsageError(
            f"--model {model}: {MODEL_FILE} is not the file that {CONTRACT_FILE} describes; "
            "copy the folder again"
        )
    return contract


def count_inputs(config: Config) -> int:
    """How many recordings there are; none for any of the patterns or manifests is an error."""
    found: set[str] = set()
    check_tables(config)
    for pattern in config.inputs:
        names = files.expand(pattern)
        if not names and not config.allow_empty:
            raise UsageError(
                f"--input {pattern}: matches no file; check the spelling, and quote patterns"
            )
        found.update(map(files.identity, names))
    for manifest in config.manifests:
        try:
            names = list(read_manifest(manifest))
        except (OSError, ValueError) as error:
            raise UsageError(f"--manifest {manifest}: {error}") from None
        if not names and not config.allow_empty:
            raise UsageError(f"--manifest {manifest}: lists no recording")
        found.update(map(files.identity, names))
    return len(found)


def check_tables(config: Config) -> None:
    """Refuses a deployment table or time zone that workers would stumble over."""
    try:
        if config.time_zone:
            places.parse_zone(config.time_zone)
        if config.deployments:
            places.read_deployments(config.deployments)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


def prepare_output(output: str) -> None:
    """Makes sure that tables can be written, and that no earlier run's report stays beside them."""
    probe = files.join(output, ".writable")
    try:
        files.write_atomically(probe, [b""])
        files.delete_if_there(probe)
        for name in ("run.json", "report.html"):
            files.delete_if_there(files.join(output, name))
    except OSError as error:
        raise UsageError(f"--output {output}: cannot write there ({error})") from None


@dataclass(frozen=True)
class Totals:
    """What came out of a run, added up from its rows in the table."""

    inputs: int
    outcomes: dict[str, int]
    calls: int
    duration_s: float
    heard_s: float

    @property
    def failed_fraction(self) -> float:
        """Share of the inputs that failed."""
        return self.outcomes[Outcome.FAILED.value] / max(1, self.inputs)


def read_totals(counts_csv: str, run_id: str, n_inputs: int) -> Totals:
    """Adds up what a run added to counts.csv; the rest of its inputs was done before."""
    outcomes = {outcome.value: 0 for outcome in Outcome}
    calls, duration_s, heard_s = 0, 0.0, 0.0
    for row in csv.DictReader(io.StringIO(files.read_bytes(counts_csv).decode())):
        if row["run_id"] != run_id:
            continue
        outcomes[row["outcome"]] += 1
        calls += int(row["call_count"] or 0)
        duration_s += float(row["duration_s"] or 0)
        heard_s += float(row["heard_s"] or 0)
    outcomes[Outcome.SKIPPED.value] = max(0, n_inputs - sum(outcomes.values()))
    return Totals(n_inputs, outcomes, calls, round(duration_s, 3), round(heard_s, 3))


def make_report(output: str) -> str:
    """Makes report.html. Returns its name, or nothing: the tables are worth more than the page."""
    from pipeline.report.make import (
        write_report,  # imports matplotlib: not for a run without a report
    )

    try:
        return write_report(output)
    except Exception as error:
        print(f"pipeline: no report ({error}); the tables are complete", file=sys.stderr)
        return ""


def summary(totals: Totals, wall_s: float, config: Config, page: str) -> str:
    """What came out, as a table for a person."""
    if totals.outcomes[Outcome.SKIPPED.value] == totals.inputs:
        return (
            f"nothing new: all {totals.inputs:,} recordings were counted so before; "
            f"the tables in {config.output} are as they were"
        )
    counts = files.join(config.output, "counts.csv")
    rows = [
        ("recordings", f"{totals.inputs:,}"),
        *((f"  {name}", f"{n:,}") for name, n in totals.outcomes.items() if n),
        ("calls", f"{totals.calls:,}"),
        ("audio heard", f"{totals.heard_s / 3600:,.2f} h of {totals.duration_s / 3600:,.2f} h"),
        ("time taken", f"{wall_s:,.1f} s, {totals.heard_s / wall_s:,.0f} × real time"),
        ("tables", ", ".join([counts, "calls.csv", "failures.csv", *config.formats])),
    ]
    if page:
        rows.append(("report", page))
    return "\n".join(f"{what:13} {value}" for what, value in rows)
