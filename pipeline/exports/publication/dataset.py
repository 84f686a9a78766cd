"""The data set of a survey for both standards: publisher, deployments and findings."""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.inputs.deployments import clock_flags
from pipeline.inputs.local_time import SiteClock
from pipeline.inputs.recorder_names import note_from_name
from pipeline.records import RecordingCount
from pipeline.survey.captures import METRES_A_DEGREE
from pipeline.survey.findings import Finding, Survey
from pipeline.survey.recorders import recorders
from pipeline.tables.cell_text import encode
from pipeline.tables.rows import valid_s, was_counted


@dataclass(frozen=True)
class Person:
    """An author."""

    name: str
    email: str = ""

    @classmethod
    def parse(cls, text: str) -> Person:
        """Parses a person as mail programs write one.

        Raises:
            ValueError: no name.

        >>> Person.parse("Ana Silva <ana@example.org>")
        Person(name='Ana Silva', email='ana@example.org')
        """
        match = re.fullmatch(r"\s*([^<>]*?[^<>\s])\s*(?:<([^<>\s]+@[^<>\s]+)>)?\s*", text)
        if not match:
            raise ValueError(f"{text!r}: write it as 'Ana Silva <ana@example.org>'")
        return cls(match[1], match[2] or "")


@dataclass(frozen=True)
class About:
    """Metadata that no table of a run holds.

    Attributes:
        title: of the data set.
        authors: the first one is the contact.
        licence: a key of ``vocabulary.LICENCES``, of the data.
        design: one of ``vocabulary.SAMPLING_DESIGNS``.
        uncertainty_m: of all positions, in metres; None if unknown.
        generalise_m: side of the squares that positions are moved to the middle of; 0 for none.
        country: ISO 3166 code of two letters, or empty.
        created: when the data set was made.
    """

    title: str
    authors: tuple[Person, ...]
    licence: str
    created: datetime
    description: str = ""
    organisation: str = ""
    design: str = "opportunistic"
    uncertainty_m: int | None = None
    country: str = ""
    generalise_m: int = 0

    @property
    def stated_uncertainty_m(self) -> int | None:
        """Radius of a circle that holds the true position, in metres; None if unknown.

        >>> now = datetime(2026, 1, 1)
        >>> About("", (), "", now, uncertainty_m=30, generalise_m=10_000).stated_uncertainty_m
        7102
        """
        if not self.generalise_m:
            return self.uncertainty_m
        return math.ceil(self.generalise_m / math.sqrt(2)) + (self.uncertainty_m or 0)

    @property
    def generalisation(self) -> str:
        """What was done to positions, in words; empty for nothing."""
        if not self.generalise_m:
            return ""
        return f"position moved to the middle of a square of {self.generalise_m:,} m"


def generalised(latitude: float, longitude: float, side_m: int) -> tuple[float, float]:
    """The middle of the square of a fixed grid that a position lies in.

    Always the same for the same position: random shifts would average out over data sets (Chapman
    2020, Current Best Practices for Generalizing Sensitive Species Occurrence Data, GBIF).

    >>> generalised(4.0881, -52.68, 10_000)
    (4.091911, -52.699652)
    """
    step = side_m / METRES_A_DEGREE
    middle = min(90.0, (math.floor(latitude / step) + 0.5) * step)
    step /= max(0.01, math.cos(math.radians(middle)))
    east = (math.floor(longitude / step) + 0.5) * step
    return round(middle, 6), round(max(-180.0, min(180.0, east)), 6)


@dataclass(frozen=True)
class Deployment:
    """A recorder at a site for a while.

    Attributes:
        recorder: its serial number, or empty.
        is_doubtful: whether ``survey.recorders`` warns about its clock.
        starts, ends: of its first and last recording, with their offset from UTC.
        recorded_h, valid_h: recorded hours; of these, hours without silence and dropouts.
    """

    name: str
    site: str
    recorder: str
    is_doubtful: bool
    latitude: float
    longitude: float
    starts: datetime
    ends: datetime
    recorded_h: float
    valid_h: float
    recordings: tuple[RecordingCount, ...] = field(repr=False)


@dataclass(frozen=True)
class DataSet:
    """The data to publish.

    Attributes:
        findings: calls of the deployments' recordings, by recording and time.
        threshold, model: of the count.
        left_out: reasons for leaving data out, a line each.
    """

    about: About
    deployments: tuple[Deployment, ...]
    findings: tuple[Finding, ...]
    threshold: float
    model: str
    left_out: tuple[str, ...]

    @property
    def deployment_of(self) -> Mapping[str, str]:
        """Deployments' names by recording."""
        return {row.recording: d.name for d in self.deployments for row in d.recordings}


