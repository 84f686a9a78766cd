"""Beam's part of the ledger: transforms that only wire."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline import progress
from pipeline.inference.count import Counted, Counting
from pipeline.inference.transforms import PLANS
from pipeline.ledger import kept_scores as scores
from pipeline.ledger.entries import (
    Entry,
    current,
    entry_of,
    is_done,
    read_lines,
    score_files,
    shards,
    take_up,
    write_shard,
)
from pipeline.ledger.kept_scores import _unfinished, _write
from pipeline.records import (
    Failure,
    Listed,
    Outcome,
    SegmentScores,
)
from pipeline.storage import files

CALLS = "calls"


SHARDS = 4  # files that a run adds to the ledger, at most


class ReadState(beam.PTransform):
    """Anything once → the entry that holds for each recording, keyed by identity."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self._output = output

    def expand(self, after: beam.PCollection[object]) -> beam.PCollection[tuple[str, Entry]]:
        """The ledger is listed when the element arrives, not when the job is built."""
        return (
            after
            | "List ledger" >> beam.FlatMap(lambda _, output=self._output: shards(output))
            | "Share out shards" >> beam.Reshuffle()
            | "Read entries" >> beam.FlatMap(read_lines)
            | "Group entries" >> beam.GroupByKey()
            | "Holding entry" >> beam.MapTuple(lambda identity, lines: (identity, current(lines)))
        )


PROBE = "probe"


class TakeUp(beam.PTransform):
    """(state, recordings) → what remains to be done.

    Gives (recording, evidence) for what is known already, of ``Listed`` for all that are not done;
    plans of segments that lack scores, tagged ``PLANS``; recordings to begin with, tagged
    ``PROBE``. A recording that is done gives nothing.
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
        """Scores are read only from files that hold some of a recording to be done."""
        state, recordings = inputs
        keyed = recordings | "By identity" >> beam.WithKeys(
            lambda listed: files.identity(listed.recording)
        )
        todo = (
            {"entries": state, "listed": keyed}
            | "Compare" >> beam.CoGroupByKey()
            | "Drop done" >> beam.ParDo(_DropDone(self._counting, self._retry_failed))
        )
        names = todo | "Names" >> beam.Keys() | "All names" >> beam.combiners.ToSet()
        kept = (
            names
            | "List scores" >> beam.FlatMap(lambda _, output=self._output: score_files(output))
            | "Share out scores" >> beam.Reshuffle()
            | "Read scores"
            >> beam.FlatMap(
                scores.read_of,
                beam.pvalue.AsSingleton(names),
                scoring=self._counting.scoring,
            )
        )
        return (
            {"listed": todo, "kept": kept}
            | "Join scores" >> beam.CoGroupByKey()
            | "Take up"
            >> beam.ParDo(_TakeUp(self._counting.hop_samples, self._segment_samples)).with_outputs(
                PLANS, PROBE, main="evidence"
            )
        )


class _DropDone(beam.DoFn):
    def __init__(self, counting: Counting, retry_failed: bool) -> None:
        self._counting, self._retry_failed = counting, retry_failed

    def process(self, element: tuple[str, dict[str, Any]]) -> Iterator[tuple[str, Listed]]:
        from pipeline.inputs.versions import content_checksum

        identity, found = element
        entry = next(iter(found["entries"]), None)
        for listed in found["listed"]:
            if is_done(entry, listed, self._counting, self._retry_failed, content_checksum):
                Metrics.counter("recordings", Outcome.SKIPPED.value).inc()
                progress.finish(files=1)
            else:
                yield identity, listed


class _TakeUp(beam.DoFn):
    def __init__(self, hop_samples: int, segment_samples: int) -> None:
        self._sizes = hop_samples, segment_samples

    def process(self, element: tuple[str, dict[str, Any]]) -> Iterator[object]:
        for listed in element[1]["listed"]:
            name = listed.recording
            yield name, listed
            known, plans = take_up(listed, element[1]["kept"], *self._sizes)
            if not known:
                yield beam.pvalue.TaggedOutput(PROBE, listed)
                continue
            progress.finish(files=1 - sum(plan.share for plan in plans))
            for evidence in known:
                yield name, evidence
            for plan in plans:
                yield beam.pvalue.TaggedOutput(PLANS, plan)


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
    return zlib.crc32(files.identity(counted.listed.recording).encode()) % SHARDS


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


FLUSH_S = 30.0
"""How much work of a thread a crash may lose, in seconds."""


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
        if isinstance(element[1], SegmentScores) and element[1].origin:
            self._held.append(element[1])
        if time.monotonic() - self._since > FLUSH_S:
            self.finish_bundle()
        yield element

    def finish_bundle(self) -> None:
        _write(_unfinished(self._output), self._counting, self._held)
        self._held, self._since = [], time.monotonic()
