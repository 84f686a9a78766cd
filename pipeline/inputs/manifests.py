"""From patterns and manifests to recordings, each named once."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from model.audio import AUDIO_EXTENSIONS
from pipeline.inputs import deployments, versions
from pipeline.inputs.sheets import is_comment, parse_sheet, read_text
from pipeline.options import Config
from pipeline.records import Listed, Place
from pipeline.storage import files


def read_manifest(manifest: str) -> Iterator[str]:
    """Recordings that a manifest lists. Raises like ``read_places``."""
    for recording, _ in read_places(manifest):
        yield recording


def read_places(manifest: str) -> Iterator[tuple[str, Place]]:
    """The recordings of a manifest, with the place of each.

    Raises:
        ValueError: a table without a column of recordings, or an impossible cell.
        OSError: the manifest is unreadable.
    """
    text, folder = read_text(manifest), deployments.folder_of(manifest)
    sheet = parse_sheet(manifest, text)
    if sheet and "recording" in sheet.columns:
        for row in sheet.rows:
            if name := row.cells.get("recording"):
                yield deployments.resolve(folder, name), deployments.place_of_row(row)
        return
    lines = [line.strip() for line in text.splitlines() if not is_comment(line)]
    if lines and (sheet or (re.search("[,;\t]", lines[0]) and not _looks_like_audio(lines[0]))):
        raise ValueError(f"{manifest}: has no column named recording or uri, only {lines[0]}")
    for line in lines:
        for name in _named(deployments.resolve(folder, line)):
            yield name, Place()


def _named(line: str) -> list[str]:
    """Expands a folder or a pattern; a file's name stays as it is, even if no such file exists.

    In a bucket a folder ends in a slash, and brackets alone make no pattern: recorders write them.
    """
    if files.is_local(line):
        is_many = os.path.isdir(line) or (glob.has_magic(line) and not os.path.exists(line))
    else:
        is_many = line.endswith("/") or "*" in line or "?" in line
    if not is_many:
        return [line]
    return sorted(listed.recording for listed in versions.list_pattern(line))


def _looks_like_audio(line: str) -> bool:
    return os.path.splitext(line.strip())[1].lower() in AUDIO_EXTENSIONS


def list_recordings(
    config: Config, listings: versions.Listings = versions.NOTHING_LISTED
) -> list[Listed]:
    """Lists the recordings of a run without a job, sorted by name.

    Args:
        config: names patterns and manifests.
        listings: results of earlier listings, by pattern.
    """
    matched = [one for pattern in config.inputs for one in versions.list_pattern(pattern, listings)]
    listed = [
        Listed(name, place=place)
        for manifest in config.manifests
        for name, place in read_places(manifest)
    ]
    same: dict[str, list[Listed]] = {}
    for one in matched + listed:
        same.setdefault(files.identity(one.recording), []).append(one)
    table = deployments.read_deployments(config.deployments) if config.deployments else {}
    mentioned = [best_mention(mentions) for _, mentions in sorted(same.items())]
    return [complete(one, table, config.time_zone) for one in mentioned]


def remarks(config: Config, recordings: Collection[str] | None) -> list[str]:
    """Remarks on unused inputs, a line each.

    Args:
        config: of the run.
        recordings: names of all recordings, if known.

    Raises:
        ValueError, OSError: a table is unreadable.
    """
    lines = [
        f"{link}: a link to a folder, which is not followed; name it with --input to count it"
        for pattern in config.inputs
        for link in files.linked_folders(pattern)
    ]
    sheets = [parse_sheet(name, read_text(name)) for name in config.manifests]
    if config.deployments:
        sheets.append(deployments.deployment_sheet(config.deployments))
    if config.deployments and recordings is not None:
        table = deployments.read_deployments(config.deployments)
        used = Counter(deployments.folder_with_deployment(name, table) for name in recordings)
        if idle := sorted(table.keys() - used.keys()):
            lines.append(
                f"{config.deployments}: no recording lies in {_some(idle)}; is each folder "
                "spelt as on the disk, relative to this table?"
            )
        if n := used[""]:
            lines.append(f"{config.deployments}: has no row for {n:,} of the recordings")
    for sheet in filter(None, sheets):
        if sheet.ignored:
            lines.append(f"{sheet.name}: columns that are not used: {_some(sheet.ignored)}")
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def best_mention(same: Iterable[Listed]) -> Listed:
    """Of several mentions of one recording, the one with a place, then the first by name."""
    return min(
        same, key=lambda mention: (mention.place == Place(), mention.recording, mention.size < 0)
    )


def complete(listed: Listed, table: Mapping[str, Place], time_zone: str) -> Listed:
    """Adds a recording's version, the place of its deployment and the default time zone.

    Args:
        listed: the recording from a pattern or a manifest.
        table: from ``read_deployments``.
        time_zone: for clocks without a stated zone; may be empty.
    """
    deployment = deployments.deployment_of(listed.recording, table)
    place = deployments.merge(listed.place, deployment)
    place = deployments.merge(place, Place(time_zone=time_zone))
    # Whatever keeps the version from being read will keep the recording from being opened, and that
    # failure is the recording's own.
    with suppress(Exception):
        listed = versions.with_version(listed)
    return replace(listed, place=place, identity=files.identity(listed.recording))
