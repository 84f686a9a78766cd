"""Place and time of a recording, from manifests, deployment tables and the recorder's notes.

A time becomes absolute only with a stated time zone: in the file's header, the manifest, the
deployment table or ``--time_zone``. The code guesses nothing; unknown values stay empty.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from pipeline.inputs.local_time import called_at, called_local
from pipeline.inputs.sheets import Sheet, SheetRow, parse_degrees, parse_sheet, read_text
from pipeline.inputs.times import (
    FIRST_SET_YEAR,
    LAST_YEAR,
    Clock,
    parse_moment,
    parse_zone,
    read_moment,
)
from pipeline.records import Place, RecorderNote, RecordingCount
from pipeline.storage import files


def when_and_where(place: Place, note: RecorderNote) -> dict[str, Any]:
    """A recording's columns of place and time; tables override the recorder.

    Args:
        place: from the manifest or deployment table.
        note: from the file.
    """
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
    return {
        "site": row.site,
        "latitude": row.latitude,
        "longitude": row.longitude,
        "called_at": called_at(row, start_s),
        "called_local": called_local(row, start_s),
    }


def _moment(text: str) -> datetime | None:
    return parse_moment(text) if text else None


def _localised(clock: datetime, zone: tzinfo) -> datetime | None:
    """A clock's time in its zone; None in the hour that clocks skip or repeat once a year."""
    first, second = clock.replace(tzinfo=zone, fold=0), clock.replace(tzinfo=zone, fold=1)
    return first if first.utcoffset() == second.utcoffset() else None


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
        return os.path.normpath(joined)
    scheme, _, path = joined.partition("://")
    resolved = posixpath.normpath(path)
    bucket = folder.partition("://")[2].partition("/")[0]
    if name.startswith("/") or resolved.partition("/")[0] != bucket:
        raise ValueError(f"{name} in {folder}: leads out of the bucket; name it with gs://")
    return f"{scheme}://{resolved}"


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


def read_deployments(table: str) -> dict[str, Place]:
    """Places by folder, from a table with a column ``folder``; relative ones start at the table's.

    Raises:
        ValueError, OSError: see ``deployment_sheet``; or an impossible cell.
    """
    base = folder_of(table)
    return {
        files.identity(resolve(base, row.cells["folder"])).rstrip("/"): place_of_row(row)
        for row in deployment_sheet(table).rows
        if row.cells.get("folder")
    }


def deployment_of(recording: str, deployments: Mapping[str, Place]) -> Place:
    """The place of the nearest folder above a recording that the table names."""
    return deployments.get(folder_with_deployment(recording, deployments), Place())


def folder_with_deployment(recording: str, deployments: Mapping[str, Place]) -> str:
    """That folder itself; empty if there is none."""
    folder = files.identity(recording)
    while deployments and "/" in folder.strip("/"):
        folder = folder.rpartition("/")[0]
        if folder in deployments:
            return folder
    return ""


def merge(place: Place, fallback: Place) -> Place:
    """Fills empty fields of ``place`` from ``fallback``; latitude and longitude go together."""
    is_complete = place.latitude is not None and place.longitude is not None
    with_position = place if is_complete else fallback
    return replace(
        place,
        site=place.site or fallback.site,
        latitude=with_position.latitude,
        longitude=with_position.longitude,
        recorded_at=place.recorded_at or fallback.recorded_at,
        time_zone=place.time_zone or fallback.time_zone,
    )
