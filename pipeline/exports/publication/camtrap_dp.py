"""A Camtrap DP package: tables of deployments, media and observations, and their descriptor.

https://camtrap-dp.tdwg.org, version 1.0.2. The standard describes camera traps; a recorder stands
for a camera and a recording for a media file.
"""

from __future__ import annotations

import json
import mimetypes
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files as resources
from typing import Any

from pipeline import __version__
from pipeline.exports.publication.dataset import (
    DataSet,
    after_start,
    file_paths,
    identifier,
    whole_second,
)
from pipeline.exports.publication.vocabulary import LICENCES, TAXON
from pipeline.exports.species import CAPUCHINBIRD, species_of
from pipeline.records import SCORE_DIGITS
from pipeline.survey.findings import Finding
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import csv_line

VERSION = "1.0.2"
SCHEMAS = "camtrap_dp_1_0_2"
ADDRESS = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
"""The standard's address for its schemas and profile."""
PACKAGE_TABLES = ("deployments", "media", "observations")

_Cells = Mapping[str, object]


@cache
def columns(table: str) -> tuple[str, ...]:
    """The columns of a table, in the standard's order."""
    schema = resources("pipeline.exports.publication") / SCHEMAS / f"{table}-table-schema.json"
    return tuple(field["name"] for field in json.loads(schema.read_text("utf-8"))["fields"])


def package_files(data: DataSet) -> Iterator[tuple[str, bytes]]:
    """The files of a package: each one's name and content."""
    rows = {
        "deployments": deployment_rows(data),
        "media": media_rows(data),
        "observations": observation_rows(data),
    }
    for table in PACKAGE_TABLES:
        yield f"{table}.csv", encode("".join(_lines(table, rows[table])))
    text = json.dumps(descriptor(data), indent=2, ensure_ascii=False) + "\n"
    yield "datapackage.json", text.encode()


def _lines(table: str, rows: Iterable[_Cells]) -> Iterator[str]:
    yield csv_line(columns(table))
    for row in rows:
        yield csv_line([_cell(row.get(column)) for column in columns(table)])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value)


def deployment_rows(data: DataSet) -> Iterator[_Cells]:
    """A row for each deployment."""
    for one in data.deployments:
        yield {
            "deploymentID": one.name,
            "locationID": one.site,
            "locationName": one.site,
            "latitude": one.latitude,
            "longitude": one.longitude,
            "coordinateUncertainty": data.about.stated_uncertainty_m,
            "deploymentStart": whole_second(one.starts),
            "deploymentEnd": whole_second(one.ends, up=True),
            "cameraID": one.recorder,
            "timestampIssues": one.is_doubtful,
            "deploymentComments": f"Acoustic recorder. {one.recorded_h:.2f} h recorded in "
            f"{len(one.recordings):,} recordings, {one.valid_h:.2f} h of them valid.",
        }


def media_rows(data: DataSet) -> Iterator[_Cells]:
    """A row for each counted recording, with calls and without: the effort."""
    paths = file_paths([row.recording for one in data.deployments for row in one.recordings])
    for one in data.deployments:
        for row in one.recordings:
            kind, _ = mimetypes.guess_type(posixpath.basename(row.recording))
            is_audio = kind is not None and kind.startswith("audio/")
            yield {
                "mediaID": identifier(row.recording),
                "deploymentID": one.name,
                "captureMethod": "timeLapse",
                "timestamp": whole_second(after_start(row, 0)),
                "filePath": paths[row.recording],
                "filePublic": False,
                "fileName": posixpath.basename(row.recording),
                "fileMediatype": kind if is_audio else "audio/wav",
                "mediaComments": f"{row.duration_s or 0:.1f} s recorded, "
                f"{row.heard_s or 0:.1f} s heard",
            }


def observation_rows(data: DataSet) -> Iterator[_Cells]:
    """A row for each call."""
    deployment_of = data.deployment_of
    for finding in data.findings:
        row, verdict = finding.recording, finding.verdict
        score = "" if finding.score is None else f"; score {finding.score:.{SCORE_DIGITS}f}"
        yield {
            "observationID": identifier(row.recording, finding.start_s, finding.end_s),
            "deploymentID": deployment_of[row.recording],
            "mediaID": identifier(row.recording),
            "eventID": identifier(row.recording, finding.start_s, finding.end_s),
            "eventStart": whole_second(after_start(row, finding.start_s)),
            "eventEnd": whole_second(after_start(row, finding.end_s), up=True),
            "observationLevel": "media",
            "observationType": "animal",
            "scientificName": scientific_name(finding),
            "count": max(1, (verdict and verdict.n_birds) or 1),
            "behavior": "calling",
            "observationTags": "verified" if finding.is_verified else "unverified",
            "observationComments": f"Call from {finding.start_s:.3f} to {finding.end_s:.3f} s of "
            f"the recording{score}.",
            **_classified(data, finding),
        }


