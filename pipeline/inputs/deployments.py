"""Place and time of a recording, from manifests, deployment tables and the recorder's notes.

A time becomes absolute only with a stated time zone: in the file's header, the manifest, the
deployment table or ``--time_zone``. The code guesses nothing; unknown values stay empty.
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from pipeline.inputs.local_time import called
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.sheets import Sheet, SheetRow, parse_degrees, parse_sheet, read_text
from pipeline.inputs.times import (
    FIRST_SET_YEAR,
    LAST_YEAR,
    Clock,
    parse_moment,
    parse_zone,
    read_moment,
)
from pipeline.options.paths import slashed
from pipeline.records import Place, RecorderNote, RecordingCount, Stay
from pipeline.storage import files
from pipeline.storage.sealed import read_sealed


def when_and_where(place: Place, note: RecorderNote) -> dict[str, Any]:
    """A recording's columns of place and time; tables override the recorder.

    Args:
        place: from the manifest or deployment table.
        note: from the file.
    """
    place = at_its_time(place, note)
    stated = place.time_zone
    source, moment = note.source, _moment(note.clock + note.utc_offset)
    conflict = note.conflict
    if place.recorded_at:
        zone = parse_zone(stated) if stated else None
        noted = Clock.of(moment, zone)
        source, moment = "manifest", _moment(place.recorded_at)
        if noted and not noted.may_be(Clock.of(moment, zone)):
            conflict = "; ".join(filter(None, [f"{note.source} says {noted}", conflict]))
    at = None
    if moment is not None and moment.tzinfo is None and stated:
        at = _localised(moment, parse_zone(stated))
    elif moment is not None and moment.tzinfo is not None:
        at = moment.astimezone(parse_zone(stated)) if stated else moment
    on_site = at or moment
    offset = "" if at is None else at.isoformat()[-6:]
    has_position = place.latitude is not None and place.longitude is not None
    return {
        "site": place.site,
        "latitude": place.latitude if has_position else note.latitude,
        "longitude": place.longitude if has_position else note.longitude,
        "recorded_at": at.isoformat() if at else "",
        "recorded_local": on_site.replace(tzinfo=None).isoformat() if on_site else "",
        "time_zone": (stated or offset) if at else "",
        "time_source": source if on_site else "",
        "clock_conflict": conflict,
    }


def clock_flags(row: RecordingCount) -> list[str]:
    """Doubts about a recording's time, for ``quality_flags``."""
    flags = ["clock_conflict"] if row.clock_conflict else []
    year = int(row.recorded_local[:4] or LAST_YEAR)
    unset = year < FIRST_SET_YEAR and row.time_source != "manifest"
    return [*flags, "clock_unset"] if unset else flags


def where_and_when_called(row: RecordingCount, start_s: float) -> dict[str, Any]:
    """A call's columns of place and time, from its recording and its start in seconds."""
    at, local = called(row, start_s)
    place = {name: getattr(row, name) for name in ("site", "latitude", "longitude")}
    return {**place, "called_at": at, "called_local": local}


def _moment(text: str) -> datetime | None:
    return parse_moment(text) if text else None


def _localised(clock: datetime, zone: tzinfo) -> datetime | None:
    """A clock's time in its zone; None in the hour that clocks skip or repeat once a year."""
    first, second = clock.replace(tzinfo=zone, fold=0), clock.replace(tzinfo=zone, fold=1)
    return first if first.utcoffset() == second.utcoffset() else None


def place_from_dict(raw: dict[str, Any]) -> Place:
    """A place from JSON, also of an earlier version."""
    return Place(**{**raw, "stays": tuple(map(_stay_from_dict, raw.get("stays", ())))})


def _stay_from_dict(raw: dict[str, Any]) -> Stay:
    return Stay(raw["first"], raw["last"], place_from_dict(raw["place"]))


def stated(place: Place) -> dict[str, Any]:
    """What is said of a place, for digests: without stays it is what it was before there were."""
    return {k: v for k, v in asdict(place).items() if k != "stays" or v}


def at_its_time(place: Place, note: RecorderNote) -> Place:
    """The place of a recording, of a recorder that moved on the one where it was at the time.

    No stay holds outside of all, in two at once, and for a recording without a time if there are
    several.
    """
    if not place.stays:
        return place
    moment = _moment(place.recorded_at or note.clock + note.utc_offset)
    if moment and moment.year < FIRST_SET_YEAR and not place.recorded_at:
        moment = None
    holding = [stay for stay in place.stays if moment is None or _holds(stay, moment)]
    if len(holding) != 1:
        return replace(place, stays=())
    return replace(holding[0].place, recorded_at=place.recorded_at)


