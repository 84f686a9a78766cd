"""What lies in a bucket after a run: tables that stay unless they change, and a review of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.storage import buckets, files
from tests.cloud.conftest import Bucket
from tests.cloud.test_buckets import count, encoded
from tests.fakes import write_model


def versions(bucket: Bucket, prefix: str) -> dict[str, str]:
    """Objects below a prefix, and when each was written."""
    blobs = buckets.storage_client().list_blobs(bucket.uri[5:], prefix=prefix)
    return {blob.name: str(blob.updated) for blob in blobs}


@pytest.mark.slow
def test_tables_in_a_bucket_are_written_when_they_change_and_can_be_reviewed(
    bucket: Bucket, tmp_path: Path, peaks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model")
    bucket.put("night/a.wav", encoded(20, 16_000, "WAV", [3, 12]))
    bucket.put("night/b.wav", encoded(20, 16_000, "WAV"))
    output = f"{bucket.uri}/out"
    arguments = [f"--model={model}", f"--output={output}", "--format=raven"]
    assert count(f"--input={bucket.uri}/night/*.wav", *arguments) == 0
    before = versions(bucket, "out/raven/")
    assert len(before) == 1  # Raven has no table of a recording without calls

    bucket.put("night/c.wav", encoded(12, 16_000, "WAV", [5]))
    assert count(f"--input={bucket.uri}/night/*.wav", *arguments) == 0
    after = versions(bucket, "out/raven/")
    assert len(after) == 2
    assert {name: after[name] for name in before} == before

    stale = next(name for name in before if "a.wav" in name)
    bucket.put(stale, b"of an older version")
    assert count(f"--input={bucket.uri}/night/*.wav", *arguments) == 0
    assert bucket.get(stale).startswith(b"Selection\t")

    assert main(["review", output, "--clips=8"]) == 0
    page = f"{output}/review/review.html"
    assert f"8 clips, seed 0: open {page}" in capsys.readouterr().out
    assert b"data:audio/mpeg;base64," in bucket.get("out/review/review.html")
    header, *clips = bucket.get("out/review/clips.csv").decode().splitlines()
    assert len(clips) == 8
    labelled = [clip.replace(",,,,", ",yes,,Ana,") for clip in clips]  # whatever there is
    bucket.put("labels.csv", "\n".join([header, *labelled, ""]).encode())
    assert main(["verify", output, f"--labels={bucket.uri}/labels.csv"]) == 0
    assert bucket.get("out/verified.csv").startswith(b"scope,site,")
    assert main(["report", output]) == 0
    assert b"Verified by ear" in bucket.get("out/report.html")


def test_folders_and_files_are_listed_level_by_level(bucket: Bucket, tmp_path: Path) -> None:
    names = ["a.json", "b.gz", "x/c.json", "x/y/d.json", "z/e.gz"]
    for name in names:
        bucket.put(f"out/{name}", b"1")
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(b"1")
    for top in (f"{bucket.uri}/out", str(tmp_path / "out")):
        assert files.list_folder(top, ".json") == [f"{top}/a.json"]
        assert files.folders_in(top) == ["x", "z"]
        assert sorted(files.list_below(top, ".json")) == [
            f"{top}/{name}" for name in names if name.endswith(".json")
        ]
        before = files.list_versions(top, "")
        files.write_atomically(f"{top}/a.json", [b"1"])
        after = files.list_versions(top, "")
        assert {name for name in after if after[name] != before[name]} == {f"{top}/a.json"}
        assert files.list_folder(f"{top}/nowhere", "") == files.folders_in(f"{top}/nowhere") == []
