"""All that is refused before anything is started, and what a run needs once it has passed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)

from model.contract import ServingContract
from pipeline.beam_options import beam_options
from pipeline.inference.count import Counting
from pipeline.inputs.deployments import parse_zone, read_deployments
from pipeline.inputs.manifests import read_manifest, remarks
from pipeline.inputs.versions import list_pattern
from pipeline.ledger import entries
from pipeline.ledger.identity import objection
from pipeline.ledger.moves import Move, read_moves
from pipeline.model_folder import check_model, current_version
from pipeline.options import RELEASED_MODEL, Config, UsageError
from pipeline.records import SCHEMA_VERSION, Listed, RunSummary
from pipeline.storage import files
from pipeline.storage.buckets import connect_anonymously_to_emulator, is_emulated
from pipeline.tables.run_report import new_run_id

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNight


@dataclass(frozen=True)
class Checked:
    """A run that may start.

    Attributes:
        config: what was asked; ``model`` names one version.
        run_id: names sort by the time of the start, which the ledger relies on.
        n_inputs: how many recordings were named; None where the job lists a bucket.
        waits: whether the launcher stays until the job has ended.
    """

    config: Config
    started: datetime
    run_id: str
    options: PipelineOptions
    contract: ServingContract
    counting: Counting
    n_inputs: int | None
    waits: bool


def check(config: Config) -> Checked:
    """Checks everything that can be checked without starting or writing anything.

    Raises:
        UsageError: the message says what to change.
    """
    started = datetime.now(UTC)
    options = beam_options(config.beam_args)
    check_reach(config, options)
    check_image(options)
    check_credentials(config)
    config = replace(config, model=current_version(config.model))
    contract = check_model(config.model)
    run_id = new_run_id(started)
    inputs = list_inputs(config)
    check_identity(config, inputs, run_id)
    return Checked(
        config=config,
        started=started,
        run_id=run_id,
        options=options,
        contract=contract,
        counting=Counting.of(config, contract, run_id),
        n_inputs=None if lists_a_bucket(config) else len(inputs),
        # A flex template's launcher must not wait.
        waits=not config.no_wait and not options.view_as(GoogleCloudOptions).template_location,
    )


def check_reach(config: Config, options: PipelineOptions) -> None:
    """Refuses paths of this machine in a job for Dataflow, whose workers could not reach them."""
    if options.view_as(StandardOptions).runner != "DataflowRunner":
        return
    named = {
        "--input": config.inputs,
        "--manifest": config.manifests,
        "--deployments": (config.deployments,) if config.deployments else (),
        "--model": () if config.model == RELEASED_MODEL else (config.model,),
        "--output": (config.output,),
    }
    for flag, names in named.items():
        for name in filter(files.is_local, names):
            raise UsageError(f"{flag} {name}: Dataflow's workers reach buckets only; use gs://")


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


def check_credentials(config: Config) -> None:
    """Refuses buckets where there are no credentials: the libraries would try for minutes."""
    named = (*config.inputs, *config.manifests, config.model, config.output)
    if not any(name.startswith("gs://") for name in named) or is_emulated():
        return
    from google.auth import default
    from google.auth.exceptions import DefaultCredentialsError

    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")  # seconds, for each of three attempts
    try:
        default()
    except DefaultCredentialsError:
        raise UsageError(
            "gs://: no Google credentials on this machine; run: gcloud auth application-default "
            "login, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"
        ) from None


def list_inputs(config: Config) -> dict[str, Listed]:
    """The recordings by identity; none for any of the patterns or manifests is an error.

    Of a bucket this only asks whether there is one: the job lists it.
    """
    found: dict[str, Listed] = {}
    _check_deployments(config)
    for pattern in config.inputs:
        if pattern.startswith("gs://"):
            if not config.allow_empty and next(list_pattern(pattern), None) is None:
                raise UsageError(f"--input {pattern}: {files.why_nothing(pattern)}")
            continue
        matched = list(list_pattern(pattern))
        if not matched and not config.allow_empty:
            raise UsageError(f"--input {pattern}: {files.why_nothing(pattern)}")
        found.update((files.identity(known.recording), known) for known in matched)
    for manifest in config.manifests:
        try:
            names = list(read_manifest(manifest))
        except OSError as error:
            raise UsageError(f"--manifest {manifest}: {error}") from None
        except ValueError as error:
            raise UsageError(f"--manifest {error}") from None
        if not names and not config.allow_empty:
            raise UsageError(f"--manifest {manifest}: lists no recording")
        for name in names:
            found.setdefault(files.identity(name), Listed(name))
    for line in remarks(config, None if lists_a_bucket(config) else found):
        print(f"capuchinbird: {line}", file=sys.stderr)
    return found


def lists_a_bucket(config: Config) -> bool:
    """Whether only the job will know which recordings there are."""
    return any(pattern.startswith("gs://") for pattern in config.inputs)


def check_identity(config: Config, inputs: Mapping[str, Listed], run_id: str) -> None:
    """Refuses recordings that an output knows by another name, or a name that it has already."""
    known_moves = read_moves(entries.folder(config.output))
    moves = tuple(Move(run_id, *pair) for pair in config.moved)
    if config.moved:
        before = entries.read_state(config.output)
        for move in moves:
            told = any((move.old, move.new) == (known.old, known.new) for known in known_moves)
            if not told and not any(i.startswith(f"{move.old}/") for i in before):
                raise UsageError(
                    f"--moved {move.old}={move.new}: --output {config.output} holds no recording "
                    f"below {move.old}"
                )
    state = entries.read_state(config.output, moves)
    if problem := objection(config.output, state, inputs):
        raise UsageError(problem)


def _check_deployments(config: Config) -> None:
    """Refuses a deployment table or time zone that workers would stumble over."""
    try:
        if config.time_zone:
            parse_zone(config.time_zone)
        if config.deployments:
            read_deployments(config.deployments)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


def prepare_output(output: str) -> None:
    """Makes sure that tables can be written, and that no earlier run's report stays beside them."""
    probe = files.join(output, ".writable")
    _refuse_other_tables(output)
    try:
        files.write_atomically(probe, [b""])
        files.delete_if_there(probe)
        for name in ("run.json", "report.html"):
            files.delete_if_there(files.join(output, name))
    except OSError as error:
        raise UsageError(f"--output {output}: cannot write there ({error})") from None


