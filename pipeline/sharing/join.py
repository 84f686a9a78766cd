"""Joining what shares have counted: the tables of all that an output holds, and one run.json."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

from pipeline.inference.model_folder import check_model
from pipeline.ledger import shares
from pipeline.ledger.runs import Note
from pipeline.options import UsageError, say
from pipeline.results.finish import end_run, exit_code
from pipeline.results.part_tables import PartTables
from pipeline.results.render import formats_in
from pipeline.results.run_report import summary
from pipeline.run import Run
from pipeline.storage import files
from pipeline.store.sums import Sums
from pipeline.tables.read import run_file

_UPDATES_AT_ONCE = 8


def join_output(output: str) -> int:
    """Joins an output's tables, and says which shares are missing.

    Returns:
        An exit code, see ``options.EXIT_CODES``.

    Raises:
        UsageError: no share was counted there.
    """
    cuts = shares.cuts(output)
    if not cuts and not files.exists(run_file(output)):
        raise UsageError(f"--output {output}: no share was counted there, so nothing to join")
    if not cuts:
        say(f"nothing to join: {output} holds the tables of a finished run")
        return 0
    runs = cuts[-1].runs
    config = shares.as_config(runs[-1].configuration)
    formats = tuple(dict.fromkeys([*config.formats, *formats_in(output)]))
    run = Run.of(replace(config, output=output, formats=formats), check_model(config.model))
    return join_shares(replace(run, started=datetime.fromisoformat(runs[0].started)), cuts[-1])


def join_shares(run: Run, cut: shares.Cut, *, keeps_records: bool = True) -> int:
    """Ends a run whose shares were counted by others. Returns an exit code.

    Args:
        run: of which the shares are; it has a name of its own.
        cut: its shares.
        keeps_records: even if none is missing: one of them may be counted again.
    """
    ended = cut.ended
    run.notes.start()
    for name in (run_file(run.config.output), run.output.page):
        files.delete_if_there(name)
    tables = PartTables(run.config.output, run.config.formats)
    with ThreadPoolExecutor(_UPDATES_AT_ONCE) as pool:
        list(pool.map(tables.update, sorted(set(tables.left_undone(run.run_id)))))
    remarks = dict.fromkeys(line for one in ended for line in one.remarks)
    report = replace(run.report, remarks=tuple(remarks), reference=run.reference())
    others: Counter[str] = Counter()
    for one in ended:
        others |= Counter(one.others)  # each share lists all
    kept = cut if keeps_records or cut.missing else None
    total = Sums.total(one.sums for one in ended)
    end_run(report, total, sum(one.inputs for one in ended), others, joined=kept)
    page = run.output.make_page() if run.config.report else ""
    written = run.notes.take(Note.REPORT)
    say(summary(run.config, written, page), run=written, report=page)
    return exit_code(run.config, written)
