"""A Darwin Core archive: events with their effort as the core, occurrences as its extension.

https://dwc.tdwg.org/text/. There is an event for each deployment and, below it, one for each night
(noon to noon) with recordings, with its effort, which the Humboldt extension (https://eco.tdwg.org)
holds in numbers. An occurrence is a call and belongs to its night. ``meta.xml`` maps columns to
terms, ``eml.xml`` describes the data set.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from importlib.resources import files as resources
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from markupsafe import Markup

from model.pages import page_environment
from pipeline.exports.publication.camtrap_dp import (
    box,
    method_in_words,
    run_moment,
    scientific_name,
    with_offset,
)
from pipeline.exports.publication.dataset import (
    DataSet,
    after_start,
    identifier,
    whole_second,
)
from pipeline.exports.publication.vocabulary import LICENCES, TAXON
from pipeline.exports.species import CAPUCHINBIRD
from pipeline.records import SCORE_DIGITS
from pipeline.survey.findings import Finding
from pipeline.survey.histories import bounds, time_shares, visit_of
from pipeline.tables.cell_text import encode

META = (resources("pipeline.exports.publication") / "templates" / "meta.xml").read_bytes()
"""The archive's files and the terms of their columns."""
MS_PER_H = 3_600_000

_Cells = Mapping[str, object]


def archive(data: DataSet) -> bytes:
    """The archive as one file. The same data give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in archive_files(data):
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def archive_files(data: DataSet) -> Iterator[tuple[str, bytes]]:
    """The files of an archive: each one's name and content."""
    events = list(event_rows(data))
    rows_of = {"event": events, "occurrence": occurrence_rows(data), "humboldt": events}
    for name, columns in file_columns().items():
        yield name, _table(columns, rows_of[name.removesuffix(".txt")])
    yield "meta.xml", META
    yield "eml.xml", eml(data)


def file_columns() -> dict[str, list[str]]:
    """The columns of each file: its event, and what else meta.xml says."""
    space = "{http://rs.tdwg.org/dwc/text/}"
    columns = {}
    for file in ET.fromstring(META):
        terms = [field.attrib["term"].rpartition("/")[2] for field in file.iter(f"{space}field")]
        columns[file.findtext(f"*/{space}location", "")] = list(dict.fromkeys(["eventID", *terms]))
    return columns


def _table(columns: Sequence[str], rows: Iterable[_Cells]) -> bytes:
    lines = ["\t".join(columns)]
    for row in rows:
        lines.append("\t".join(_cell(row.get(column)) for column in columns))
    return encode("\n".join(lines) + "\n")


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def night_of(deployment: str, night: date) -> str:
    """The event of a night at a deployment of this name."""
    return f"{deployment}:{night.isoformat()}"


