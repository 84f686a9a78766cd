"""From patterns and manifests to recordings, each named once."""

from __future__ import annotations

import csv
import io
import os
import posixpath
from collections.abc import Iterator

import apache_beam as beam

from model.audio import AUDIO_EXTENSIONS
from pipeline import files

MANIFEST_COLUMNS = ("recording", "uri")


def read_manifest(manifest: str) -> Iterator[str]:
    """Recordings that a manifest lists.

    Raises:
        ValueError: a table without a column of recordings.
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
    if column is None:
        names = [line.strip() for line in lines]
    else:
        names = [row[column] for row in csv.DictReader(io.StringIO(text)) if row[column]]
    folder = os.path.dirname(manifest) if files.is_local(manifest) else posixpath.dirname(manifest)
    for name in names:
        if files.is_local(name):
            name = files.join(folder, name)
        yield os.path.normpath(name) if files.is_local(name) else name


def _looks_like_audio(line: str) -> bool:
    return os.path.splitext(line.strip())[1].lower() in AUDIO_EXTENSIONS


class MatchRecordings(beam.PTransform):
    """Names of all recordings, once each, whichever pattern or manifest mentions them."""

    def __init__(self, patterns: tuple[str, ...], manifests: tuple[str, ...]) -> None:
        super().__init__()
        self._patterns, self._manifests = patterns, manifests

    def expand(self, root: beam.Pipeline) -> beam.PCollection[str]:
        """Root → recordings."""
        matched = (
            root
            | "Name patterns" >> beam.Create(self._patterns)
            | "Expand patterns" >> beam.FlatMap(files.expand)
        )
        listed = (
            root
            | "Name manifests" >> beam.Create(self._manifests)
            | "Read manifests" >> beam.FlatMap(read_manifest)
        )
        return (
            (matched, listed)
            | "Join names" >> beam.Flatten()
            | "Key by identity" >> beam.WithKeys(files.identity)
            | "Drop repeats" >> beam.CombinePerKey(min)
            | "Recordings" >> beam.Values()
        )
