"""All that is refused before anything is started, and what a run needs once it has passed."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
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
from pipeline.inputs.deployments import read_deployments
from pipeline.inputs.manifests import check_tables, named_in, read_manifest, remarks
from pipeline.inputs.times import parse_zone
from pipeline.inputs.versions import NOTHING_LISTED, Listings, list_pattern
from pipeline.ledger import drift, entries, migrate, parts
from pipeline.ledger.moves import Move, read_moves, where_now, write_moves
from pipeline.options import RELEASED_MODEL, Config, UsageError
from pipeline.records import SCHEMA_VERSION, Listed, RunSummary
from pipeline.run import Run
from pipeline.storage import files
from pipeline.storage.buckets import connect_anonymously_to_emulator
from pipeline.tables.run_report import RunReport

if TYPE_CHECKING:
    from pipeline.tables.bigquery import WriteNights


@dataclass(frozen=True)
class Checked:
    """What the checks of a run gave that may start.

    Attributes:
        moves: where recordings lie now that were moved.
        n_inputs: how many recordings were named; None where the job lists a bucket.
        waits: whether the launcher stays until the job has ended.
    """

    options: PipelineOptions
    moves: tuple[Move, ...]
    n_inputs: int | None
    waits: bool


def check(run: Run, listings: Listings = NOTHING_LISTED) -> Checked:
    """Checks everything that can be checked without starting or writing anything.

    Args:
        run: what was asked.
        listings: what is known of patterns already.

    Raises:
        UsageError: the message says what to change.
    """
    config = run.config
    options = beam_options(config.beam_args)
    check_reach(config, options)
    check_image(options)
    if run.remark:
        print(f"capuchinbird: {run.remark}", file=sys.stderr)
    inputs = list_inputs(config, listings)
    return Checked(
        options=options,
        moves=check_moves(config, run.run_id),
        n_inputs=None if lists_a_bucket(config) else len(inputs),
        # A flex template's launcher must not wait.
        waits=not config.no_wait and not options.view_as(GoogleCloudOptions).template_location,
    )


def prepare(run: Run, checked: Checked) -> tuple[RunReport, WriteNights | None]:
    """Makes the output ready. Returns what run.json begins with, and what fills the night's tables.

    Raises:
        UsageError: the message says what to change.
    """
    night = night_tables(run, checked.options)
    reference = drift.read_reference(run.config.model, run.counting.model_version)
    prepare_output(run.output)
    take_over_moved(run, checked.moves)
    return replace(run.report, reference=reference), night


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


def list_inputs(config: Config, listings: Listings) -> dict[str, Listed]:
    """The recordings by identity; none for any of the patterns or manifests is an error.

    Of a bucket that is not listed yet this only asks whether there is one: the job lists it.
    """
    found: dict[str, Listed] = {}
    _check_deployments(config)
    for pattern in config.inputs:
        if pattern.startswith("gs://"):
            try:
                first = next(list_pattern(pattern, listings), None)
            except OSError as error:
                raise UsageError(f"--input {pattern}: {error}") from None
            if first is None and not config.allow_empty:
                raise UsageError(f"--input {pattern}: {files.why_nothing(pattern)}")
            continue
        matched = list(list_pattern(pattern))
        if not matched and not config.allow_empty:
            raise UsageError(f"--input {pattern}: {files.why_nothing(pattern)}")
        found.update((files.identity(known.recording), known) for known in matched)
    for manifest in config.manifests:
        try:
            names = list(read_manifest(manifest)) if config.allow_empty else named_in(manifest)
        except OSError as error:
            raise UsageError(f"--manifest {manifest}: {error}") from None
        except ValueError as error:
            raise UsageError(f"--manifest {error}") from None
        if not names and not config.allow_empty:
            raise UsageError(f"--manifest {manifest}: lists no recording")
        for name in names:
            found.setdefault(files.identity(name), Listed(name))
    known = None if lists_a_bucket(config) else found
    try:
        check_tables(config, known)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    for line in remarks(config, known):
        print(f"capuchinbird: {line}", file=sys.stderr)
    return found


def check_moves(config: Config, run_id: str) -> tuple[Move, ...]:
    """The moves that are new. One that was told before and finds nothing to move is none.

    Raises:
        UsageError: the output holds nothing where recordings are said to have lain.
    """
    if not config.moved:
        return ()
    told = {(move.old, move.new) for move in read_moves(parts.ledger(config.output))}
    found: set[str] = set()
    for entry in entries.holding_entries(config.output):
        found |= {old for old, _ in config.moved if entry.identity.startswith(f"{old}/")}
    for old, new in config.moved:
        if old not in found and (old, new) not in told:
            raise UsageError(
                f"--moved {old}={new}: --output {config.output} holds no recording below {old}"
            )
    return tuple(Move(run_id, old, new) for old, new in config.moved if old in found)


def take_over_moved(run: Run, moves: tuple[Move, ...]) -> None:
    """Keeps moves, and notes for each part which others its recordings were in before."""
    output = run.output
    if not moves:
        return
    taken = set()
    for entry in entries.holding_entries(output):
        now = where_now(entry.identity, entry.row.run_id, moves)
        taken.add((parts.part_of(now), parts.part_of(entry.identity)))
    for part, older in sorted(taken):
        parts.take_over(output, part, older, run.run_id)
    write_moves(parts.ledger(output), run.run_id, [(move.old, move.new) for move in moves])


def lists_a_bucket(config: Config) -> bool:
    """Whether only the job will know which recordings there are."""
    return any(pattern.startswith("gs://") for pattern in config.inputs)


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
    """Makes sure that tables can be written; brings what an earlier version left into parts."""
    probe = files.join(output, ".writable")
    _refuse_other_tables(output)
    try:
        files.write_atomically(probe, [b""])
        files.delete_if_there(probe)
        migrate.into_parts(output)
    except OSError as error:
        raise UsageError(f"--output {output}: cannot write there ({error})") from None


def _refuse_other_tables(output: str) -> None:
    """Refuses to write over a counts.csv or calls.csv that no run has written."""
    for name in ("counts.csv", "calls.csv"):
        table = files.join(output, name)
        with suppress(OSError):
            header = files.read_beginning(table).partition(b"\n")[0].split(b",")
            if not {b"recording", b"run_id"} <= set(header):
                raise UsageError(
                    f"--output {output}: {name} there is not from this program and would be "
                    "overwritten; give another folder"
                )


def night_tables(run: Run, options: PipelineOptions) -> WriteNights | None:
    """What writes a night's tables to BigQuery, if that is asked for.

    Raises:
        UsageError: the tables are not there, or no bucket for the files to load.
    """
    config, counting, contract = run.config, run.counting, run.contract
    if config.bigquery is None or config.night is None:
        return None
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
    return _write_nights(config, options, config.night.isoformat(), row)


def nights_of_ledger(config: Config, options: PipelineOptions) -> WriteNights | None:
    """The same for whatever nights the recordings belong to that are counted again."""
    return _write_nights(config, options, "", None) if config.bigquery else None


def _write_nights(
    config: Config, options: PipelineOptions, night: str, row: RunSummary | None
) -> WriteNights:
    from pipeline.tables.bigquery import WriteNights, check_dataset

    temp = options.view_as(GoogleCloudOptions).temp_location or f"{config.output}/temp"
    if not temp.startswith("gs://"):
        raise UsageError(
            "--bigquery: loads files from a bucket; give --temp_location=gs://BUCKET/FOLDER"
        )
    connect_anonymously_to_emulator()
    assert config.bigquery
    check_dataset(config.bigquery)
    return WriteNights(config.bigquery, config.output, temp, night, row)
