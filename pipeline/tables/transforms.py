"""Beam's part of the tables: transforms that only wire."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam

from pipeline.ledger import drift
from pipeline.ledger.runs import Note, RunNotes
from pipeline.ledger.sums import Sums
from pipeline.storage import files
from pipeline.tables.join import Holdings, join_tables
from pipeline.tables.pieces import Pieces
from pipeline.tables.run_report import RunReport, Totals

_KILLED_AFTER = timedelta(days=1)


class TooManyFailedError(Exception):
    """A larger share of the inputs failed than is allowed. All tables are written."""


class UpdateParts(beam.PTransform):
    """Parts that were added to or listed → how many there were, when the pieces of all are made.

    Where a run was killed, or another table is asked for than the last time, every part is looked
    at; one that is up to date costs a look.
    """

    def __init__(self, pieces: Pieces, run_id: str) -> None:
        super().__init__()
        self._pieces, self._run_id = pieces, run_id

    def expand(self, touched: beam.PCollection[str]) -> beam.PCollection[int]:
        """Waits for all parts that are to be added to."""
        pieces = self._pieces
        left = (
            touched.pipeline
            | "Once" >> beam.Create([self._run_id])
            | "Left undone" >> beam.FlatMap(pieces.left_undone)
        )
        return (
            (touched, left)
            | "All parts" >> beam.Flatten()
            | "Each once" >> beam.Distinct()
            | "Share out parts" >> beam.Reshuffle()
            | "Update" >> beam.Map(_update, pieces)
            | "All updated" >> beam.combiners.Count.Globally()
        )


def _update(part: str, pieces: Pieces) -> str:
    pieces.update(part)
    return part


class Finish(beam.PTransform):
    """How many parts were updated → the joined tables, run.json, and a failed job if need be.

    Args:
        report: what run.json begins with.
        others: how many files were passed over, by kind.
        gate: whether the job fails when too many of its inputs failed.
        recounts: whether all that the output holds is counted again; then what comes in are not
            the inputs of the run but the counts that changed.
    """

    def __init__(
        self,
        report: RunReport,
        others: beam.PCollection[tuple[str, int]] | None = None,
        *,
        gate: bool,
        recounts: bool,
    ) -> None:
        super().__init__()
        self._others = others
        self._finish = _Finish(report, recounts=recounts)
        self._notes, self._gate = RunNotes(report.config.output, report.counting.run_id), gate

    def expand(
        self,
        ended: tuple[beam.PCollection[int], beam.PCollection[Sums], beam.PCollection[int]],
    ) -> None:
        """(parts updated, sums of the run, its inputs or changed counts): one each."""
        updated, *totals = ended
        others = {} if self._others is None else beam.pvalue.AsDict(self._others)
        problem = updated | "Join and report" >> beam.ParDo(
            self._finish, *map(beam.pvalue.AsSingleton, totals), others
        )
        if self._gate:
            # Apart from the step before, which would be done again with it.
            _ = (
                problem
                | "All reported" >> beam.Reshuffle()
                | "Gate" >> beam.Map(_raise, self._notes)
            )


def _raise(problem: str, notes: RunNotes) -> None:
    notes.leave(Note.GATE, problem)
    raise TooManyFailedError(problem)


class _Finish(beam.DoFn):
    """Joins the tables, writes run.json and ends the run."""

    def __init__(self, report: RunReport, *, recounts: bool) -> None:
        self._report, self._recounts = report, recounts

    def process(self, _: int, sums: Sums, n: int, others: Mapping[str, int]) -> Iterator[str]:
        config, run_id = self._report.config, self._report.counting.run_id
        notes = RunNotes(config.output, run_id)
        pieces = Pieces(config.output, config.formats)
        holdings = join_tables(pieces, run_id)
        pieces.write_made()
        written = self._write(holdings, sums, n, others)
        notes.leave(Note.REPORT, written)
        totals = Totals(**written["totals"])
        if totals.failed_fraction > config.max_failed_fraction:
            problem = (
                f"{totals.outcomes['failed']:,} of {totals.inputs:,} recordings failed; see "
                f"{files.join(config.output, 'failures.csv')}"
            )
            logging.getLogger(__name__).error("failures: %s", problem)
            yield problem
        oldest = f"{datetime.now(UTC) - _KILLED_AFTER:%Y%m%dT%H%M%S}"
        notes.forget_notes(oldest)
        notes.end(r for r in notes.others() if r < min(oldest, run_id))

    def _write(
        self, holdings: Holdings, sums: Sums, n: int, others: Mapping[str, int]
    ) -> dict[str, Any]:
        """Writes run.json. ``n`` are the run's inputs, or the counts that changed."""
        if self._recounts:
            totals = Totals.of(sums, holdings.sums.recordings)
            return self._report.write(totals, holdings, changed=n)
        drifts = drift.notes(sums.sites, self._report.reference)
        drift.warn(drifts)
        return self._report.write(Totals.of(sums, n), holdings, drifts, others)
