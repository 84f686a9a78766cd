"""Buckets and tables on loopback, made once for all tests of this folder."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import google.auth
import pytest
from google.api_core.retry import retry_unary
from google.auth.credentials import AnonymousCredentials

from pipeline import launch
from pipeline.storage import buckets
from tests import plain_runner
from tests.cloud import emulators
from tests.cloud.emulators import Answer, PassOn, Request
from tests.fakes import CountedLoader


@dataclass
class Bucket:
    """A bucket of the test's own, reached through a proxy."""

    uri: str
    folder: Path
    proxy: emulators.Proxy

    def put(self, name: str, content: bytes) -> str:
        """Stores an object."""
        buckets.storage_client().bucket(self.uri[5:]).blob(name).upload_from_string(content)
        return f"{self.uri}/{name}"

    def get(self, name: str) -> bytes:
        """An object's content."""
        return bytes(buckets.storage_client().bucket(self.uri[5:]).blob(name).download_as_bytes())

    def names(self) -> list[str]:
        """All objects."""
        return sorted(blob.name for blob in buckets.storage_client().list_blobs(self.uri[5:]))


@pytest.fixture(scope="session")
def gcs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gcs")


@pytest.fixture(scope="session")
def gcs_url(gcs_folder: Path) -> Iterator[str]:
    if not emulators.PYTHON.exists():
        pytest.skip(emulators.MISSING)
    with emulators.gcs_server(gcs_folder) as url:
        yield url


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients ask again at once for what is busy or not done yet."""
    monkeypatch.setattr(retry_unary, "exponential_sleep_generator", lambda *_, **__: repeat(0.02))


@pytest.fixture
def bucket(
    impatience: None,
    gcs_url: str,
    gcs_folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bucket]:
    name = f"t{abs(hash(request.node.nodeid))}"
    make = urllib.request.Request(
        f"{gcs_url}/storage/v1/b?project=forest",
        data=f'{{"name": "{name}"}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(make, timeout=10).close()
    with emulators.proxy(gcs_url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "forest")
        buckets.forget_clients()
        yield Bucket(f"gs://{name}", gcs_folder / ".cloudstorage" / name, proxy)
        buckets.forget_clients()


@pytest.fixture
def peaks_on_beam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is the stand-in for the network."""
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: CountedLoader())


@pytest.fixture
def peaks(peaks_on_beam: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And local jobs run as a plain loop."""
    plain_runner.use(monkeypatch)


class _Partitions:
    """Teaches the BigQuery server partitions of a table: loads into one, and its deletion."""

    def __init__(self, url: str) -> None:
        self._jobs = f"{url}/bigquery/v2/projects/forest/queries"

    def _delete(self, dataset: str, decorated: str) -> str:
        table, _, night = decorated.partition("$")
        day = f"{night[:4]}-{night[4:6]}-{night[6:]}"
        query = f"DELETE FROM `forest.{dataset}.{table}` WHERE night = DATE '{day}'"
        body = json.dumps({"query": query, "useLegacySql": False}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(self._jobs, data=body, headers=headers)
        urllib.request.urlopen(asked, timeout=60).close()
        return table

    def __call__(self, request: Request, pass_on: PassOn) -> Answer:
        if request.method == "DELETE" and "$" in request.path:
            dataset, decorated = re.findall(r"datasets/(\w+)/tables/([\w$]+)", request.path)[0]
            self._delete(dataset, decorated)
            return Answer(204, b"")
        if request.method == "POST" and request.path.split("?")[0].endswith("/jobs"):
            job = request.json()
            load = job["configuration"].get("load")
            if load and "$" in load["destinationTable"]["tableId"]:
                target = load["destinationTable"]
                if load["writeDisposition"] == "WRITE_TRUNCATE":
                    self._delete(target["datasetId"], target["tableId"])
                target["tableId"] = target["tableId"].split("$")[0]
                load["writeDisposition"] = "WRITE_APPEND"
                return pass_on(json.dumps(job).encode())
        return pass_on()


@pytest.fixture(scope="session")
def bigquery_url(
    gcs_url: str, gcs_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bigquery")
    with emulators.bigquery_server(folder, gcs_folder / ".cloudstorage") as url:
        yield url


@pytest.fixture
def warehouse(
    impatience: None, bigquery_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[emulators.Proxy]:
    """The BigQuery server through a proxy that records requests and knows partitions."""
    with emulators.proxy(bigquery_url, _Partitions(bigquery_url)) as proxy:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", proxy.url)
        anonymous = AnonymousCredentials(), "forest"
        monkeypatch.setattr(google.auth, "default", lambda *_, **__: anonymous)
        yield proxy