def _refuse_other_tables(output: str) -> None:
    """Refuses to write over a counts.csv or calls.csv that no run has written."""
    for name in ("counts.csv", "calls.csv"):
        table = files.join(output, name)
        with suppress(OSError):
            header = files.read_bytes(table).partition(b"\n")[0].split(b",")
            if not {b"recording", b"run_id"} <= set(header):
                raise UsageError(
                    f"--output {output}: {name} there is not from this program and would be "
                    "overwritten; give another folder"
                )


def night_tables(checked: Checked) -> WriteNight | None:
    """What writes a night's tables to BigQuery, if that is asked for.

    Raises:
        UsageError: the tables are not there, or no bucket for the files to load.
    """
    config, counting, contract = checked.config, checked.counting, checked.contract
    if config.bigquery is None or config.night is None:
        return None
    from pipeline.tables.bigquery import WriteNight, check_dataset

    temp = checked.options.view_as(GoogleCloudOptions).temp_location or f"{config.output}/temp"
    if not temp.startswith("gs://"):
        raise UsageError(
            "--bigquery: loads files from a bucket; give --temp_location=gs://BUCKET/FOLDER"
        )
    connect_anonymously_to_emulator()
    check_dataset(config.bigquery)
    run = RunSummary(
        run_id=counting.run_id,
        started_at=checked.started.isoformat(timespec="seconds"),
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
