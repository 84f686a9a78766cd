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
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from xml.etree import ElementTree as ET

from pipeline.exports.publication.camtrap_dp import (
    box,
    method_in_words,
    run_moment,
    scientific_name,
    with_offset,
)
from pipeline.exports.publication.dataset import (
    DataSet,
    Deployment,
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

TERMS = "http://rs.tdwg.org/dwc/terms/"
DUBLIN_CORE = "http://purl.org/dc/terms/"
HUMBOLDT = "http://rs.tdwg.org/eco/terms/"
MS_PER_H = 3_600_000

EVENT_COLUMNS = (
    "eventID",
    "parentEventID",
    "eventType",
    "eventDate",
    "samplingProtocol",
    "sampleSizeValue",
    "sampleSizeUnit",
    "samplingEffort",
    "locationID",
    "locality",
    "decimalLatitude",
    "decimalLongitude",
    "geodeticDatum",
    "coordinateUncertaintyInMeters",
    "dataGeneralizations",
    "countryCode",
    "license",
)
OCCURRENCE_COLUMNS = (
    "eventID",
    "occurrenceID",
    "basisOfRecord",
    "eventDate",
    "occurrenceStatus",
    "scientificName",
    "taxonRank",
    "kingdom",
    "phylum",
    "class",
    "order",
    "family",
    "genus",
    "vernacularName",
    "individualCount",
    "behavior",
    "identifiedBy",
    "dateIdentified",
    "identificationVerificationStatus",
    "identificationRemarks",
    "associatedMedia",
)

HUMBOLDT_COLUMNS = (
    "eventID",
    "isSamplingEffortReported",
    "samplingEffortValue",
    "samplingEffortUnit",
    "samplingEffortProtocol",
    "targetTaxonomicScope",
)
PARTS = (
    ("core", "event.txt", TERMS, "Event", EVENT_COLUMNS),
    ("extension", "occurrence.txt", TERMS, "Occurrence", OCCURRENCE_COLUMNS),
    ("extension", "humboldt.txt", HUMBOLDT, "Event", HUMBOLDT_COLUMNS),
)
"""Of an archive: what ``meta.xml`` calls each, its file, and the terms of its rows and columns."""

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
    for (_, name, _, _, columns), rows in zip(
        PARTS, (events, occurrence_rows(data), events), strict=True
    ):
        yield name, _table(columns, rows)
    yield "meta.xml", _xml(meta())
    yield "eml.xml", _xml(eml(data))


def _table(columns: tuple[str, ...], rows: Iterable[_Cells]) -> bytes:
    lines = ["\t".join(columns)]
    for row in rows:
        lines.append("\t".join(_cell(row.get(column)) for column in columns))
    return encode("\n".join(lines) + "\n")


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def night_of(deployment: Deployment, night: date) -> str:
    """The event of a night at a deployment."""
    return f"{deployment.name}:{night.isoformat()}"


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
                "eventID": night_of(one, night),
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
    deployments = {one.name: one for one in data.deployments}
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
            "eventID": night_of(
                deployments[deployment_of[row.recording]], visit_of(began, "night")
            ),
            "occurrenceID": f"{identifier(row.recording, finding.start_s, finding.end_s)}",
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


def _xml(root: ET.Element) -> bytes:
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def meta() -> ET.Element:
    """meta.xml: files and the terms of their columns."""
    root = ET.Element("archive", {"xmlns": "http://rs.tdwg.org/dwc/text/", "metadata": "eml.xml"})
    for tag, name, terms, row_type, columns in PARTS:
        file = ET.SubElement(
            root,
            tag,
            {
                "encoding": "UTF-8",
                "fieldsTerminatedBy": r"\t",
                "linesTerminatedBy": r"\n",
                "fieldsEnclosedBy": "",
                "ignoreHeaderLines": "1",
                "rowType": terms + row_type,
            },
        )
        location = ET.SubElement(ET.SubElement(file, "files"), "location")
        location.text = name
        ET.SubElement(file, "id" if tag == "core" else "coreid", {"index": "0"})
        for index, column in enumerate(columns):
            if tag == "core" or index:
                space = DUBLIN_CORE if column == "license" else terms
                ET.SubElement(file, "field", {"index": str(index), "term": space + column})
    return root


def eml(data: DataSet) -> ET.Element:
    """eml.xml: the data set's metadata, in the order of EML 2.1.1."""
    about = data.about
    root = ET.Element(
        "eml:eml",
        {
            "xmlns:eml": "eml://ecoinformatics.org/eml-2.1.1",
            "packageId": identifier(about.title, about.created.timestamp()),
            "system": "capuchinbird-counter",
            "scope": "system",
            "xml:lang": "en",
        },
    )
    dataset = ET.SubElement(root, "dataset")
    _add(dataset, "title", about.title)
    for person in about.authors:
        _person(dataset, "creator", data, person.name, person.email)
    first = about.authors[0]
    _person(dataset, "metadataProvider", data, first.name, first.email)
    _add(dataset, "pubDate", about.created.date().isoformat())
    _add(dataset, "language", "en")
    _add(dataset, "abstract/para", about.description or method_in_words(data))
    _add(dataset, "keywordSet/keyword", "Samplingevent")
    _add(
        dataset.find("keywordSet"),
        "keywordThesaurus",
        "http://rs.gbif.org/vocabulary/gbif/datasetType.xml",
    )
    rights = ET.SubElement(ET.SubElement(dataset, "intellectualRights"), "para")
    rights.text = "This work is licensed under "
    link = ET.SubElement(rights, "ulink", {"url": LICENCES[about.licence]})
    _add(link, "citetitle", about.licence)
    coverage = ET.SubElement(dataset, "coverage")
    place = ET.SubElement(coverage, "geographicCoverage")
    _add(place, "geographicDescription", ", ".join(one.site for one in data.deployments)[:500])
    west, east, south, north = box(data)
    for side, degrees in {"west": west, "east": east, "north": north, "south": south}.items():
        _add(place, f"boundingCoordinates/{side}BoundingCoordinate", f"{degrees:.6f}")
    for side, when in (
        ("beginDate", min(one.starts for one in data.deployments)),
        ("endDate", max(one.ends for one in data.deployments)),
    ):
        _add(coverage, f"temporalCoverage/rangeOfDates/{side}/calendarDate", f"{when:%Y-%m-%d}")
    for name in sorted(set(map(scientific_name, data.findings))):
        taxon = ET.SubElement(
            ET.SubElement(coverage, "taxonomicCoverage"), "taxonomicClassification"
        )
        _add(taxon, "taxonRankName", TAXON["taxonRank"])
        _add(taxon, "taxonRankValue", name)
    _person(dataset, "contact", data, first.name, first.email)
    step = ET.SubElement(ET.SubElement(dataset, "methods"), "methodStep")
    _add(step, "description/para", method_in_words(data))
    sampling = ET.SubElement(dataset.find("methods"), "sampling")  # type: ignore[arg-type]
    hours = sum(one.recorded_h for one in data.deployments)
    _add(
        sampling,
        "studyExtent/description/para",
        f"{len(data.deployments):,} deployments, {hours:,.2f} recorder-hours.",
    )
    _add(sampling, "samplingDescription/para", f"Sites: {about.design}. {protocol(data)}.")
    return root


def _add(parent: ET.Element | None, path: str, text: str) -> None:
    """Adds an element at a path; uses existing elements for all but the last."""
    assert parent is not None
    *above, last = path.split("/")
    for tag in above:
        child = parent.find(tag)
        parent = child if child is not None else ET.SubElement(parent, tag)
    ET.SubElement(parent, last).text = text


def _person(parent: ET.Element, role: str, data: DataSet, name: str, email: str) -> None:
    someone = ET.SubElement(parent, role)
    given, _, family = name.rpartition(" ")
    individual = ET.SubElement(someone, "individualName")
    if given:
        _add(individual, "givenName", given)
    _add(individual, "surName", family)
    if data.about.organisation:
        _add(someone, "organizationName", data.about.organisation)
    if email:
        _add(someone, "electronicMailAddress", email)
