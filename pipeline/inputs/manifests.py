"""From patterns and manifests to recordings, each named once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from model.audio import AUDIO_EXTENSIONS
from pipeline.inputs import deployments, versions
from pipeline.options import Config
from pipeline.records import Listed, Place
from pipeline.storage import files

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
    folder = deployments.folder_of(manifest)
    if column is None:
        for line in lines:
            yield deployments.resolve(folder, line.strip()), Place()
        return
    for row in csv.DictReader(io.StringIO(text)):
        if row[column]:
            yield deployments.resolve(folder, row[column]), deployments.place_of_row(row, manifest)


def _looks_like_audio(line: str) -> bool:
    return os.path.splitext(line.strip())[1].lower() in AUDIO_EXTENSIONS


def list_recordings(config: Config) -> list[Listed]:
    """The same recordings without a job, sorted by name: for a look ahead."""
    matched = [known for pattern in config.inputs for known in versions.list_pattern(pattern)]
    listed = [
        Listed(name, place=place)
        for manifest in config.manifests
        for name, place in read_places(manifest)
    ]
    same: dict[str, list[Listed]] = {}
    for known in matched + listed:
        same.setdefault(files.identity(known.recording), []).append(known)
    table = deployments.read_deployments(config.deployments) if config.deployments else {}
    told = [most_told(mentions) for _, mentions in sorted(same.items())]
    return [complete(known, table, config.time_zone) for known in told]


def most_told(same: Iterable[Listed]) -> Listed:
    """Of several mentions of one recording: the one with a place, the first name of those."""
    return min(same, key=lambda known: (known.place == Place(), known.recording, known.size < 0))


def complete(known: Listed, table: Mapping[str, Place], time_zone: str) -> Listed:
    """Adds a recording's version, the place of its deployment and the default time zone.

    Args:
        known: the recording as it was listed.
        table: what ``read_deployments`` gives.
        time_zone: for clocks whose zone nothing else states; may be empty.
    """
    deployment = deployments.deployment_of(known.recording, table)
    place = deployments.merge(known.place, deployment)
    place = deployments.merge(place, Place(time_zone=time_zone))
    # Whatever keeps the version from being read will keep the recording from being opened, and that
    # failure is the recording's own.
    with suppress(Exception):
        known = versions.with_version(known)
    return replace(known, place=place, identity=files.identity(known.recording))
