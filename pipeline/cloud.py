"""What a run in Google Cloud needs besides, checked before it starts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from model.contract import ServingContract
from pipeline.bigquery import WriteNight, check_tables
from pipeline.buckets import connect_anonymously_to_emulator
from pipeline.count import Counting
from pipeline.options import Config, UsageError
from pipeline.records import SCHEMA_VERSION, RunSummary


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
