"""A Slurm, started once for all tests of this folder that one process runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm import cluster


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Slurm]:
    """Two nodes of one core each."""
    try:
        with cluster.slurm(tmp_path_factory.mktemp("slurm") / "slurm") as running:
            yield running
    except cluster.NotToBeHadError as error:
        pytest.skip(f"Slurm: {error}")
