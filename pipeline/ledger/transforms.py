"""Beam's part of the ledger: transforms that only wire."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from model.windows import Grid
from pipeline import progress
from pipeline.inference.count import Counted, Counting
from pipeline.inference.transforms import PLANS
from pipeline.inputs.versions import content_checksum
from pipeline.ledger import kept_scores as scores
from pipeline.ledger.entries import (
    Entry,
    can_be_counted_again,
    count_again,
    current,
    entry_of,
    identity_of,
    is_done,
    read_shard,
    resume,
    score_files,
    shards,
    with_moves,
    write_shard,
)
from pipeline.ledger.kept_scores import KeptSegment
from pipeline.records import (
    Failure,
    Listed,
    SegmentScores,
)

CALLS = "calls"
PROBE = "probe"
SHARDS = 4  # files that a run adds to the ledger, at most


class ReadState(beam.PTransform):
    """Anything once → the entry that holds for each recording, keyed by identity."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self._output = output

    def expand(self, after: beam.PCollection[object]) -> beam.PCollection[tuple[str, Entry]]:
        """The ledger is listed when the element arrives, not when the job is built."""
        output = self._output
        return (
            after
            | "List ledger" >> beam.FlatMap(lambda _: with_moves(output, shards))
            | "Share out shards" >> beam.Reshuffle()
            | "Read entries" >> beam.FlatMapTuple(read_shard)
            | "Group entries" >> beam.GroupByKey()
            | "Holding entry" >> beam.MapTuple(lambda identity, found: (identity, current(found)))
        )


class ReadScores(beam.PTransform):
    """(identity, …) of recordings → (identity, segment) that earlier runs kept of them.

    Args:
        output: the output folder.
        scoring: of these model and windows, see ``Counting.scoring``.
        with_unfinished: also what killed runs left.
    """

    def __init__(self, output: str, scoring: str, *, with_unfinished: bool) -> None:
        super().__init__()
        self._scoring = scoring
        self._output, self._list = output, score_files if with_unfinished else scores.kept_files

    def expand(
        self, recordings: beam.PCollection[tuple[str, Any]]
    ) -> beam.PCollection[tuple[str, KeptSegment]]:
        """Rows are read only from files that hold some of the recordings."""
        names = recordings | "Names" >> beam.Keys() | "All names" >> beam.combiners.ToSet()
        output, listed, scoring = self._output, self._list, self._scoring
        return (
            names
            | "List scores" >> beam.FlatMap(lambda _: with_moves(output, listed))
            | "Share out scores" >> beam.Reshuffle()
            | "Read scores"
            >> beam.FlatMap(
                lambda told, wanted: scores.read_of(told[0], told[1], wanted, scoring),
                beam.pvalue.AsSingleton(names),
            )
        )


class FindWork(beam.PTransform):
    """(state, recordings) → what remains to be done.

    Gives (recording, fact) for what is known already, among it ``Listed`` for all that are not
    done; plans of segments that lack scores, tagged ``PLANS``; recordings of which nothing is
    known, tagged ``PROBE``. A recording that is done gives nothing.
    """

    def __init__(
        self, output: str, counting: Counting, segment_samples: int, retry_failed: bool
    ) -> None:
        super().__init__()
        self._output, self._counting = output, counting
        self._segment_samples, self._retry_failed = segment_samples, retry_failed

    def expand(
        self, inputs: tuple[beam.PCollection[tuple[str, Entry]], beam.PCollection[Listed]]
    ) -> beam.pvalue.DoOutputsTuple:
        """Scores of earlier runs are looked up for recordings to be done only."""
        state, recordings = inputs
        keyed = recordings | "By identity" >> beam.WithKeys(identity_of)
        todo = (
            {"entries": state, "listed": keyed}
            | "Compare" >> beam.CoGroupByKey()
            | "Drop done" >> beam.ParDo(_DropDone(self._counting, self._retry_failed))
        )
        kept = todo | ReadScores(self._output, self._counting.scoring, with_unfinished=True)
        return (
            {"listed": todo, "kept": kept}
            | "Join scores" >> beam.CoGroupByKey()
            | "Resume"
            >> beam.ParDo(_Resume(self._counting.grid, self._segment_samples)).with_outputs(
                PLANS, PROBE, main="facts"
            )
        )


class _DropDone(beam.DoFn):
    def __init__(self, counting: Counting, retry_failed: bool) -> None:
        self._counting, self._retry_failed = counting, retry_failed

    def process(self, element: tuple[str, dict[str, Any]]) -> Iterator[tuple[str, Listed]]:
        identity, found = element
        entry = next(iter(found["entries"]), None)
        for listed in found["listed"]:
            if is_done(entry, listed, self._counting, self._retry_failed, content_checksum):
                Metrics.counter("recordings", "skipped").inc()
                progress.finish(files=1)
            else:
                yield identity, listed


