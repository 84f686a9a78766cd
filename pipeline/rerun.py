"""A run that finds nothing to do: told at once, without a job and without what jobs need.

Nothing is guessed. The ledger must hold each recording as it is now, counted as it is to be counted
now, and each table must be, byte for byte, what the ledger says. Else there is something to do.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from model.contract import ServingContract
from pipeline.inference.count import Counting
from pipeline.inputs import versions
from pipeline.inputs.manifests import list_recordings, read_manifest, remarks
from pipeline.ledger import entries, migrate, parts, runs
from pipeline.ledger import kept_scores as scores
from pipeline.ledger.entries import Entry
from pipeline.ledger.sums import Sums
from pipeline.model_folder import check_model
from pipeline.options import Config, UsageError
from pipeline.records import Listed
from pipeline.storage import files
from pipeline.tables.join import Output
from pipeline.tables.render import all_tables
from pipeline.tables.run_report import RunReport, Totals, new_run_id, run_file, summary

LARGEST_LEDGER_BYTES = 32 * 1024 * 1024
"""A larger ledger is compared by a job, on all cores."""


def done_already(config: Config) -> int | None:
    """Ends a run that has nothing to do, as the job would have ended it.

    Returns:
        An exit code; None when there may be something to do or to refuse, and nothing was changed.
    """
    started = datetime.now(UTC)
    logging.disable(logging.WARNING)  # what cannot be read, the job reports
    try:
        if not _is_simple(config):
            return None
        contract = check_model(config.model)
        config, _ = runs.as_chosen(config, contract.model_version)
        counting = Counting.of(config, contract, new_run_id(started))
        listed = list_recordings(config)
        state = entries.read_state(config.output)
        if not _all_done(listed, state, counting, config) or not _current(config, state):
            return None
    except (OSError, ValueError, UsageError):
        return None  # the launcher says what is wrong
    finally:
        logging.disable(logging.NOTSET)
    return _end(config, contract, counting, started, listed, state)


def _is_simple(config: Config) -> bool:
    """Whether everything lies on this machine and nothing but tables is asked for."""
    named = [*config.inputs, *config.manifests, config.model, config.output]
    special = (
        config.beam_args, config.plan, config.no_wait, config.bigquery, config.max_cost,
        config.moved,
    )  # fmt: skip
    if any(special) or not all(map(files.is_local, [*named, config.deployments or ""])):
        return False
    if not os.path.exists(run_file(config.output)) or migrate.is_old(config.output):
        return False
    left = LARGEST_LEDGER_BYTES
    for shard in files.list_below(parts.ledger(config.output), ".jsonl.gz"):
        left -= os.path.getsize(shard)
        if left < 0:
            return False
    finds_some = all(map(files.expand, config.inputs)) and all(
        any(True for _ in read_manifest(manifest)) for manifest in config.manifests
    )
    return finds_some or config.allow_empty


def _all_done(
    listed: Sequence[Listed], state: dict[str, Entry], counting: Counting, config: Config
) -> bool:
    return all(
        files.is_local(known.recording)
        and entries.is_done(
            state.get(entries.identity_of(known)),
            known,
            counting,
            config.retry_failed,
            versions.content_checksum,
        )
        for known in listed
    )


def _current(config: Config, state: dict[str, Entry]) -> bool:
    """Whether tables and page are there and say what the ledger says."""
    for table, content in all_tables(state, config.formats):
        name = files.join(config.output, table)
        if content is None:
            if files.exists(name):
                return False
        elif files.read_bytes(name) != content:
            return False
    page, counts = (files.join(config.output, name) for name in ("report.html", "counts.csv"))
    if not config.report:
        return not files.exists(page)
    return os.path.getmtime(page) >= os.path.getmtime(counts)


def _end(
    config: Config,
    contract: ServingContract,
    counting: Counting,
    started: datetime,
    listed: Sequence[Listed],
    state: dict[str, Entry],
) -> int:
    totals, found = Totals.of(Sums(), len(listed)), Output(Sums.of(state.values()))
    for name in scores.unfinished_files(config.output):
        if entries.is_to_be_tidied(name, counting.run_id):
            files.delete_if_there(name)
    report = RunReport(config, counting, contract, started).write(totals, found)
    for line in remarks(config, [known.identity for known in listed]):
        print(f"capuchinbird: {line}", file=sys.stderr)
    page = files.join(config.output, "report.html") if config.report else ""
    print(summary(config, report, page))
    return 0