def may_hold(stay: Stay, moment: str) -> bool:
    """Whether a stay may be that of a recording made then, ISO 8601; may be empty if unknown."""
    return not moment or _holds(stay, parse_moment(moment))


def clock_in_name(recording: str) -> str:
    """When a recording was made by its name, ISO 8601; empty where that says nothing of use."""
    note = note_from_name(recording)
    clock = note.clock + note.utc_offset if note else ""
    return clock if clock and parse_moment(clock).year >= FIRST_SET_YEAR else ""


def _holds(stay: Stay, moment: datetime) -> bool:
    local = on_site(moment, stay.place.time_zone).isoformat()
    return (stay.first or local) <= local <= (stay.last or local)


def on_site(moment: datetime, time_zone: str) -> datetime:
    """A moment by the clock on site, without an offset."""
    if moment.tzinfo is not None and time_zone:
        moment = moment.astimezone(parse_zone(time_zone))
    return moment.replace(tzinfo=None)


def folder_of(name: str) -> str:
    """A file's folder, local or in a bucket."""
    return os.path.dirname(name) if files.is_local(name) else posixpath.dirname(name)


def resolve(folder: str, name: str) -> str:
    """A name in a table: a relative one starts at the table's folder.

    Raises:
        ValueError: a table in a bucket names a file of some machine, or leaves its bucket.
    """
    if not files.is_local(name):
        return name
    joined = files.join(folder, name)
    if files.is_local(folder):
        return slashed(os.path.normpath(joined))
    scheme, _, path = joined.partition("://")
    resolved = posixpath.normpath(path)
    bucket = folder.partition("://")[2].partition("/")[0]
    if name.startswith("/") or resolved.partition("/")[0] != bucket:
        raise ValueError(f"{name} in {folder}: leads out of the bucket; name it with gs://")
    return f"{scheme}://{resolved}"


def meant(folder: str, name: str) -> str:
    """Like ``resolve``, for what people and their programs write.

    A name is taken as it stands if there is such a file. Else blanks around it are none of it,
    backslashes are Windows' slashes, and accents may be written otherwise on the disk.
    """
    stripped = name.strip()
    plain = stripped.replace("\\", "/")
    if name == plain and plain.isascii():
        return resolve(folder, name)
    for written in dict.fromkeys((name, stripped, plain)):
        there = resolve(folder, written)
        if files.is_local(there) and (there := as_on_disk(there)) and os.path.exists(there):
            return there
    return resolve(folder, stripped if r"\udc" in stripped else plain)


def as_on_disk(name: str) -> str:
    """A path with its accents as they are on the disk: composed, or apart as a Mac writes them."""
    if name.isascii() or os.path.exists(name):
        return name
    parent, base = os.path.split(name)
    if not base:
        return name
    parent = as_on_disk(parent)
    try:
        changed_ns = os.stat(parent or ".").st_mtime_ns
        return os.path.join(parent, _composed_names(parent, changed_ns).get(_composed(base), base))
    except OSError:
        return os.path.join(parent, base)


@lru_cache(16)
def _composed_names(folder: str, changed_ns: int) -> Mapping[str, str]:
    return {_composed(name): name for name in os.listdir(folder or ".")}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def place_of_row(row: SheetRow) -> Place:
    """The place in a row of a manifest or deployment table.

    Raises:
        ValueError: an impossible cell; the message names table, row and column.
    """
    row.read("time_zone", parse_zone, None)
    moment = row.read("recorded_at", read_moment, None)
    return Place(
        row.cells.get("site", ""),
        row.read("latitude", lambda text: parse_degrees(text, 90), None),
        row.read("longitude", lambda text: parse_degrees(text, 180), None),
        moment.isoformat() if moment else "",
        row.cells.get("time_zone", ""),
    )


def deployment_sheet(table: str) -> Sheet:
    """A deployment table.

    Raises:
        ValueError: no column of folders, or an impossible row.
        OSError: the table is unreadable.
    """
    sheet = parse_sheet(table, read_text(table))
    if sheet is None or "folder" not in sheet.columns:
        names = ", ".join([*sheet.columns, *sheet.ignored]) if sheet else "no known column"
        raise ValueError(f"{table}: has no column named folder in its first row ({names})")
    return sheet


