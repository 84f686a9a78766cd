"""The engines, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import engine


@pytest.fixture(params=["job_service", "flink"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[engine.Engine]:
    """An engine of the test's own, which it may kill."""
    start = {"job_service": engine.job_service, "flink": engine.flink}[request.param]
    try:
        with start(tmp_path / "engine") as started:
            yield started
    except engine.NotToBeHadError as error:
        pytest.skip(f"{request.param}: {error}")
