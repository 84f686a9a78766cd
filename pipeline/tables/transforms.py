"""Beam's part of the tables: transforms that only wire."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam

from pipeline.ledger import drift, parts, runs
from pipeline.ledger.moves import read_moves
from pipeline.ledger.runs import Note
from pipeline.ledger.sums import Sums
from pipeline.records import SCHEMA_VERSION
from pipeline.storage import files
from pipeline.tables.join import Output, join_tables
from pipeline.tables.pieces import LAYOUT, read_made, update_part, write_made
from pipeline.tables.run_report import RunReport, Totals

_KILLED_AFTER = timedelta(days=1)


class TooManyFailedError(Exception):
    """A larger share of the inputs failed than is allowed. All tables are written."""


class UpdateParts(beam.PTransform):
    """Parts that were added to or listed → how many there were, when the pieces of all are made.

    Where a run was killed, or another table is asked for than the last time, every part is looked
    at; one that is up to date costs a look.
    """

    def __init__(self, output: str, run_id: str, formats: tuple[str, ...]) -> None:
        super().__init__()
        self._output, self._run_id, self._formats = output, run_id, formats

    def expand(self, touched: beam.PCollection[str]) -> beam.PCollection[int]:
        """Waits for all parts that are to be added to."""
        left = (
            touched.pipeline
            | "Once" >> beam.Create([None])
            | "Left undone"
            >> beam.FlatMap(
                lambda _, *state: left_undone(*state), self._output, self._run_id, self._formats
            )
        )
        return (
            (touched, left)
            | "All parts" >> beam.Flatten()
            | "Each once" >> beam.Distinct()
            | "Share out parts" >> beam.Reshuffle()
            | "Update" >> beam.Map(_update, self._output, self._formats)
            | "All updated" >> beam.combiners.Count.Globally()
        )


def _update(part: str, output: str, formats: Sequence[str]) -> str:
    update_part(output, part, formats)
    return part


def left_undone(output: str, run_id: str, formats: Sequence[str]) -> Iterator[str]:
    """Parts whose pieces may not say what the ledger says, apart from those of this run."""
    made = read_made(output)
    wanted = _made(output, formats)
    same = all(made.get(name) == wanted[name] for name in ("layout", "schema", "moves"))
    there = made.get("formats")
    if runs.others(output, run_id) or not same or not set(formats) <= set(there or ()):
        yield from parts.all_parts(output)


def _made(output: str, formats: Sequence[str]) -> dict[str, Any]:
    """All that each part's pieces depend on, besides the part."""
    n_moves = len(read_moves(parts.ledger(output)))
    return {
        "layout": LAYOUT,
        "schema": SCHEMA_VERSION,
        "moves": n_moves,
        "formats": list(formats),
    }


class Finish(beam.PTransform):
    """How many parts were updated → the joined tables, run.json, and a failed job if need be.

    Args:
        output: the output folder.
        formats: tables for other programs.
        report: what run.json begins with; None for no run.json.
        gate: whether the job fails when too many of its inputs failed.
        recounts: whether all that the output holds is counted again; then what comes in are not
            the inputs of the run but the counts that changed.
    """

    def __init__(
        self,
        output: str,
        run_id: str,
        formats: tuple[str, ...],
        report: RunReport | None,
        *,
        gate: bool,
        recounts: bool,
    ) -> None:
        super().__init__()
        finish = _Recounted if recounts else _Counted
        self._finish = finish(output, run_id, formats, report)
        self._output, self._run_id, self._gate = output, run_id, gate

    def expand(
        self,
        ended: tuple[beam.PCollection[int], beam.PCollection[Sums], beam.PCollection[int]],
    ) -> None:
        """(parts updated, sums of the run, its inputs or changed counts): one each."""
        updated, *totals = ended
        problem = updated | "Join and report" >> beam.ParDo(
            self._finish, *map(beam.pvalue.AsSingleton, totals)
        )
        if self._gate:
            # Apart from the step before, which would be done again with it.
            _ = (
                problem
                | "All reported" >> beam.Reshuffle()
                | "Gate" >> beam.Map(_raise, self._output, self._run_id)
            )


def _raise(problem: str, output: str, run_id: str) -> None:
    runs.leave(output, run_id, Note.GATE, problem)
    raise TooManyFailedError(problem)


class _Finish(beam.DoFn):
    """Joins the tables, writes run.json and ends the run."""

    def __init__(
        self, output: str, run_id: str, formats: tuple[str, ...], report: RunReport | None
    ) -> None:
        self._output, self._run_id = output, run_id
        self._formats, self._report = formats, report

    def report(self, report: RunReport, held: Output, sums: Sums, n: int) -> dict[str, Any]:
        """Writes run.json of what was done and what the output holds."""
        raise NotImplementedError

    def process(self, _: int, sums: Sums, n: int) -> Iterator[str]:
        held = join_tables(self._output, self._formats, self._run_id)
        write_made(self._output, _made(self._output, self._formats))
        if self._report:
            written = self.report(self._report, held, sums, n)
            runs.leave(self._output, self._run_id, Note.REPORT, written)
            totals = Totals(**written["totals"])
            if totals.failed_fraction > self._report.config.max_failed_fraction:
                problem = (
                    f"{totals.outcomes['failed']:,} of {totals.inputs:,} recordings failed; see "
                    f"{files.join(self._output, 'failures.csv')}"
                )
                logging.getLogger(__name__).error("failures: %s", problem)
                yield problem
        oldest = f"{datetime.now(UTC) - _KILLED_AFTER:%Y%m%dT%H%M%S}"
        runs.forget_notes(self._output, oldest)
        before = [r for r in runs.others(self._output, self._run_id) if r < self._run_id]
        runs.end(self._output, [self._run_id, *(r for r in before if r < oldest)])


class _Counted(_Finish):
    """Of a run that counted recordings: ``n`` are its inputs."""

    def report(self, report: RunReport, held: Output, sums: Sums, n: int) -> dict[str, Any]:
        notes = drift.notes(sums.sites, report.reference)
        drift.warn(notes)
        return report.write(Totals.of(sums, n), held, notes)


class _Recounted(_Finish):
    """Of a run over all that the output holds: ``n`` are the counts that changed."""

    def report(self, report: RunReport, held: Output, sums: Sums, n: int) -> dict[str, Any]:
        return report.write(Totals.of(sums, held.sums.recordings), held, changed=n)
