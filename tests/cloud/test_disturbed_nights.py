"""Kills, and two runs at once, where the output lies in a bucket."""

from pathlib import Path

import pytest

from tests import kills, nights
from tests.cloud.conftest import Bucket
from tests.fakes import write_model


@pytest.mark.slow
def test_kills_and_two_runs_at_once_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    archive, model = tmp_path / "archive", write_model(tmp_path / "model")
    arguments = ["--input", f"{archive}", "--model", f"{model}", "--segment_s", "5"]
    out, fresh = f"{bucket.uri}/out", f"{bucket.uri}/fresh"
    with nights.jobs(plain=True) as jobs:
        done = kills.kill_again_and_again(jobs, archive, arguments, out, kills=5, seed=3)
        assert sum(done.values()) == 5
        nights.write_recording(archive / "new.wav", bursts=2, seed=99)
        started = [jobs.start(*arguments, "--output", out) for _ in range(2)]
        assert [jobs.wait(pid) for pid in started] == [0, 0]
        assert jobs.run(*arguments, "--output", fresh) == 0
    assert nights.tables(out) == nights.tables(fresh)