class _Resume(beam.DoFn):
    def __init__(self, grid: Grid, segment_samples: int) -> None:
        self._sizes = grid, segment_samples

    def process(self, element: tuple[str, dict[str, Any]]) -> Iterator[object]:
        for listed in element[1]["listed"]:
            name = listed.recording
            yield name, listed
            known, plans = resume(listed, element[1]["kept"], *self._sizes)
            if not known:
                yield beam.pvalue.TaggedOutput(PROBE, listed)
                continue
            progress.finish(files=1 - sum(plan.share for plan in plans))
            for fact in known:
                yield name, fact
            for plan in plans:
                yield beam.pvalue.TaggedOutput(PLANS, plan)


class CountAgain(beam.PTransform):
    """(identity, entry) → recordings, counted from kept scores; those without are left out."""

    def __init__(self, output: str, counting: Counting) -> None:
        super().__init__()
        self._output, self._counting = output, counting

    def expand(self, state: beam.PCollection[tuple[str, Entry]]) -> beam.PCollection[Counted]:
        """What failed, was counted so already, or was scored otherwise stays as it is."""
        counting = self._counting
        changed = state | "Counted otherwise" >> beam.Filter(
            lambda known: can_be_counted_again(known[1], counting)
        )
        kept = changed | ReadScores(self._output, counting.scoring, with_unfinished=False)
        return (
            {"entries": changed, "kept": kept}
            | "Join scores" >> beam.CoGroupByKey()
            | "Count again"
            >> beam.FlatMapTuple(
                lambda _, found: (
                    counted
                    for entry in found["entries"]
                    for counted in count_again(entry, found["kept"], counting)
                )
            )
        )


class Commit(beam.PTransform):
    """Counted recordings → files of the ledger: scores first, for an entry says they are there."""

    def __init__(self, output: str, counting: Counting) -> None:
        super().__init__()
        self._output, self._counting = output, counting

    def expand(self, counted: beam.PCollection[Counted]) -> beam.PCollection[str]:
        """A few files whatever the size of the run."""
        return (
            counted
            | "Choose shard" >> beam.WithKeys(_shard)
            | "Group by shard" >> beam.GroupByKey()
            | "Write shard" >> beam.Map(_commit, self._output, self._counting)
        )


def _shard(counted: Counted) -> int:
    return zlib.crc32(identity_of(counted.listed).encode()) % SHARDS


def _commit(shard: tuple[int, Iterable[Counted]], output: str, counting: Counting) -> str:
    entries: list[Entry] = []
    segments: list[SegmentScores] = []
    for one in shard[1]:
        entries.append(entry_of(one, counting))
        segments += one.to_keep
    scores.write_finished(output, counting, segments)
    return write_shard(output, counting.run_id, entries)


class ReadTables(beam.PTransform):
    """Files of the ledger, just written → all rows of recordings, and of calls, tagged ``CALLS``.

    Rows of earlier runs are among them: the tables show the state, not the last run.
    """

    def __init__(self, output: str) -> None:
        super().__init__()
        self._output = output

    def expand(self, written: beam.PCollection[str]) -> beam.pvalue.DoOutputsTuple:
        """Waits for all of them; also an empty run gives the tables."""
        return (
            written
            | "All written" >> beam.combiners.Count.Globally()
            | "Read state" >> ReadState(self._output)
            | "Rows" >> beam.FlatMapTuple(_rows).with_outputs(CALLS, main="recordings")
        )


def _rows(identity: str, entry: Entry) -> Iterator[object]:
    yield entry.row
    for call in entry.calls:
        yield beam.pvalue.TaggedOutput(CALLS, call)


class KeepScores(beam.PTransform):
    """Passes (recording, scores or failure) on, and writes scores down every half minute.

    It is fused with what scores them: a crash loses half a minute of work, not the night's.
    """

    def __init__(self, output: str, counting: Counting) -> None:
        super().__init__()
        self._output, self._counting = output, counting

    def expand(
        self, scored: beam.PCollection[tuple[str, SegmentScores | Failure]]
    ) -> beam.PCollection[tuple[str, SegmentScores | Failure]]:
        """The same elements."""
        return scored | "Write down" >> beam.ParDo(_KeepScores(self._output, self._counting))


class _KeepScores(beam.DoFn):
    def __init__(self, output: str, counting: Counting) -> None:
        self._output, self._counting = output, counting

    def start_bundle(self) -> None:
        self._held: list[SegmentScores] = []
        self._since = time.monotonic()

    def process(
        self, element: tuple[str, SegmentScores | Failure]
    ) -> Iterable[tuple[str, SegmentScores | Failure]]:
        if isinstance(element[1], SegmentScores):
            self._held.append(element[1])
        if time.monotonic() - self._since > scores.FLUSH_S:
            self.finish_bundle()
        yield element

    def finish_bundle(self) -> None:
        scores.write_scores(scores.unfinished_folder(self._output), self._counting, self._held)
        self._held, self._since = [], time.monotonic()