def scientific_name(finding: Finding) -> str:
    """Scientific name of the caller; observers listen for the model's bird only."""
    species = species_of(finding.call.label) if finding.call else CAPUCHINBIRD
    return species.scientific or species.common


def _classified(data: DataSet, finding: Finding) -> _Cells:
    """Classifier, time and probability; a person's answer has no probability."""
    if finding.verdict is not None and finding.is_verified:
        return {
            "classificationMethod": "human",
            "classifiedBy": " | ".join(finding.verdict.observers) or None,
            "classificationTimestamp": with_offset(finding.verdict.labelled_at),
        }
    return {
        "classificationMethod": "machine",
        "classifiedBy": data.model,
        "classificationTimestamp": run_moment(finding.recording.run_id),
        "classificationProbability": None
        if finding.score is None
        else round(finding.score, SCORE_DIGITS),
    }


def with_offset(text: str) -> datetime | None:
    """A moment from ISO 8601; None without an offset from UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return whole_second(moment) if moment.tzinfo else None


def run_moment(run_id: str) -> datetime | None:
    """Start of a run, from its name."""
    match = re.match(r"(\d{8}T\d{6})", run_id)
    return datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) if match else None


def descriptor(data: DataSet) -> dict[str, Any]:
    """datapackage.json."""
    about = data.about
    west, east, south, north = box(data)
    return {
        "resources": [
            {
                "name": table,
                "path": f"{table}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": f"{ADDRESS}/{table}-table-schema.json",
            }
            for table in PACKAGE_TABLES
        ],
        "profile": f"{ADDRESS}/camtrap-dp-profile.json",
        "name": re.sub(r"[^a-z0-9]+", "-", about.title.lower()).strip("-") or "dataset",
        "created": about.created.isoformat(timespec="seconds"),
        "title": about.title,
        "contributors": list(_contributors(data)),
        "description": about.description or method_in_words(data),
        "version": "1.0",
        "keywords": ["passive acoustic monitoring", "birds"],
        "sources": [{"title": f"capuchinbird-counter {__version__}, model {data.model}"}],
        "licenses": [
            {"name": about.licence, "path": LICENCES[about.licence], "scope": scope}
            for scope in ("data", "media")
        ],
        "project": {
            "title": about.title,
            "description": method_in_words(data),
            "samplingDesign": about.design,
            "captureMethod": ["timeLapse"],
            "individualAnimals": False,
            "observationLevel": ["media"],
        },
        "spatial": {
            "type": "Polygon",
            "coordinates": [
                [[west, south], [east, south], [east, north], [west, north], [west, south]]
            ],
        },
        "temporal": {
            "start": min(one.starts for one in data.deployments).date().isoformat(),
            "end": max(one.ends for one in data.deployments).date().isoformat(),
        },
        "taxonomic": [_taxon(name) for name in sorted(set(map(scientific_name, data.findings)))],
    }


def _contributors(data: DataSet) -> Iterator[dict[str, str]]:
    about = data.about
    for n, person in enumerate(about.authors):
        details = {"title": person.name, "email": person.email, "organization": about.organisation}
        yield {k: v for k, v in details.items() if v} | {"role": "contributor" if n else "contact"}
    if about.organisation:
        yield {"title": about.organisation, "role": "rightsHolder"}


def _taxon(name: str) -> dict[str, Any]:
    if name != CAPUCHINBIRD.scientific:
        return {"scientificName": name}
    return {"scientificName": name, **TAXON, "vernacularNames": {"eng": CAPUCHINBIRD.common}}


def box(data: DataSet) -> tuple[float, float, float, float]:
    """Degrees west, east, south and north of all deployments."""
    longitudes = [one.longitude for one in data.deployments]
    latitudes = [one.latitude for one in data.deployments]
    return min(longitudes), max(longitudes), min(latitudes), max(latitudes)


def method_in_words(data: DataSet) -> str:
    """The method of detection and verification."""
    n = len(data.findings)
    n_verified = sum(finding.is_verified for finding in data.findings)
    return (
        "Autonomous recorders; calls found by capuchinbird-counter "
        f"{__version__} with the model {data.model} at a threshold of {data.threshold:g}. "
        f"Of {n:,} calls {n_verified:,} were confirmed by a person who listened to them."
    )
