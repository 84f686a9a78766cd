"""Beam's part of the ledger: transforms that only wire."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from model.windows import samples_from_seconds
from pipeline import progress
from pipeline.inference.count import Counted, Counting
from pipeline.inference.transforms import PLANS
from pipeline.inputs.transforms import OTHERS
from pipeline.inputs.versions import content_checksum
from pipeline.ledger import identity, nights
from pipeline.ledger.known_copies import marked_by_ledger
from pipeline.ledger.left_behind import left_behind
from pipeline.ledger.runs import Note, RunNotes
from pipeline.ledger.shares import list_share
from pipeline.options import Config
from pipeline.records import (
    Failure,
    Listed,
    SegmentScores,
)
from pipeline.storage import files
from pipeline.store import parts, scores, traces
from pipeline.store.entries import (
    Entry,
    can_be_counted_again,
    count_again,
    entry_of,
    identity_of,
    is_done,
    resume,
    with_kept_place,
    write_shard,
)
from pipeline.store.ledger import Ledger
from pipeline.store.moves import Moves, read_moves
from pipeline.store.scores import KeptSegment
from pipeline.store.sums import Sums

PROBE = "probe"
PARTS = "parts"
SUMS = "sums"
CHANGED = "changed"
LISTING = "listing"


class MatchShare(beam.PTransform):
    """Root → recordings of a share; files passed over, by kind; what the share was cut from."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._config = config

    def expand(
        self, root: beam.Pipeline
    ) -> tuple[
        beam.PCollection[Listed],
        beam.PCollection[tuple[str, int]],
        beam.PCollection[tuple[str, int]],
    ]:
        """One worker lists; that takes microseconds a recording, where a job takes milliseconds."""
        of = root | "Once" >> beam.Create([self._config], reshuffle=False)
        found = of | "List" >> beam.FlatMap(_list_share).with_outputs(OTHERS, LISTING, main="own")
        return found.own | "Share out" >> beam.Reshuffle(), found[OTHERS], found[LISTING]


def _list_share(config: Config) -> Iterator[object]:
    listed = list_share(config)
    for kind, n in listed.others.items():
        yield beam.pvalue.TaggedOutput(OTHERS, (kind, n))
    yield beam.pvalue.TaggedOutput(LISTING, (listed.listing, listed.n_listed))
    Metrics.counter("recordings", "listed").inc(len(listed.recordings))
    progress.advance(listed=len(listed.recordings))
    yield from listed.recordings


class FindWork(beam.PTransform):
    """Recordings → what remains to be done, part by part.

    Gives (recording, fact) for facts in the ledger, and ``Listed`` for all recordings that are not
    done; plans of segments that lack scores, tagged ``PLANS``; recordings without any fact,
    tagged ``PROBE``; (part, how many of its recordings were listed), tagged ``PARTS``. A
    recording that is done gives nothing else.

    Args:
        config: what was asked.
        counting: how to count.
        night: to keep the recordings as a night's, ISO 8601; may be empty.
    """

    def __init__(self, config: Config, counting: Counting, night: str = "") -> None:
        super().__init__()
        self._output, self._scoring = config.output, counting.scoring
        self._find = _FindWork(config, counting, night)

    def expand(self, recordings: beam.PCollection[Listed]) -> beam.pvalue.DoOutputsTuple:
        """A part's files are read only where its recordings were listed."""
        listed = recordings | "By part" >> beam.WithKeys(
            lambda one: parts.part_of(identity_of(one))
        )
        output, scoring = self._output, self._scoring
        unfinished = (
            recordings.pipeline
            | "Once" >> beam.Create([None])
            | "List unfinished" >> beam.FlatMap(lambda _: _unfinished(output))
            | "Share out unfinished" >> beam.Reshuffle()
            | "Read unfinished" >> beam.FlatMap(_read_unfinished, scoring)
        )
        return (
            {"listed": listed, "unfinished": unfinished}
            | "Join by part" >> beam.CoGroupByKey()
            | "Find" >> beam.ParDo(self._find).with_outputs(PLANS, PROBE, PARTS, main="facts")
        )


def _unfinished(output: str) -> list[tuple[str, Moves]]:
    moves = read_moves(parts.ledger(output))
    return [(name, moves) for name in scores.unfinished_files(output)]


def _read_unfinished(
    listed: tuple[str, Moves], scoring: str
) -> Iterator[tuple[str, tuple[str, KeptSegment]]]:
    name, moves = listed
    for of, segment in scores.read_of(name, moves, None, scoring):
        yield parts.part_of(of), (of, segment)


