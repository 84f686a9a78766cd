"""Beam's part of the tables: transforms that only wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import apache_beam as beam

from pipeline.ledger.runs import Note, RunNotes
from pipeline.results.finish import end_run, end_share
from pipeline.results.part_tables import PartTables
from pipeline.results.run_report import RunReport
from pipeline.store.sums import Sums


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
        if problem := end_run(self._report, sums, n, others, recounts=self._recounts):
            yield problem


class FinishShare(beam.PTransform):
    """How many parts were updated → the record of a share, for the run that joins.

    Args:
        report: what run.json would begin with.
        others: how many files were passed over, by kind.
        listing: what the share was cut from.
    """

    def __init__(
        self,
        report: RunReport,
        others: beam.PCollection[tuple[str, int]],
        listing: beam.PCollection[tuple[str, int]],
    ) -> None:
        super().__init__()
        self._report, self._aside = report, (others, listing)

    def expand(
        self,
        ended: tuple[beam.PCollection[int], beam.PCollection[Sums], beam.PCollection[int]],
    ) -> None:
        """(parts updated, sums of the run, its inputs): one each."""
        updated, *totals = ended
        others, listing = self._aside
        _ = updated | "Leave record" >> beam.Map(
            lambda _, *of_run: end_share(*of_run),
            self._report,
            *map(beam.pvalue.AsSingleton, (*totals, listing)),
            beam.pvalue.AsDict(others),
        )
