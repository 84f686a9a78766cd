"""Beam's part of finding recordings: transforms that only wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipeline import progress
from pipeline.inputs.copies import content_key, marked
from pipeline.inputs.deployments import read_deployments
from pipeline.inputs.manifests import best_mention, complete, read_places
from pipeline.inputs.versions import (
    NOTHING_LISTED,
    Listings,
    Others,
    Part,
    list_part,
    parts_of,
)
from pipeline.records import Listed, Place
from pipeline.storage import files

OTHERS = "others"


class MatchRecordings(beam.PTransform):
    """Lists all recordings of patterns and manifests, once each."""

    def __init__(
        self,
        patterns: tuple[str, ...],
        manifests: tuple[str, ...],
        deployments: str | None = None,
        time_zone: str = "",
        listings: Listings = NOTHING_LISTED,
        *,
        keep_copies: bool = False,
    ) -> None:
        super().__init__()
        self._keep_copies = keep_copies
        self._patterns, self._manifests = patterns, manifests
        self._listings = listings
        self._complete = _Complete(deployments, time_zone)

    def expand(
        self, root: beam.Pipeline
    ) -> tuple[beam.PCollection[Listed], beam.PCollection[tuple[str, int]]]:
        """Root → recordings; and how many other files were passed over, by kind."""
        named = [one for name in self._patterns for one in self._listings.get(name, (name,))]
        divided = (
            root
            | "Name patterns" >> beam.Create(named)
            | "Divide" >> beam.ParDo(_Search(_parts_of)).with_outputs(OTHERS, main="parts")
        )
        matched = (
            divided.parts
            | "Share out" >> beam.Reshuffle()
            | "List" >> beam.ParDo(_Search(list_part)).with_outputs(OTHERS, main="listed")
        )
        listed_before = root | "Others of before" >> beam.Create(
            [one for listing in self._listings.values() for one in listing.others.items()]
        )
        others = (
            (divided[OTHERS], matched[OTHERS], listed_before)
            | "All others" >> beam.Flatten()
            | "Add others up" >> beam.CombinePerKey(sum)
        )
        listed = (
            root
            | "Name manifests" >> beam.Create(self._manifests)
            | "Read manifests" >> beam.FlatMap(read_places)
            | "Without versions" >> beam.MapTuple(lambda name, place: Listed(name, place=place))
        )
        recordings = (
            (matched.listed, listed)
            | "Join names" >> beam.Flatten()
            | "Key by identity" >> beam.WithKeys(lambda listed: files.identity(listed.recording))
            | "Drop repeats" >> beam.CombinePerKey(best_mention)
            | "Recordings" >> beam.Values()
            | "Look up" >> beam.ParDo(self._complete)
        )
        if self._keep_copies:
            return recordings, others
        marked_ones = (
            recordings
            | "Key by content" >> beam.WithKeys(content_key)
            | "Group by content" >> beam.GroupByKey()
            | "Mark copies" >> beam.FlatMapTuple(lambda _, alike: marked(alike))
        )
        return marked_ones, others


def _parts_of(named: str | Listed, others: Others) -> Iterator[Part | Listed]:
    """Divides a pattern into parts; passes a listed recording on."""
    return iter([named]) if isinstance(named, Listed) else parts_of(named, others)


class _Search(beam.DoFn):
    """Applies a search, and counts what it passes over, tagged ``OTHERS``."""

    def __init__(self, search: Callable[[Any, Others], Iterator[Part | Listed]]) -> None:
        self._search = search

    def process(self, element: str | Part | Listed) -> Iterator[object]:
        others: Others = Counter()
        yield from self._search(element, others)
        for kind, n in others.items():
            yield beam.pvalue.TaggedOutput(OTHERS, (kind, n))


class _Complete(beam.DoFn):
    def __init__(self, deployments: str | None, time_zone: str) -> None:
        self._table, self._time_zone = deployments, time_zone
        self._deployments: dict[str, Place] = {}

    def setup(self) -> None:
        self._deployments = read_deployments(self._table) if self._table else {}

    def process(self, listed: Listed) -> Iterator[Listed]:
        Metrics.counter("recordings", "listed").inc()
        progress.advance(listed=1)
        yield complete(listed, self._deployments, self._time_zone)
