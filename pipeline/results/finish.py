"""The end of a run: tables joined, run.json written, notes of runs put away."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.ledger import drift, shares
from pipeline.ledger.runs import Note, RunNotes
from pipeline.options import Config
from pipeline.results.join import join_tables
from pipeline.results.part_tables import PartTables
from pipeline.results.run_report import RunReport, Totals
from pipeline.storage import files
from pipeline.store.sums import Sums

_KILLED_AFTER = timedelta(days=1)


def end_run(
    report: RunReport,
    sums: Sums,
    n: int,
    others: Mapping[str, int],
    *,
    recounts: bool = False,
    joined: shares.Cut | None = None,
) -> str:
    """Joins the tables, writes run.json and ends the run. Returns what is wrong if many failed.

    Args:
        report: what run.json begins with.
        sums: of what was counted.
        n: inputs of the run, or counts that changed.
        others: how many files were passed over, by kind.
        recounts: whether all that the output holds was counted again.
        joined: the shares that this is the end of, if some are missing or may be counted again.
    """
    config, run_id = report.config, report.counting.run_id
    notes = RunNotes(config.output, run_id)
    tables = PartTables(config.output, config.formats)
    records = shares.record_files(config.output)
    left = shares.outstanding(config.output, shares.named_of(config))
    if joined:
        left.append(joined)
    holdings = join_tables(tables, run_id)
    tables.write_made()
    drifts = [] if recounts else drift.notes(sums.sites, report.reference)
    drift.warn(drifts)
    written = with_shares(report, left).write(
        Totals.of(sums, holdings.sums.recordings if recounts else n),
        holdings,
        drifts,
        others,
        shares=[one.to_json() for one in left],
        **({"changed": n} if recounts else {}),
    )
    notes.leave(Note.REPORT, written)
    problem = ""
    totals = Totals(**written["totals"])
    if totals.failed_fraction > config.max_failed_fraction:
        problem = (
            f"{totals.outcomes['failed']:,} of {totals.inputs:,} recordings failed; see "
            f"{files.join(config.output, 'failures.csv')}"
        )
        logging.getLogger(__name__).error("failures: %s", problem)
    oldest = f"{datetime.now(UTC) - _KILLED_AFTER:%Y%m%dT%H%M%S}"
    notes.forget_notes(oldest)
    if not recounts:
        shares.forget(records, left, min(oldest, run_id))
    notes.end(r for r in notes.others() if r < min(oldest, run_id))
    return problem


def end_share(
    report: RunReport,
    sums: Sums,
    n_inputs: int,
    listing: tuple[str, int],
    others: Mapping[str, int],
) -> None:
    """Ends a run that counted a share: leaves its record, and joins nothing.

    Args:
        report: what run.json would begin with.
        sums: of what was counted.
        n_inputs: recordings of the share.
        listing: digest and length of what the share was cut from.
        others: how many files were passed over in it, by kind.
    """
    config, counting = report.config, report.counting
    begun = shares.Record.begun(config, counting, report.started)
    record = replace(
        begun,
        finished=datetime.now(UTC).isoformat(),
        listing=listing[0],
        n_listed=listing[1],
        inputs=n_inputs,
        sums=sums,
        others=others,
        remarks=report.remarks,
    )
    record.write(config.output)
    notes = RunNotes(config.output, counting.run_id)
    notes.leave(Note.REPORT, {"share": record.share, "totals": asdict(Totals.of(sums, n_inputs))})
    notes.end()


def with_shares(report: RunReport, cuts: list[shares.Cut]) -> RunReport:
    """The same with a remark on each cut of which shares are missing."""
    said = filter(None, (shares.missing_in_words(one.to_json()) for one in cuts))
    return replace(report, remarks=(*report.remarks, *said))


def exit_code(config: Config, written: Mapping[str, Any]) -> int:
    """That of a run by its run.json: 1 where shares are missing, 3 where too many failed."""
    too_many = Totals(**written["totals"]).failed_fraction > config.max_failed_fraction
    return 1 if lacks_shares(written) else 3 if too_many else 0


def lacks_shares(written: Mapping[str, Any]) -> bool:
    """Whether shares are missing by a run.json. Says which on stderr."""
    missing = list(filter(None, map(shares.missing_in_words, written["shares"])))
    for line in missing:
        print(f"capuchinbird: {line}", file=sys.stderr)
    return bool(missing)