@dataclass(frozen=True)
class DeploymentRow:
    """A row of a deployment table.

    Attributes:
        line: its number in the table.
        folder: all recordings below it, by ``files.identity`` and with composed accents.
    """

    line: int
    folder: str
    stay: Stay


KEPT_TABLE = ".sites.json"
"""How the copy of a deployment table is called that the ledger keeps for later runs."""


def rows_of_deployments(table: str) -> list[DeploymentRow]:
    """The rows of a deployment table; relative folders start at the table's.

    Raises:
        ValueError, OSError: see ``deployment_sheet``; or an impossible cell.
    """
    if table.endswith(KEPT_TABLE):
        return [
            DeploymentRow(row["line"], row["folder"], _stay_from_dict(row["stay"]))
            for row in read_sealed(table)["rows"]
        ]
    base = folder_of(table)
    return [
        DeploymentRow(row.number, key_of(meant(base, folder)).rstrip("/"), _stay_of_row(row))
        for row in deployment_sheet(table).rows
        if (folder := row.cells.get("folder"))
    ]


def key_of(name: str) -> str:
    """One string for all the ways to write a path, and to write its accents."""
    return _composed(files.identity(name))


def _stay_of_row(row: SheetRow) -> Stay:
    if row.cells.get("recorded_at"):
        raise ValueError(
            f"{row.sheet}: row {row.number}, recorded_at: the recordings of a folder do not all "
            "start at once; state deployed_from and deployed_to, or recorded_at in a manifest"
        )
    zone = row.cells.get("time_zone", "")
    first = row.read("deployed_from", lambda text: _bound(text, zone), "")
    last = row.read("deployed_to", lambda text: _bound(text, zone, is_last=True), "")
    if first and last and first > last:
        raise ValueError(f"{row.sheet}: row {row.number}, deployed_to: lies before deployed_from")
    return Stay(first, last, place_of_row(row))


def _bound(text: str, zone: str, *, is_last: bool = False) -> str:
    moment = on_site(read_moment(text), zone)
    is_day = not re.search(r"\d[T ]+\d", text)
    if is_day and is_last:
        moment += timedelta(days=1, microseconds=-1)
    return moment.isoformat()


def by_folder(rows: Iterable[DeploymentRow]) -> dict[str, Place]:
    """Places by folder, with stays where rows state a time or there are several."""
    of: dict[str, list[Stay]] = {}
    for row in rows:
        of.setdefault(row.folder, []).append(row.stay)
    return {
        folder: stays[0].place if _has_no_bounds(stays) else Place(stays=tuple(stays))
        for folder, stays in of.items()
    }


def _has_no_bounds(stays: Sequence[Stay]) -> bool:
    return len(stays) == 1 and not (stays[0].first or stays[0].last)


def read_deployments(table: str) -> dict[str, Place]:
    """Places by folder, from a table with a column ``folder``; relative ones start at the table's.

    Raises:
        ValueError, OSError: see ``rows_of_deployments``.
    """
    return by_folder(rows_of_deployments(table))


def deployment_of(recording: str, deployments: Mapping[str, Place]) -> Place:
    """The place of the nearest folder above a recording that the table names."""
    return deployments.get(folder_with_deployment(recording, deployments), Place())


def folder_with_deployment(recording: str, folders: Container[str]) -> str:
    """That folder itself; empty if there is none."""
    folder = key_of(recording)
    while folders and "/" in folder.strip("/"):
        folder = folder.rpartition("/")[0]
        if folder in folders:
            return folder
    return ""


def merge(place: Place, fallback: Place) -> Place:
    """Fills empty fields of ``place`` from ``fallback``; latitude and longitude go together.

    Stays of one or the other are filled likewise.
    """
    plain = replace(fallback, stays=())
    stays = [replace(stay, place=merge(stay.place, plain)) for stay in place.stays]
    if not stays:
        stays = [replace(stay, place=merge(place, stay.place)) for stay in fallback.stays]
    is_complete = place.latitude is not None and place.longitude is not None
    with_position = place if is_complete else fallback
    return Place(
        site=place.site or fallback.site,
        latitude=with_position.latitude,
        longitude=with_position.longitude,
        recorded_at=place.recorded_at or fallback.recorded_at,
        time_zone=place.time_zone or fallback.time_zone,
        stays=tuple(stays),
    )
