"""What a run in Google Cloud needs besides, checked before it starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from model.contract import ServingContract
from pipeline.inference.count import Counting
from pipeline.options import RELEASED_MODEL, Config, UsageError
from pipeline.records import SCHEMA_VERSION, RunSummary
from pipeline.storage import files
from pipeline.storage.buckets import connect_anonymously_to_emulator

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNight


def check_places(config: Config, options: PipelineOptions) -> None:
    """Refuses what workers in the cloud could not reach.

    Raises:
        UsageError: a path of this machine in a job for Dataflow.
    """
    if not _on_dataflow(options):
        return
    model = () if config.model == RELEASED_MODEL else (config.model,)
    places = {
        "--input": config.inputs,
        "--manifest": config.manifests,
        "--deployments": (config.deployments,) if config.deployments else (),
        "--model": model,
        "--output": (config.output,),
    }
    for flag, names in places.items():
        for name in filter(files.is_local, names):
            raise UsageError(f"{flag} {name}: Dataflow's workers reach buckets only; use gs://")


def waits(config: Config, options: PipelineOptions) -> bool:
    """Whether the launcher stays until the job has ended. A flex template's launcher must not."""
    return not config.no_wait and not options.view_as(GoogleCloudOptions).template_location


def _on_dataflow(options: PipelineOptions) -> bool:
    return bool(options.view_as(StandardOptions).runner == "DataflowRunner")


def night_tables(
    config: Config,
    counting: Counting,
    contract: ServingContract,
    started: datetime,
    options: PipelineOptions,
) -> WriteNight | None:
    """What writes a night's tables to BigQuery, if that is asked for.

    Raises:
        UsageError: the tables are not there, or no bucket for the files to load.
    """
    if config.bigquery is None or config.night is None:
        return None
    from pipeline.tables.bigquery import WriteNight, check_tables

    temp = options.view_as(GoogleCloudOptions).temp_location or f"{config.output}/temp"
    if not temp.startswith("gs://"):
        raise UsageError(
            "--bigquery: loads files from a bucket; give --temp_location=gs://BUCKET/FOLDER"
        )
    connect_anonymously_to_emulator()
    check_tables(config.bigquery)
    run = RunSummary(
        run_id=counting.run_id,
        started_at=started.isoformat(timespec="seconds"),
        **dict.fromkeys(("inputs", "ok", "no_calls", "truncated", "failed", "skipped", "calls"), 0),
        duration_s=0.0,
        heard_s=0.0,
        model_version=counting.model_version,
        model_sha256=contract.model_sha256,
        training_data_sha256=contract.training_data_sha256,
        configuration=json.dumps(asdict(config), default=str),
        schema_version=SCHEMA_VERSION,
    )
    return WriteNight(config.bigquery, config.night, temp, config.inputs, config.manifests, run)