def data_set(survey: Survey, about: About, unverified: bool = False) -> DataSet:
    """The publishable part of a survey.

    A deployment needs a site with a position and recordings with a start time and its offset from
    UTC. Calls that observers deny stay out.

    Args:
        survey: recordings and findings.
        about: metadata.
        unverified: also publish calls without a label.

    Raises:
        ValueError: nothing is left; the message says why.
    """
    rows_of: dict[tuple[str, str], list[RecordingCount]] = defaultdict(list)
    n_failed = n_nowhere = n_timeless = 0
    for row in survey.recordings:
        if not was_counted(row):
            n_failed += 1
        elif not row.site or row.latitude is None or row.longitude is None:
            n_nowhere += 1
        elif not row.recorded_at or "clock_unset" in clock_flags(row):
            n_timeless += 1
        else:
            rows_of[row.site, row.recorder].append(row)
    left_out = list(survey.remarks)
    if n_failed:
        left_out.append(f"{n_failed:,} recordings that failed are left out")
    if n_nowhere:
        left_out.append(
            f"{n_nowhere:,} recordings without a site and its position are left out; "
            "give both with --deployments"
        )
    if n_timeless:
        left_out.append(
            f"{n_timeless:,} recordings are left out, as the time or the zone of their recorder's "
            "clock is not known; give time_zone with --deployments"
        )
    if not rows_of:
        raise ValueError("; ".join(left_out) or "no recordings there")
    if about.generalise_m:
        _refuse_positions(row for rows in rows_of.values() for row in rows)
    deployments = tuple(_deployment(*of, rows, about) for of, rows in sorted(rows_of.items()))
    published = {row.recording for rows in rows_of.values() for row in rows}
    candidates = [f for f in survey.findings if f.recording.recording in published]
    findings = [f for f in candidates if f.is_verified or (unverified and not f.is_refuted)]
    waiting = sum(1 for f in candidates if not f.is_verified and not f.is_refuted)
    if waiting and not unverified:
        left_out.append(
            f"{waiting:,} calls that no person has confirmed are left out; "
            "--unverified publishes them too"
        )
    if refuted := sum(1 for finding in candidates if finding.is_refuted):
        left_out.append(f"{refuted:,} calls that people heard to be none are left out")
    row = next(iter(rows_of.values()))[0]
    return DataSet(
        about, deployments, tuple(findings), row.threshold, row.model_version, tuple(left_out)
    )


def _refuse_positions(rows: Iterable[RecordingCount]) -> None:
    """Raises ValueError where a name says what is to be hidden."""
    for row in rows:
        if note_from_name(row.recording).latitude is not None:
            raise ValueError(
                f"{row.recording}: the name, which is published, says where it was recorded; "
                "rename such recordings, or leave out --generalise_m"
            )


def _deployment(
    site: str, recorder: str, rows: Sequence[RecordingCount], about: About
) -> Deployment:
    (line,) = recorders(rows)
    starts = [datetime.fromisoformat(row.recorded_at) for row in rows]
    ends = [after_start(row, row.duration_s or 0) for row in rows]
    first = rows[0]
    assert first.latitude is not None
    assert first.longitude is not None
    latitude, longitude = round(first.latitude, 6), round(first.longitude, 6)
    if about.generalise_m:
        latitude, longitude = generalised(latitude, longitude, about.generalise_m)
    return Deployment(
        name=f"{site}:{recorder}" if recorder else site,
        site=site,
        recorder=recorder,
        is_doubtful=bool(line.warnings),
        latitude=latitude,
        longitude=longitude,
        starts=min(starts),
        ends=max(ends),
        recorded_h=sum(row.duration_s or 0 for row in rows) / 3600,
        valid_h=sum(map(valid_s, rows)) / 3600,
        recordings=tuple(sorted(rows, key=lambda row: row.recording)),
    )


def identifier(recording: str, *more: float) -> str:
    """A stable name of a recording or a call: the first 16 digits of a SHA-256."""
    key = "|".join([recording, *(f"{value:.3f}" for value in more)])
    return hashlib.sha256(encode(key)).hexdigest()[:16]


def whole_second(moment: datetime, up: bool = False) -> datetime:
    """A moment rounded down, or up, to a whole second."""
    whole = moment.replace(microsecond=0)
    return whole + timedelta(seconds=1) if up and moment > whole else whole


def after_start(row: RecordingCount, seconds: float) -> datetime:
    """The moment some seconds after a recording's start. The recording must have a time."""
    clock = SiteClock.of(row)
    moment = clock.moment(timedelta(seconds=seconds)) if clock else None
    assert moment
    return moment


def file_paths(names: Sequence[str]) -> dict[str, str]:
    """Paths of recordings below their common folder.

    An object in a bucket keeps its whole name. Percent-encoding replaces what Camtrap DP forbids in
    a path.

    >>> file_paths(["/a/x/1.wav", "/a/y/~1.wav"])
    {'/a/x/1.wav': 'x/1.wav', '/a/y/~1.wav': 'y/~1.wav'}
    """
    local = {name: posixpath.abspath(name) for name in names if "://" not in name}
    folder = posixpath.commonpath([posixpath.dirname(path) for path in local.values()] or ["/"])
    below = {name: posixpath.relpath(path, folder) for name, path in local.items()}
    return {
        name: re.sub(
            r"^[.~]|\.\.",
            lambda match: "".join(f"%{ord(letter):02X}" for letter in match[0]),
            below.get(name, name),
        )
        for name in names
    }
