"""The engines, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import engine


@pytest.fixture(params=engine.STARTS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[engine.Engine]:
    """An engine of the test's own, which it may kill."""
    start = engine.STARTS[request.param]
    try:
        with start(tmp_path / "engine") as started:
            yield started
    except engine.NotToBeHadError as error:
        pytest.skip(f"{request.param}: {error}")
