"""What lies in a bucket after a run: tables that stay unless they change, and a review of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.storage import buckets, files
from tests.cloud.conftest import Bucket
from tests.cloud.emulators import Answer, PassOn, Request
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


@pytest.mark.parametrize(
    ("n", "at_once", "n_requests"),
    [
        *((0, 32, 1), (1, 32, 1), (20, 4, 9)),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((31, 32, 1), (32, 32, 3))),
    ],
)
def test_a_bucket_puts_pieces_together_in_order(
    bucket: Bucket, n: int, at_once: int, n_requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 32 at a time, so that more of them take levels; nothing is left in between."""
    assert buckets.COMPOSED_AT_ONCE == 32
    monkeypatch.setattr(buckets, "COMPOSED_AT_ONCE", at_once)
    pieces = [bucket.put(f"out/pieces/{k:04}", f"row {k}\n".encode()) for k in range(n)]
    bucket.put("out/counts.csv", b"of before")
    bucket.proxy.requests.clear()
    buckets.compose(f"{bucket.uri}/out/counts.csv", b"head\n", pieces)
    expected = "head\n" + "".join(f"row {k}\n" for k in range(n))
    assert bucket.get("out/counts.csv").decode() == expected
    assert len(bucket.names()) == n + 1
    # A slow server is asked again.
    asked = {r.path: r.json() for r in bucket.proxy.requests if "/compose" in r.path}
    assert all(len(request["sourceObjects"]) <= at_once for request in asked.values())
    assert len(asked) == n_requests


def test_a_piece_that_has_gone_is_said(bucket: Bucket) -> None:
    there = bucket.put("out/pieces/a", b"a")
    with pytest.raises(FileNotFoundError, match="a part of it has gone"):
        buckets.compose(f"{bucket.uri}/out/counts.csv", b"", [there, f"{bucket.uri}/out/gone"])
    assert bucket.names() == ["out/pieces/a"]


@pytest.mark.slow
def test_a_busy_bucket_is_asked_again(bucket: Bucket) -> None:
    pieces = [bucket.put(f"out/pieces/{k}", b"x") for k in range(3)]
    refused = set()

    def busy(request: Request, pass_on: PassOn) -> Answer:
        kind = request.method, "compose" in request.path
        if kind in refused:
            return pass_on()
        refused.add(kind)
        return Answer(503)

    bucket.proxy.rule = busy
    buckets.compose(f"{bucket.uri}/out/counts.csv", b"head ", pieces)
    bucket.proxy.rule = lambda request, pass_on: pass_on()
    assert bucket.get("out/counts.csv") == b"head xxx"
    assert bucket.names() == ["out/counts.csv", *(f"out/pieces/{k}" for k in range(3))]
    assert refused == {("POST", False), ("POST", True), ("DELETE", False)}


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