class _FindWork(beam.DoFn):
    def __init__(self, config: Config, counting: Counting, night: str) -> None:
        self._config, self._counting, self._night = config, counting, night
        self._output = config.output
        self._bases: list[str] = []
        self._has_traces = False
        self._of_night: list[str] = []

    def start_bundle(self) -> None:
        self._ledger = Ledger(self._output)
        self._bases = identity.read_bases(self._output)
        self._has_traces = traces.are_kept(self._output)
        if self._night:
            self._of_night = nights.files_of_night(self._output, self._night)

    def process(self, element: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[object]:
        part, of_part = element
        listed = {identity_of(one): one for one in of_part["listed"]}
        if listed:  # else it is what a killed run left of recordings that are not asked for now
            yield from self._look(part, listed, of_part["unfinished"])

    def _look(
        self,
        part: str,
        listed: dict[str, Listed],
        unfinished: Iterable[tuple[str, KeptSegment]],
    ) -> Iterator[object]:
        there = parts.look(self._output, part)
        state = self._ledger.read(there)
        try:
            elsewhere = identity.check_part(
                *(self._output, part, state, listed, self._bases),
                self._ledger.part,
                may_have_moved=self._has_traces,
            )
        except identity.IdentityError as error:
            RunNotes(self._output, self._counting.run_id).leave(Note.REFUSAL, str(error))
            raise
        identity.add_base(self._output, listed.values(), self._bases)
        if self._config.keeps_places:
            listed = {of: with_kept_place(one, state.get(of)) for of, one in listed.items()}
        if not self._config.keep_copies:
            listed = marked_by_ledger(listed, state, elsewhere, self._entry_of)
        counting, retries = self._counting, self._config.retry_failed
        if self._night:
            nights.add(self._output, self._night, part, counting.run_id, listed, self._of_night)
        yield beam.pvalue.TaggedOutput(PARTS, (part, len(listed)))
        todo = {
            identity: one
            for identity, one in listed.items()
            if not is_done(state.get(identity), one, counting, retries, content_checksum)
        }
        done = len(listed) - len(todo)
        Metrics.counter("recordings", "skipped").inc(done)
        progress.advance(files=done, done_before=done)
        kept = self._ledger.scores(there, todo, counting.scoring)
        for of, segment in unfinished:
            kept.setdefault(of, []).append(segment)
        for of, one in todo.items():
            yield from self._resume(one, kept.get(of, []))

    def _entry_of(self, of: str) -> Entry | None:
        return self._ledger.part(parts.part_of(of)).get(of)

    def _resume(self, listed: Listed, kept: list[KeptSegment]) -> Iterator[object]:
        name = listed.recording
        yield name, listed
        if listed.copy_of:
            progress.advance(files=1)
            return
        segment_samples = samples_from_seconds(self._config.segment_s)
        facts, plans = resume(listed, kept, self._counting.grid, segment_samples)
        if not facts:
            yield beam.pvalue.TaggedOutput(PROBE, listed)
            return
        progress.advance(files=1 - sum(plan.share for plan in plans))
        for fact in facts:
            yield name, fact
        for plan in plans:
            yield beam.pvalue.TaggedOutput(PLANS, plan)


class CountAgain(beam.DoFn):
    """Part → its recordings, counted from kept scores.

    How many of them have another count now is tagged ``CHANGED``. What failed, was counted so
    already, or was scored otherwise stays as it is.
    """

    def __init__(self, output: str, counting: Counting) -> None:
        self._output, self._counting = output, counting

    def start_bundle(self) -> None:
        self._ledger = Ledger(self._output)

    def process(self, part: str) -> Iterator[object]:
        there, counting = parts.look(self._output, part), self._counting
        state = self._ledger.read(there)
        todo = {of: e for of, e in state.items() if can_be_counted_again(e, counting)}
        kept = self._ledger.scores(there, todo, counting.scoring)
        for of, entry in todo.items():
            for counted in count_again(entry, kept.get(of, []), counting):
                yield counted
                if counted.row.call_count != entry.row.call_count:
                    yield beam.pvalue.TaggedOutput(CHANGED, 1)


SCORES_IN_A_FILE = 2**21
"""About 75 hours by the released model, 24 MB in memory."""


class Commit(beam.PTransform):
    """Counted recordings → parts that were added to, and what was counted, tagged ``SUMS``.

    Scores are written first, for an entry says they are there.
    """

    def __init__(self, output: str, counting: Counting) -> None:
        super().__init__()
        self._commit = _Commit(output, counting)

    def expand(self, counted: beam.PCollection[Counted]) -> beam.pvalue.DoOutputsTuple:
        """A file of entries, and one of scores, for each part."""
        return (
            counted
            | "Key by part" >> beam.WithKeys(lambda one: parts.part_of(identity_of(one.listed)))
            | "Group by part" >> beam.GroupByKey()
            | "Write part" >> beam.ParDo(self._commit).with_outputs(SUMS, main="parts")
        )


class _Commit(beam.DoFn):
    def __init__(self, output: str, counting: Counting) -> None:
        self._output, self._counting = output, counting

    def process(self, element: tuple[str, Iterable[Counted]]) -> Iterator[object]:
        part, counted = element
        folder = parts.scores_folder(self._output, part)
        entries: list[Entry] = []
        segments: list[SegmentScores] = []
        n_scores = 0
        for one in counted:
            entries.append(entry_of(one, self._counting))
            segments += one.to_keep
            n_scores += sum(len(segment.scores) for segment in one.to_keep)
            if n_scores > SCORES_IN_A_FILE:
                scores.write_scores(folder, self._counting, segments)
                segments, n_scores = [], 0
        scores.write_scores(folder, self._counting, segments)
        write_shard(self._output, self._counting.run_id, entries)
        yield part
        yield beam.pvalue.TaggedOutput(SUMS, Sums.of(entries))


class Tidy(beam.PTransform):
    """One element, when all is committed: what this run and dead ones left behind is removed."""

    def __init__(self, output: str, run_id: str) -> None:
        super().__init__()
        self._output, self._run_id = output, run_id

    def expand(self, done: beam.PCollection[Any]) -> beam.PCollection[None]:
        """Many at once: a large run leaves many."""
        output, run_id = self._output, self._run_id
        return (
            done
            | "List left" >> beam.FlatMap(lambda _: left_behind(output, run_id))
            | "Share out left" >> beam.Reshuffle()
            | "Remove" >> beam.Map(files.delete_if_there)
        )


class KeepScores(beam.DoFn):
    """Passes (recording, scores or failure) on, and writes scores down every half minute.

    It is fused with what scores them: a crash loses half a minute of work, not the night's.
    """

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
        scores.write_unfinished(self._output, self._counting, self._held)
        self._held, self._since = [], time.monotonic()
