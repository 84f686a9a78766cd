"""From patterns and manifests to recordings, each named once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import apache_beam as beam

from model.audio import AUDIO_EXTENSIONS
from pipeline import files, listing, places
from pipeline.options import Config
from pipeline.records import Listed, Place

MANIFEST_COLUMNS = ("recording", "uri")


def read_manifest(manifest: str) -> Iterator[str]:
    """Recordings that a manifest lists. Raises like ``read_places``."""
    for recording, _ in read_places(manifest):
        yield recording


def read_places(manifest: str) -> Iterator[tuple[str, Place]]:
    """Recordings that a manifest lists, and what it says of each.

    Raises:
        ValueError: a table without a column of recordings, or a cell that cannot be right.
        OSError: the manifest cannot be read.
    """
    text = files.read_bytes(manifest).decode("utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return
    header = next(csv.reader([lines[0]]))
    column = next((c for c in MANIFEST_COLUMNS if c in header), None)
    if column is None and len(header) > 1 and not _looks_like_audio(lines[0]):
        raise ValueError(
            f"{manifest}: has no column named {' or '.join(MANIFEST_COLUMNS)}, only {header}"
        )
    folder = places.folder_of(manifest)
    if column is None:
        for line in lines:
            yield places.resolve(folder, line.strip()), Place()
        return
    for row in csv.DictReader(io.StringIO(text)):
        if row[column]:
            yield places.resolve(folder, row[column]), places.place_of_row(row, manifest)


def _looks_like_audio(line: str) -> bool:
    return os.path.splitext(line.strip())[1].lower() in AUDIO_EXTENSIONS


class MatchRecordings(beam.PTransform):
    """All recordings, once each, whichever pattern or manifest mentions them."""

    def __init__(
        self,
        patterns: tuple[str, ...],
        manifests: tuple[str, ...],
        deployments: str | None = None,
        time_zone: str = "",
    ) -> None:
        super().__init__()
        self._patterns, self._manifests = patterns, manifests
        self._look_up = _LookUp(deployments, time_zone)

    def expand(self, root: beam.Pipeline) -> beam.PCollection[Listed]:
        """Root → recordings."""
        matched = (
            root
            | "Name patterns" >> beam.Create(self._patterns)
            | "Expand patterns" >> beam.FlatMap(listing.list_pattern)
        )
        listed = (
            root
            | "Name manifests" >> beam.Create(self._manifests)
            | "Read manifests" >> beam.FlatMap(read_places)
            | "Without versions" >> beam.MapTuple(lambda name, place: Listed(name, place=place))
        )
        return (
            (matched, listed)
            | "Join names" >> beam.Flatten()
            | "Key by identity" >> beam.WithKeys(lambda known: files.identity(known.recording))
            | "Drop repeats" >> beam.CombinePerKey(_most_told)
            | "Recordings" >> beam.Values()
            | "Look up" >> beam.ParDo(self._look_up)
        )


def list_recordings(config: Config) -> list[Listed]:
    """The same recordings without a job, sorted by name: for a look ahead."""
    matched = [known for pattern in config.inputs for known in listing.list_pattern(pattern)]
    listed = [
        Listed(name, place=place)
        for manifest in config.manifests
        for name, place in read_places(manifest)
    ]
    same: dict[str, list[Listed]] = {}
    for known in matched + listed:
        same.setdefault(files.identity(known.recording), []).append(known)
    look_up = _LookUp(config.deployments, config.time_zone)
    look_up.setup()
    told = [_most_told(mentions) for _, mentions in sorted(same.items())]
    return [complete for known in told for complete in look_up.process(known)]


def _most_told(same: Iterable[Listed]) -> Listed:
    """Of several mentions of one recording: the one with a place, the first name of those."""
    return min(same, key=lambda known: (known.place == Place(), known.recording, known.size < 0))


class _LookUp(beam.DoFn):
    """Adds each recording's version, the place of its deployment and the default time zone."""

    def __init__(self, deployments: str | None, time_zone: str) -> None:
        self._table = deployments
        self._default = Place(time_zone=time_zone)
        self._deployments: dict[str, Place] = {}

    def setup(self) -> None:
        self._deployments = places.read_deployments(self._table) if self._table else {}

    def process(self, known: Listed) -> Iterator[Listed]:
        versioned = listing.with_version(known)
        deployment = places.deployment_of(known.recording, self._deployments)
        place = places.merge(places.merge(known.place, deployment), self._default)
        yield replace(versioned, place=place)
