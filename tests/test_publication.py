"""What is published: a Camtrap DP package as frictionless sees it, and a Darwin Core archive."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files as resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests
from dwca.read import DwCAReader
from frictionless import FrictionlessException, Package, system
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.exports.publication import camtrap_dp, darwin_core
from pipeline.exports.publication.dataset import (
    About,
    DataSet,
    Person,
    data_set,
    file_paths,
    generalised,
    identifier,
)
from pipeline.records import DetectedCall, RecordingCount
from pipeline.survey.labels import LABEL_COLUMNS
from tests.test_histories import DAWN, ELSEWHERE, EVENING, call, label, survey, write_results

ABOUT = About(
    "Capuchinbirds, Saül",
    (Person("Ana Silva", "ana@example.org"), Person("Bo")),
    "CC-BY-4.0",
    datetime(2024, 7, 1, tzinfo=UTC),
    organisation="Institute",
    uncertainty_m=30,
    country="GF",
)
TERMS, ECO = "http://rs.tdwg.org/dwc/terms/", "http://rs.tdwg.org/eco/terms/"
HUMBOLDT = f"{ECO}Event"
CALLS = [call(DAWN, 10.25), call(DAWN, 100), call(ELSEWHERE, 10), call(EVENING, 7000)]
LABELS = [
    label(DAWN, 10.25, "yes"),
    label(DAWN, 10.25, "yes", "Bo"),
    label(DAWN, 100, "no"),
    label(DAWN, 200, "yes"),  # below the threshold
    label(EVENING, 7000, "unsure"),
]


def published(unverified: bool = False) -> DataSet:
    return data_set(survey([EVENING, DAWN, ELSEWHERE], CALLS, LABELS), ABOUT, unverified)


class Vendored(requests.adapters.BaseAdapter):
    """Answers for the network with the files that lie in this project."""

    def send(self, request: Any, *_: Any, **__: Any) -> requests.Response:
        folder = resources("pipeline.exports.publication") / camtrap_dp.SCHEMAS
        response = requests.Response()
        response.status_code, response.url = 200, request.url
        known = {
            # frictionless validates every package against its own copy of these.
            "https://specs.frictionlessdata.io/schemas/data-package.json": b"{}",
            "http://json.schemastore.org/geojson.json": (
                resources("frictionless") / "assets" / "profiles" / "geojson.json"
            ).read_bytes(),
        }
        if request.url.startswith(camtrap_dp.ADDRESS):
            content = (folder / request.url.rpartition("/")[2]).read_bytes()
        else:
            content = known[request.url]
        response.raw = io.BytesIO(content)
        return response

    def close(self) -> None: ...


def problems(folder: Path) -> list[list[Any]]:
    """What frictionless says against a package, as it was written."""
    session = requests.Session()
    session.mount("https://", Vendored())
    session.mount("http://", Vendored())
    with system.use_context(http_session=session, trusted=True):
        report = Package(str(folder / "datapackage.json")).validate()
    return report.flatten(["type", "note"])  # type: ignore[no-any-return]


def write_package(folder: Path, data: DataSet) -> Path:
    for name, content in camtrap_dp.package_files(data):
        (folder / name).write_bytes(content)
    return folder


def rows_of(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("unverified", [False, True])
def test_frictionless_accepts_the_package(tmp_path: Path, unverified: bool) -> None:
    assert problems(write_package(tmp_path, published(unverified))) == []


def test_frictionless_would_say_what_is_wrong(tmp_path: Path) -> None:
    write_package(tmp_path, published())
    table = tmp_path / "observations.csv"
    table.write_text(table.read_text().replace(",animal,", ",bird,").replace("Ridge", "Rigde"))
    assert {kind for kind, _ in problems(tmp_path)} == {"constraint-error", "foreign-key"}
    package = json.loads((tmp_path / "datapackage.json").read_text())
    del package["project"]["samplingDesign"]
    (tmp_path / "datapackage.json").write_text(json.dumps(package))
    with pytest.raises(FrictionlessException, match="samplingDesign"):
        problems(tmp_path)


def test_the_package_says_who_heard_what(tmp_path: Path) -> None:
    write_package(tmp_path, published())
    deployments, media, observations = (
        rows_of(tmp_path, name) for name in camtrap_dp.PACKAGE_TABLES
    )
    assert [row["deploymentID"] for row in deployments] == ["Creek", "Ridge"]
    assert deployments[1]["deploymentStart"] == "2024-06-10T22:00:00-03:00"
    assert deployments[1]["deploymentEnd"] == "2024-06-11T06:00:00-03:00"
    assert "5.00 h recorded in 2 recordings" in deployments[1]["deploymentComments"]
    assert [row["filePath"] for row in media] == ["d_other.wav", "a_evening.wav", "b_dawn.wav"]
    assert {row["fileMediatype"] for row in media} <= {"audio/x-wav", "audio/wav"}
    first, second = observations
    assert first["mediaID"] == identifier("b_dawn.wav")
    assert (first["eventStart"], first["eventEnd"]) == (
        "2024-06-11T05:00:10-03:00",
        "2024-06-11T05:00:14-03:00",
    )
    assert (first["classificationMethod"], first["classifiedBy"]) == ("human", "Ana | Bo")
    assert first["classificationTimestamp"] == "2024-07-01T10:00:00+00:00"
    assert first["classificationProbability"] == ""
    assert "score 0.40000" in second["observationComments"]


def test_unverified_calls_are_marked(tmp_path: Path) -> None:
    write_package(tmp_path, published(unverified=True))
    by_tag: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(tmp_path, "observations"):
        by_tag.setdefault(row["observationTags"], []).append(row)
    assert {tag: len(rows) for tag, rows in by_tag.items()} == {"verified": 2, "unverified": 2}
    row = by_tag["unverified"][0]
    assert (row["classificationMethod"], row["classifiedBy"]) == ("machine", "onset-1")
    assert row["classificationProbability"] == "0.9"
    assert row["classificationTimestamp"] == "2024-06-12T05:00:00+00:00"


def test_darwin_core_is_an_archive(tmp_path: Path) -> None:
    (tmp_path / "dwca.zip").write_bytes(darwin_core.archive(published(unverified=True)))
    with DwCAReader(tmp_path / "dwca.zip") as archive:
        assert archive.descriptor.core.type == f"{TERMS}Event"
        assert archive.metadata.find("dataset/title").text == "Capuchinbirds, Saül"
        events = {row.id: row for row in archive}
        assert list(events) == ["Creek", "Creek:2024-06-11", "Ridge", "Ridge:2024-06-10"]
        night = events["Ridge:2024-06-10"].data
        assert night[f"{TERMS}parentEventID"] == "Ridge"
        assert night[f"{TERMS}eventDate"] == "2024-06-10T12:00/2024-06-11T12:00"
        assert night[f"{TERMS}sampleSizeValue"] == "5.0000"
        assert night[f"{TERMS}samplingEffort"].startswith("5.00 recorder-hours in 2 recordings")
        effort = [
            line for line in events["Ridge:2024-06-10"].extensions if line.rowtype == HUMBOLDT
        ]
        assert [line.data[f"{ECO}samplingEffortValue"] for line in effort] == ["5.0000"]
        occurrences = {
            row.id: [line for line in row.extensions if line.rowtype == f"{TERMS}Occurrence"]
            for row in events.values()
        }
        found = [line.data for lines in occurrences.values() for line in lines]
        parents = [name for name, lines in occurrences.items() for _ in lines]
        assert parents == ["Creek:2024-06-11", *["Ridge:2024-06-10"] * 3]
        assert {row[f"{TERMS}basisOfRecord"] for row in found} == {"MachineObservation"}
        status = f"{TERMS}identificationVerificationStatus"
        assert sorted(row[status] for row in found) == [
            *["unverified"] * 2,
            *["verified by human"] * 2,
        ]
        assert {row[f"{TERMS}family"] for row in found} == {"Cotingidae"}
        remarks = [row[f"{TERMS}identificationRemarks"] for row in found]
        assert any("onset-1, score 0.90000, threshold 0.5" in text for text in remarks)
        assert any("not reported by model" in text for text in remarks)
        names = [row[f"{TERMS}occurrenceID"] for row in found]
        assert len(set(names)) == len(names)


def test_eml_has_its_parts_in_the_order_that_gbif_asks_for() -> None:
    text = dict(darwin_core.archive_files(published()))["eml.xml"]
    root = ET.fromstring(text)
    dataset = root.find("dataset")
    assert dataset is not None
    order = [child.tag for child in dataset]
    assert order == [
        "title",
        "creator",
        "creator",
        "metadataProvider",
        "pubDate",
        "language",
        "abstract",
        "keywordSet",
        "intellectualRights",
        "coverage",
        "contact",
        "methods",
    ]
    assert dataset.findtext("creator/individualName/surName") == "Silva"
    assert dataset.find("intellectualRights/para/ulink") is not None
    west = dataset.findtext("coverage/geographicCoverage/boundingCoordinates/*")
    assert west == "-52.500000"


def test_the_same_data_give_the_same_bytes() -> None:
    assert darwin_core.archive(published()) == darwin_core.archive(published())
    assert list(camtrap_dp.package_files(published())) == list(
        camtrap_dp.package_files(published())
    )


def test_what_cannot_be_published_is_said() -> None:
    rows = [
        DAWN,
        replace(ELSEWHERE, latitude=None),
        replace(EVENING, recorded_at=""),
        replace(EVENING, recording="z.wav", outcome="failed"),
    ]
    data = data_set(survey(rows, [call(DAWN, 10), call(DAWN, 50)], [label(DAWN, 50, "no")]), ABOUT)
    assert [line.split(" are left out")[0] for line in data.left_out] == [
        "1 recordings that failed",
        "1 recordings without a site and its position",
        "1 recordings",
        "1 calls that no person has confirmed",
        "1 calls that people heard to be none",
    ]
    assert data.findings == ()
    with pytest.raises(ValueError, match="time_zone"):
        data_set(survey([replace(DAWN, recorded_at="")], []), ABOUT)


NAMES = st.text(st.sampled_from("ab.~/ é"), min_size=1, max_size=12)


@given(st.sets(NAMES.map(lambda name: f"/card/{name}.wav"), min_size=1, max_size=5))
def test_every_path_is_one_that_camtrap_dp_allows(names: set[str]) -> None:
    paths = file_paths(sorted(names))
    for path in paths.values():
        assert path[0] not in "./~"
        assert ".." not in path


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[RecordingCount] = [EVENING, DAWN, ELSEWHERE]
    calls: list[DetectedCall] = CALLS
    write_results(tmp_path, rows, calls)
    lines = [",".join(LABEL_COLUMNS), "b_dawn.wav,10.25,13.75,0.9,Ridge,s1,yes,2,Ana,"]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "published"
    arguments = ["publish-data", str(tmp_path), "--output", str(output), "--title", "Birds"]
    arguments += ["--author", "Ana Silva <ana@example.org>", "--licence", "CC0-1.0"]
    assert main([*arguments]) == 2
    assert "--labels, or say --unverified" in capsys.readouterr().err
    assert main([*arguments, "--labels", str(tmp_path / "labels.csv")]) == 0
    printed = capsys.readouterr()
    assert "2 deployments, 3 recordings, 1 calls (1 confirmed by people)" in printed.out
    assert "3 calls that no person has confirmed are left out" in printed.err
    assert problems(output / "camtrap_dp") == []
    with zipfile.ZipFile(output / "darwin_core.zip") as packed:
        assert packed.namelist() == [
            "event.txt", "occurrence.txt", "humboldt.txt", "meta.xml", "eml.xml",
        ]  # fmt: skip
    (row,) = rows_of(output / "camtrap_dp", "observations")
    assert row["count"] == "2"
    exact = rows_of(output / "camtrap_dp", "deployments")[0]
    arguments += ["--labels", str(tmp_path / "labels.csv"), "--generalise-m", "5000"]
    assert main(arguments) == 0
    moved = rows_of(output / "camtrap_dp", "deployments")[0]
    assert problems(output / "camtrap_dp") == []
    assert (moved["latitude"], moved["longitude"]) != (exact["latitude"], exact["longitude"])
    assert moved["coordinateUncertainty"] == "3536"
    with zipfile.ZipFile(output / "darwin_core.zip") as packed:
        assert b"position moved to the middle of a square of 5,000 m" in packed.read("event.txt")


@given(st.floats(-89, 89), st.floats(-180, 180), st.integers(1, 100_000))
def test_a_generalised_position_is_as_near_as_is_said_and_hides_where_it_was(
    latitude: float, longitude: float, side_m: int
) -> None:
    middle = generalised(latitude, longitude, side_m)
    east_m = math.radians(longitude - middle[1]) * math.cos(math.radians(latitude)) * 6_371_009
    north_m = math.radians(latitude - middle[0]) * 6_371_009
    about = About("", (), "", datetime(2026, 1, 1), generalise_m=side_m)
    assert about.stated_uncertainty_m is not None
    # Near the poles a square's southern side is longer than its middle.
    assert math.hypot(east_m, north_m) <= 1.1 * about.stated_uncertainty_m + 1
    assert generalised(*middle, side_m) == pytest.approx(middle, abs=2e-6)


def test_a_name_that_says_where_it_was_recorded_is_not_published_as_generalised() -> None:
    row = replace(EVENING, recording="20190226_050000Z_+39.2210-076.1100.flac")
    with pytest.raises(ValueError, match="says where it was recorded"):
        data_set(survey([row], [], []), replace(ABOUT, generalise_m=1000), unverified=True)
