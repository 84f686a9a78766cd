"""A run with nothing to do ends at once, without a job and without the libraries of jobs.

This module guesses nothing. The ledger must hold each recording as it is now, counted with the
run's settings, and each table must equal, byte for byte, the table that the ledger gives. Otherwise
there is something to do.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import islice

from pipeline.inputs import versions
from pipeline.inputs.named import MOST_OBJECTS
from pipeline.inputs.sheets import read_text
from pipeline.ledger import shares, sites
from pipeline.ledger.known_copies import marked_by_ledger
from pipeline.ledger.left_behind import left_behind
from pipeline.options import Config, UsageError, say
from pipeline.records import Listed
from pipeline.results.finish import exit_code, with_shares
from pipeline.results.join import Holdings
from pipeline.results.render import all_tables
from pipeline.results.run_report import Totals, summary
from pipeline.run import Run
from pipeline.storage import files
from pipeline.store import entries, parts
from pipeline.store.entries import Entry
from pipeline.store.sums import Sums
from pipeline.tables.read import run_file

LARGEST_LEDGER_BYTES = 32 * 1024 * 1024
"""A larger ledger is compared by a job, on all cores."""
_Files = Mapping[str, files.Stored]
"""The files of an output, by name."""


def done_already(run: Run) -> int | None:
    """Ends a run that has nothing to do, as the job would have ended it.

    Returns:
        An exit code; None when there may be something to do or to refuse, and nothing was changed.
    """
    config = run.config
    logging.disable(logging.WARNING)  # what cannot be read, the job reports
    try:
        if not _is_simple(config):
            return None
        there = _files_of(config.output)
        if there is None:
            return None
        state = run.output.ledger().state()
        if not _current(config, state, there):
            return None
        listed = run.recordings.few()
        if listed is None or not _all_done(_with_copies_marked(listed, state, config), state, run):
            return None
    except (OSError, ValueError, UsageError):
        return None  # the launcher says what is wrong
    finally:
        logging.disable(logging.NOTSET)
    return _end(run, listed, state)


def _is_simple(config: Config) -> bool:
    """Whether nothing but tables is asked for, of recordings that are cheap to look up."""
    special = (
        config.beam_args, config.plan, config.no_wait, config.bigquery, config.max_cost,
        config.moved,
    )  # fmt: skip
    # Each object that a manifest names is a request: the job shares them out.
    return not any(special) and all(
        files.is_local(m) and "gs://" not in read_text(m) for m in config.manifests
    )


def _files_of(output: str) -> dict[str, files.Stored] | None:
    """The files of an output that a run has ended in; None if it is large."""
    at_most = None if files.is_local(output) else MOST_OBJECTS + 1
    there = dict(islice(files.stored_below(output), at_most))
    if len(there) == at_most or run_file(output) not in there:
        return None
    ledger = f"{parts.ledger(output)}/"
    shards = (n for n in there if n.startswith(ledger) and n.endswith(".jsonl.gz"))
    return there if sum(there[name].size for name in shards) <= LARGEST_LEDGER_BYTES else None


def _with_copies_marked(
    listed: Sequence[Listed], state: Mapping[str, Entry], config: Config
) -> Sequence[Listed]:
    """The recordings, copies of others marked, also of such as nobody names now."""
    if config.keep_copies:
        return listed
    of = {entries.identity_of(one): one for one in listed}
    return list(marked_by_ledger(of, state, {}, state.get).values())


def _all_done(listed: Sequence[Listed], state: Mapping[str, Entry], run: Run) -> bool:
    def is_done(one: Listed) -> bool:
        entry = state.get(entries.identity_of(one))
        if run.config.keeps_places:
            one = entries.with_kept_place(one, entry)
        retries = run.config.retry_failed
        return entries.is_done(entry, one, run.counting, retries, versions.content_checksum)

    return all(map(is_done, listed))


def _current(config: Config, state: Mapping[str, Entry], there: _Files) -> bool:
    """Whether tables and page are there and say what the ledger says."""
    for table, content in all_tables(state, config.formats):
        name = files.join(config.output, table)
        if content is None:
            if name in there:
                return False
        elif name not in there or not _holds(name, there[name], content):
            return False
    page, counts = (files.join(config.output, name) for name in ("report.html", "counts.csv"))
    if not config.report:
        return page not in there
    return page in there and there[page].written_s >= there[counts].written_s


def _holds(name: str, stored: files.Stored, content: bytes) -> bool:
    """Whether a file has this content; of an object in a bucket, unread."""
    if stored.size != len(content):
        return False
    if stored.checksum:
        return stored.checksum == files.checksum([content])
    return files.read_bytes(name) == content


def _end(run: Run, listed: Sequence[Listed], state: Mapping[str, Entry]) -> int:
    config = run.config
    totals, holdings = Totals.of(Sums(), len(listed)), Holdings(Sums.of(state.values()))
    for name in left_behind(config.output, run.run_id):
        files.delete_if_there(name)
    sites.keep(run.config, run.run_id)
    run.say_remark()
    run.recordings.say_remarks([one.identity for one in listed])
    records = shares.record_files(config.output)
    left = shares.outstanding(config.output, shares.named_of(config))
    run_report = with_shares(run.report, left)
    of_shares = [one.to_json() for one in left]
    report = run_report.write(totals, holdings, others=run.recordings.others, shares=of_shares)
    shares.forget(records, left)
    page = run.output.page if config.report else ""
    say(summary(config, report, page), run=report, report=page)
    return exit_code(config, report)