def event_rows(data: DataSet) -> Iterator[_Cells]:
    """Deployments, each followed by its nights."""
    for one in data.deployments:
        place = {
            "locationID": one.site,
            "locality": one.site,
            "decimalLatitude": one.latitude,
            "decimalLongitude": one.longitude,
            "geodeticDatum": "EPSG:4326",
            "coordinateUncertaintyInMeters": data.about.stated_uncertainty_m,
            "dataGeneralizations": data.about.generalisation,
            "countryCode": data.about.country,
            "samplingProtocol": protocol(data),
            "sampleSizeUnit": "hour",
            "license": LICENCES[data.about.licence],
        }
        yield {
            "eventID": one.name,
            "eventType": "Deployment",
            "eventDate": time_interval(whole_second(one.starts), whole_second(one.ends, up=True)),
            **_effort(one.recorded_h, one.valid_h, len(one.recordings)),
            **place,
        }
        sums: dict[date, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
        for row in one.recordings:
            for night, recorded_ms, valid_ms in time_shares(row, "night"):
                recorded, valid, n = sums[night]
                sums[night] = recorded + recorded_ms, valid + valid_ms, n + 1
        for night, (recorded, valid, n) in sorted(sums.items()):
            begins, ends = bounds(night, "night")
            yield {
                "eventID": night_of(one.name, night),
                "parentEventID": one.name,
                "eventType": "Night",
                "eventDate": f"{begins:%Y-%m-%dT%H:%M}/{ends:%Y-%m-%dT%H:%M}",
                **_effort(recorded / MS_PER_H, valid / MS_PER_H, n),
                **place,
            }


def _effort(recorded_h: float, valid_h: float, n: int) -> _Cells:
    return {
        "sampleSizeValue": f"{valid_h:.4f}",
        "samplingEffort": f"{recorded_h:.2f} recorder-hours in {n:,} recordings, "
        f"{valid_h:.2f} of them valid",
        "isSamplingEffortReported": "true",
        "samplingEffortValue": f"{valid_h:.4f}",
        "samplingEffortUnit": "recorderHours",
        "samplingEffortProtocol": "hours of valid sound: without silence and dropouts",
        "targetTaxonomicScope": CAPUCHINBIRD.scientific,
    }


def protocol(data: DataSet) -> str:
    """The sampling protocol, in a few words."""
    return (
        f"passive acoustic monitoring; calls found by model {data.model} at threshold "
        f"{data.threshold:g}"
    )


def time_interval(starts: datetime, ends: datetime) -> str:
    """An interval in ISO 8601."""
    return f"{starts.isoformat(timespec='seconds')}/{ends.isoformat(timespec='seconds')}"


def occurrence_rows(data: DataSet) -> Iterator[_Cells]:
    """A row for each call."""
    deployment_of = data.deployment_of
    for finding in data.findings:
        row = finding.recording
        starts = whole_second(after_start(row, finding.start_s))
        ends = whole_second(after_start(row, finding.end_s), up=True)
        began = finding.local
        assert began is not None
        name = scientific_name(finding)
        taxon = {**TAXON, "vernacularName": CAPUCHINBIRD.common}
        yield {
            "eventID": night_of(deployment_of[row.recording], visit_of(began, "night")),
            "occurrenceID": identifier(row.recording, finding.start_s, finding.end_s),
            "basisOfRecord": "MachineObservation",
            "eventDate": time_interval(starts, ends),
            "occurrenceStatus": "present",
            "scientificName": name,
            **(taxon if name == CAPUCHINBIRD.scientific else {}),
            "individualCount": finding.verdict.n_birds if finding.verdict else None,
            "behavior": "calling",
            "identificationRemarks": identification_remarks(data, finding),
            "associatedMedia": posixpath.basename(row.recording),
            **_identified(data, finding),
        }


def _identified(data: DataSet, finding: Finding) -> _Cells:
    if finding.verdict is not None and finding.is_verified:
        when = with_offset(finding.verdict.labelled_at)
        return {
            "identifiedBy": " | ".join(finding.verdict.observers),
            "dateIdentified": when.isoformat() if when else "",
            "identificationVerificationStatus": "verified by human",
        }
    when = run_moment(finding.recording.run_id)
    return {
        "identifiedBy": f"model {data.model}",
        "dateIdentified": when.isoformat() if when else "",
        "identificationVerificationStatus": "unverified",
    }


def identification_remarks(data: DataSet, finding: Finding) -> str:
    """Model, score and position of a call."""
    where = f"{finding.start_s:.3f} to {finding.end_s:.3f} s of the recording"
    if finding.call is None:
        return f"heard by a person at {where}; not reported by model {data.model}"
    score = f"{finding.call.score:.{SCORE_DIGITS}f}"
    return f"model {data.model}, score {score}, threshold {data.threshold:g}; {where}"


def eml(data: DataSet) -> bytes:
    """eml.xml: the data set's metadata, in the order of EML 2.1.1."""
    pages = page_environment("pipeline.exports.publication").overlay(finalize=_xml_text)
    about = data.about
    text = pages.get_template("eml.xml").render(
        data=data,
        identifier=identifier(about.title, about.created.timestamp()),
        licence=LICENCES[about.licence],
        method=method_in_words(data),
        protocol=protocol(data),
        sites=", ".join(one.site for one in data.deployments),
        box=box(data),
        rank=TAXON["taxonRank"],
        species=sorted(set(map(scientific_name, data.findings))),
    )
    return encode(text)


def _xml_text(value: object) -> Markup:
    """Text between tags; quotes stand there as they are."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))
