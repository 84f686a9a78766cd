"""Beam's part of the tables: transforms that only wire."""

from __future__ import annotations

from collections.abc import Mapping

import apache_beam as beam
from apache_beam.pvalue import AsDict, AsSingleton

from pipeline.ledger.runs import Note, RunNotes
from pipeline.results.finish import end_run, end_share
from pipeline.results.part_tables import PartTables
from pipeline.results.run_report import RunReport
from pipeline.store.sums import Sums

Ended = tuple[beam.PCollection[int], beam.PCollection[Sums], beam.PCollection[int]]


class TooManyFailedError(Exception):
    """A larger share of the inputs failed than is allowed. All tables are written."""


class UpdateParts(beam.PTransform):
    """Parts that were added to or listed → how many there were, when the files of all are made.

    Where a run was killed, or another table is asked for than the last time, every part is looked
    at; one that is up to date costs a look.
    """

    def __init__(self, tables: PartTables, run_id: str, *, and_what_is_left: bool = True) -> None:
        super().__init__()
        self._tables, self._runs = tables, [run_id] if and_what_is_left else []

    def expand(self, touched: beam.PCollection[str]) -> beam.PCollection[int]:
        """Waits for all parts that are to be added to."""
        tables = self._tables
        left = (
            touched.pipeline
            | "Once" >> beam.Create(self._runs)
            | "Left undone" >> beam.FlatMap(tables.left_undone)
        )
        return (
            (touched, left)
            | "All parts" >> beam.Flatten()
            | "Each once" >> beam.Distinct()
            | "Share out parts" >> beam.Reshuffle()
            | "Update" >> beam.Map(_update, tables)
            | "All updated" >> beam.combiners.Count.Globally()
        )


def _update(part: str, tables: PartTables) -> str:
    tables.update(part)
    return part


class Finish(beam.PTransform):
    """(Parts updated, sums of the run, its inputs) → joined tables, run.json, perhaps a failed job.

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
        self._report, self._others = report, others
        self._gate, self._recounts = gate, recounts

    def expand(self, ended: Ended) -> None:
        """Of what comes in there is one each."""
        updated, *totals = ended
        others = {} if self._others is None else AsDict(self._others)
        problem = updated | "Join and report" >> beam.FlatMap(
            _end_run, self._report, *map(AsSingleton, totals), others, recounts=self._recounts
        )
        if self._gate:
            notes = RunNotes(self._report.config.output, self._report.counting.run_id)
            # Apart from the step before, which would be done again with it.
            _ = problem | "All reported" >> beam.Reshuffle() | "Gate" >> beam.Map(_raise, notes)


def _end_run(
    _: int,
    report: RunReport,
    sums: Sums,
    n: int,
    others: Mapping[str, int],
    *,
    recounts: bool,
) -> list[str]:
    problem = end_run(report, sums, n, others, recounts=recounts)
    return [problem] if problem else []


def _raise(problem: str, notes: RunNotes) -> None:
    notes.leave(Note.GATE, problem)
    raise TooManyFailedError(problem)


def leave_record(
    ended: Ended,
    report: RunReport,
    others: beam.PCollection[tuple[str, int]],
    listing: beam.PCollection[tuple[str, int]],
) -> None:
    """Leaves the record of a share, for the run that joins.

    Args:
        ended: parts updated, sums of the run, its inputs: one each.
        report: what run.json would begin with.
        others: how many files were passed over, by kind.
        listing: what the share was cut from.
    """
    updated, *totals = ended
    aside = (*map(AsSingleton, (*totals, listing)), AsDict(others))
    _ = updated | "Leave record" >> beam.Map(lambda _, *of_run: end_share(*of_run), report, *aside)
