"""From patterns and manifests to recordings, each named once."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from model.audio.recording import AUDIO_EXTENSIONS
from pipeline.inputs import copies, deployments, versions
from pipeline.inputs.deployments import KEPT_TABLE, DeploymentRow, clock_in_name
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
    for line in _lines(manifest):
        for recording in line.recordings:
            yield recording, line.place


def named_in(manifest: str) -> list[str]:
    """The recordings that a manifest lists, each of its lines at least one.

    Raises:
        ValueError, OSError: see ``read_places``; or a folder or pattern without a recording, or
            none of the recordings is there.
    """
    names: list[str] = []
    for line in _lines(manifest):
        if not line.recordings:
            why = files.why_nothing(line.text)
            raise ValueError(f"{manifest}: row {line.number}, {line.text}: {why}")
        names += line.recordings
    if names and not any(not files.is_local(name) or os.path.exists(name) for name in names):
        raise ValueError(_none_is_there(manifest, names))
    return names


def _none_is_there(manifest: str, names: Sequence[str]) -> str:
    folder = deployments.folder_of(manifest) or "."
    beside = [name for name in sorted(os.listdir(folder)) if name != os.path.basename(manifest)]
    return (
        f"{manifest}: none of its {len(names):,} recordings is there, such as {names[0]}; relative "
        f"names start at {folder}, which holds {_some(beside, 3) or 'nothing else'}"
    )


@dataclass(frozen=True)
class _Line:
    """A line of a manifest, and the recordings that it means."""

    number: int
    text: str
    recordings: Sequence[str]
    place: Place = field(default_factory=Place)


def _lines(manifest: str) -> Iterator[_Line]:
    text, folder = read_text(manifest), deployments.folder_of(manifest)
    sheet = parse_sheet(manifest, text)
    if sheet and "recording" in sheet.columns:
        for row in sheet.rows:
            if (name := row.cells.get("recording")) and name.strip():
                recording = deployments.meant(folder, name)
                yield _Line(row.number, name, [recording], deployments.place_of_row(row))
        return
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not is_comment(line, manifest)
    ]
    first = lines[0][1].strip() if lines else ""
    if lines and (sheet or (re.search("[,;\t]", first) and not _looks_like_audio(first))):
        raise ValueError(f"{manifest}: has no column named recording or uri, only {first}")
    for number, line in lines:
        name = deployments.meant(folder, line)
        yield _Line(number, name, _named(name))


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
    named = sorted(listed.recording for listed in versions.list_pattern(line))
    return named or ([line] if _looks_like_audio(line) and not set("*?") & set(line) else [])


def _looks_like_audio(line: str) -> bool:
    return os.path.splitext(line.strip())[1].lower() in AUDIO_EXTENSIONS


def list_recordings(
    config: Config,
    listings: versions.Listings = versions.NOTHING_LISTED,
    *,
    others: versions.Others | None = None,
    only: Callable[[Sequence[Listed]], Collection[str]] | None = None,
) -> list[Listed]:
    """Lists the recordings of a run without a job, sorted by name.

    Args:
        config: names patterns and manifests.
        listings: results of earlier listings, by pattern.
        others: counts the files that this passes over, by kind.
        only: all recordings → identities of those to list; copies are looked for among all.
    """
    matched = [
        one for pattern in config.inputs for one in versions.list_pattern(pattern, listings, others)
    ]
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
    completed = [complete(one, table, config.time_zone) for one in mentioned]
    identities = only(completed) if only else {one.identity for one in completed}
    if config.keep_copies:
        return [one for one in completed if one.identity in identities]
    sizes = {one.size for one in completed if one.identity in identities}
    alike: dict[str, list[Listed]] = {}
    for one in completed:
        if one.size in sizes:  # no other can be a copy of these
            alike.setdefault(copies.content_key(one), []).append(one)
    marked = (
        one
        for same in alike.values()
        if any(one.identity in identities for one in same)
        for one in copies.marked(same)
        if one.identity in identities
    )
    return sorted(marked, key=lambda one: one.identity)


def check_tables(config: Config, recordings: Collection[str] | None) -> list[str]:
    """Refuses tables that give two answers, or none, before anything starts.

    Args:
        config: of the run.
        recordings: names of all recordings, if known.

    Returns:
        Remarks on a deployment table, a line each.

    Raises:
        ValueError: naming both lines, or an example of what does not match.
        OSError: a table is unreadable.
    """
    stated = _each_once(config.manifests)
    if not config.deployments:
        return []
    rows = deployments.rows_of_deployments(config.deployments)
    return check_deployments(config.deployments, rows, recordings, stated)


def _each_once(manifests: Iterable[str]) -> dict[str, Place]:
    """What manifests say of recordings, by ``deployments.key_of``.

    Raises:
        ValueError: one is named twice, with different places.
    """
    lines: dict[str, tuple[str, int]] = {}
    stated: dict[str, Place] = {}
    for manifest in manifests:
        for line in _lines(manifest):
            if line.place == Place():
                continue
            [recording] = line.recordings
            key = deployments.key_of(recording)
            if stated.setdefault(key, line.place) != line.place:
                table, earlier = lines[key]
                where = f"rows {earlier} and {line.number}"
                if table != manifest:
                    where = f"row {line.number}, and row {earlier} of {table},"
                raise ValueError(
                    f"{manifest}: {where} both name {recording} and differ; keep one of them"
                )
            lines.setdefault(key, (manifest, line.number))
    return stated


def check_deployments(
    table: str,
    rows: Sequence[DeploymentRow],
    recordings: Collection[str] | None,
    stated: Mapping[str, Place] = MappingProxyType({}),
) -> list[str]:
    """Refuses a deployment table of which two rows, or none, match.

    Args:
        table: its name.
        rows: of it.
        recordings: names of all recordings, if known; their times are taken from these names.
        stated: what manifests say of them, by ``deployments.key_of``.

    Returns:
        Remarks on idle rows and on recordings without one, a line each.

    Raises:
        ValueError: naming both lines, or an example of what does not match.
    """
    of: dict[str, list[DeploymentRow]] = {}
    for row in rows:
        of.setdefault(row.folder, []).append(row)
    doubtful = {
        folder: pair for folder, own in of.items() if (pair := _overlapping(own)) is not None
    }
    if recordings is None and doubtful:
        raise ValueError(_two_rows(table, *next(iter(doubtful.values())), "its recordings"))
    used: Counter[str] = Counter()
    outside: list[str] = []
    for name in recordings or ():
        folder = deployments.folder_with_deployment(name, of)
        used[folder] += 1
        if not folder:
            continue
        place = stated.get(deployments.key_of(name), Place())
        moment = place.recorded_at or clock_in_name(name)
        holding = [row for row in of[folder] if deployments.may_hold(row.stay, moment)]
        if len(holding) > 1 and (moment or folder in doubtful):
            raise ValueError(_two_rows(table, holding[0], holding[1], name))
        if not holding:
            outside.append(f"{name} ({moment})")
    is_stated = not table.endswith(KEPT_TABLE)
    n_placed = used.total() - used[""] - len(outside)
    if recordings and rows and not n_placed and is_stated:
        row, name = rows[0], next(iter(recordings))
        if outside:
            when = f"{row.stay.first or '…'} to {row.stay.last or '…'}"
            raise ValueError(
                f"{table}: no recording was made while a row holds: row {row.line} is of {when}, "
                f"but {outside[0]}; correct the dates, or the recorder's clock in a manifest"
            )
        raise ValueError(
            f"{table}: none of its folders holds a recording: row {row.line} means {row.folder}, "
            f"but recordings lie elsewhere, such as {name}; write folders as on the disk, relative "
            "to this table"
        )
    lines = []
    if recordings is not None and is_stated and (idle := sorted(of.keys() - used.keys())):
        lines.append(
            f"{table}: no recording lies in {_some(idle)}; is each folder spelt as on the disk, "
            "relative to this table?"
        )
    if used[""]:
        lines.append(f"{table}: has no row for {used['']:,} of the recordings")
    if outside:
        lines.append(
            f"{table}: {len(outside):,} recordings were made, by their names, before or after all "
            "rows of their folder, and get no site"
        )
    return lines


def _overlapping(rows: Sequence[DeploymentRow]) -> tuple[DeploymentRow, DeploymentRow] | None:
    """Two rows of one folder that hold at once; None if there are none."""
    ordered = sorted(rows, key=lambda row: (row.stay.first, row.line))
    for i, row in enumerate(ordered):
        for other in ordered[i + 1 :]:
            if not row.stay.last or other.stay.first <= row.stay.last:
                return row, other
    return None


def _two_rows(table: str, one: DeploymentRow, other: DeploymentRow, what: str) -> str:
    lines = sorted((one.line, other.line))
    return (
        f"{table}: rows {lines[0]} and {lines[1]} are both about {one.folder} when {what} may have "
        "been made; state deployed_from and deployed_to so that one of them holds"
    )


def remarks(config: Config, recordings: Collection[str] | None) -> list[str]:
    """Checks the tables, see ``check_tables``. Returns remarks on unused inputs, a line each."""
    of_tables = check_tables(config, recordings)
    lines = [
        f"{link}: a link to a folder, which is not followed; name it with --input to count it"
        for pattern in config.inputs
        for link in files.linked_folders(pattern)
    ]
    sheets = []
    for name in config.manifests:
        text = read_text(name)
        sheets.append(parse_sheet(name, text))
        lines += _commented_out(name, text)
    if config.deployments and not config.deployments.endswith(KEPT_TABLE):
        sheets.append(deployments.deployment_sheet(config.deployments))
    lines += of_tables
    for sheet in filter(None, sheets):
        if sheet.ignored:
            lines.append(f"{sheet.name}: columns that are not used: {_some(sheet.ignored)}")
    return lines


def _commented_out(manifest: str, text: str) -> Iterator[str]:
    """What seems to be a recording and is taken for a comment."""
    out = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if is_comment(line, manifest) and _looks_like_audio(line)
    ]
    if out:
        number, line = out[0]
        yield (
            f"{manifest}: {len(out):,} lines such as {line!r} (row {number}) are comments; of a "
            f"recording that is called so, write ./{line}"
        )


def _some(names: Sequence[str], n: int = 5) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


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
