"""Refuses a run before it starts anything, and makes ready a run that has passed."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

from pipeline.beam_options import (
    PORTABLE_RUNNERS,
    beam_options,
    runs_here,
    starts_job_server,
)
from pipeline.ledger import sites
from pipeline.options import RELEASED_MODEL, Config, UsageError
from pipeline.records import SCHEMA_VERSION, RunSummary
from pipeline.run import Run
from pipeline.storage import files
from pipeline.storage.buckets import connect_anonymously_to_emulator
from pipeline.store.moves import Move

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNights


@dataclass(frozen=True)
class Checked:
    """What the checks of a run gave that may start.

    Attributes:
        n_inputs: how many recordings were named; None where the job lists a bucket.
        moves: from where to where recordings have moved.
        waits: whether the launcher stays until the job has ended.
    """

    options: PipelineOptions
    n_inputs: int | None
    moves: tuple[Move, ...] = ()
    waits: bool = True


def check(run: Run) -> Checked:
    """Checks all that it can without starting or writing anything.

    Raises:
        UsageError: the message says what to change.
    """
    config = run.config
    options = beam_options(config.beam_args)
    check_reach(config, options)
    check_image(options)
    run.say_remark()
    return Checked(
        options=options,
        n_inputs=run.recordings.check(),
        moves=run.output.ledger().new_moves(config.moved, run.run_id) if config.moved else (),
        # A flex template's launcher must not wait.
        waits=not config.no_wait and not options.view_as(GoogleCloudOptions).template_location,
    )


def prepare(run: Run, checked: Checked) -> WriteNights | None:
    """Makes the output ready. Returns what fills the night's tables.

    Raises:
        UsageError: the message says what to change.
    """
    night = night_tables(run, checked.options)
    run.output.make_ready()
    if checked.moves:
        run.output.ledger().add_moves(checked.moves)
    sites.keep(run.config, run.run_id)
    return night


def check_reach(config: Config, options: PipelineOptions) -> None:
    """Refuses paths that workers on other machines could not reach, or would take for others."""
    runner = options.view_as(StandardOptions).runner
    if runs_here(options):
        return
    if config.no_wait and starts_job_server(options):
        raise UsageError(
            "--no_wait: the job server that is started for a job ends with this command; give "
            "--job_endpoint of one that stays"
        )
    named = {
        "--input": config.inputs,
        "--manifest": config.manifests,
        "--deployments": (config.deployments,) if config.deployments else (),
        "--model": () if config.model == RELEASED_MODEL else (config.model,),
        "--output": (config.output,),
    }
    for flag, names in named.items():
        for name in filter(files.is_local, names):
            if runner == "DataflowRunner":
                raise UsageError(f"{flag} {name}: Dataflow's workers reach buckets only; use gs://")
            if runner in PORTABLE_RUNNERS and not os.path.isabs(name):
                raise UsageError(
                    f"{flag} {name}: workers stand in other folders; write the full path, the same "
                    "on all of them, or use gs://"
                )


IMAGE_PYTHON = (3, 11)
"""Of the image that Dockerfile makes."""


def check_image(options: PipelineOptions, version: tuple[int, int] = sys.version_info[:2]) -> None:
    """Refuses workers from the image with another Python than here: they could not read the job."""
    image = options.view_as(WorkerOptions).sdk_container_image
    if image and version != IMAGE_PYTHON:
        here, there = (f"{major}.{minor}" for major, minor in (version, IMAGE_PYTHON))
        raise UsageError(
            f"--sdk_container_image {image}: has Python {there}, this machine {here}; start the "
            f"job with Python {there}, for example PYTHON=python{there} ./run_dataflow.sh"
        )


def night_tables(run: Run, options: PipelineOptions) -> WriteNights | None:
    """The transform that writes tables to BigQuery; None unless the caller asks for it.

    Without a stated night it writes the nights of all recordings that a rescoring counts again.

    Raises:
        UsageError: the tables are not there, or no bucket for the files to load.
    """
    config, counting, contract = run.config, run.counting, run.contract
    if config.bigquery is None:
        return None
    from pipeline.tables.bigquery import WriteNights, check_dataset

    temp = options.view_as(GoogleCloudOptions).temp_location or f"{config.output}/temp"
    if not temp.startswith("gs://"):
        raise UsageError(
            "--bigquery: loads files from a bucket; give --temp_location=gs://BUCKET/FOLDER"
        )
    connect_anonymously_to_emulator()
    check_dataset(config.bigquery)
    if config.night is None:
        return WriteNights(config.bigquery, config.output, temp, "", None)
    row = RunSummary(
        run_id=run.run_id,
        started_at=run.started.isoformat(timespec="seconds"),
        **dict.fromkeys(("inputs", "ok", "no_calls", "truncated", "failed", "skipped", "calls"), 0),
        duration_s=0.0,
        heard_s=0.0,
        model_version=counting.model_version,
        model_sha256=contract.model_sha256,
        training_data_sha256=contract.training_data_sha256,
        configuration=json.dumps(asdict(config), default=str),
        schema_version=SCHEMA_VERSION,
    )
    return WriteNights(config.bigquery, config.output, temp, config.night.isoformat(), row)
