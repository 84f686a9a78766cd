"""Buckets and tables on loopback, made once for all tests of this folder."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import buckets
from tests.cloud import emulators


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
def bucket(
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
        buckets.storage_client.cache_clear()
        yield Bucket(f"gs://{name}", gcs_folder / ".cloudstorage" / name, proxy)
        buckets.storage_client.cache_clear()
