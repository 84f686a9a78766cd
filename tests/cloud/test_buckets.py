"""Recordings in buckets: read in ranges, counted, and what happens when the bucket misbehaves."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import google.auth
import numpy as np
import pytest
import soundfile
from google.auth.credentials import AnonymousCredentials

from model.audio.recording import Recording, probe
from model.windows import windows_every
from pipeline import launch, options
from pipeline.inference import decode
from pipeline.inputs import versions
from pipeline.inputs.manifests import list_recordings
from pipeline.records import Listed
from pipeline.run import run_of
from pipeline.storage import buckets, files
from tests import plain_runner
from tests.cloud.conftest import Bucket
from tests.cloud.emulators import Answer, PassOn, Request
from tests.conftest import Recordings, noise_with_bursts
from tests.fakes import write_model

MIB = 2**20


def encoded(duration_s: float, rate: int, kind: str, bursts: Sequence[float] = ()) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise_with_bursts(duration_s, rate, 1, bursts), rate, format=kind)
    return buffer.getvalue()


def count(*arguments: object) -> int:
    """Runs the job. Returns its exit code."""
    return launch.launch(run_of(options.parse([*map(str, arguments), "--no_report"])))


def rows(text: str) -> dict[str, list[dict[str, str]]]:
    """A table by recording's base name, without what tells runs and places apart."""
    table: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        name = row.pop("recording").rsplit("/", 1)[1]
        row.pop("run_id")
        if "error" in row:
            row["error"] = re.sub(r"\S+/", "", row["error"])
        table.setdefault(name, []).append(row)
    return table


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
def test_only_the_wanted_part_of_a_long_recording_travels(
    bucket: Bucket, kind: str, tmp_path: Path
) -> None:
    content = encoded(240, 48_000, kind)
    uri = bucket.put(f"long.{kind.lower()}", content)
    local = tmp_path / f"long.{kind.lower()}"
    local.write_bytes(content)

    bucket.proxy.sent_bytes = 0
    with files.open_to_read(uri) as source:
        assert probe(source, uri) == probe(local)
    assert bucket.proxy.sent_bytes < 0.3 * MIB

    bucket.proxy.sent_bytes = 0
    bucket.proxy.requests.clear()
    with Recording(local) as opened:  # as a job looks at a long one before it is shared out
        way, info = opened.way(), opened.info
    with files.open_to_read(uri) as source, Recording(source, uri, info, way) as opened:
        there = opened.read(120 * 16_000, 30 * 16_000)
    with Recording(local) as opened:
        here = opened.read(120 * 16_000, 30 * 16_000)
    assert np.array_equal(there.samples, here.samples)
    assert bucket.proxy.sent_bytes < 4.5 * MIB
    assert len(bucket.proxy.requests) <= 8


def test_an_object_reads_like_a_file(bucket: Bucket) -> None:
    content = np.random.default_rng(0).bytes(700_001)
    uri = bucket.put("noise.bin", content)
    with files.open_to_read(uri) as there:
        assert not isinstance(there, str)
        here = io.BytesIO(content)
        for offset, size in ((0, 12), (650_000, 100_000), (5, 300_000), (300_005, 9), (700_001, 4)):
            assert there.seek(offset) == here.seek(offset)
            assert there.read(size) == here.read(size)
            assert there.tell() == here.tell()
        assert there.seek(-3, io.SEEK_END) == 699_998
        assert there.read() == content[-3:]
    assert files.read_bytes(bucket.put("empty", b"")) == b""


@pytest.mark.slow
def test_counts_in_a_bucket_equal_counts_on_disk(
    bucket: Bucket,
    recordings: Recordings,
    tmp_path: Path,
    peaks_on_beam: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, truth = recordings
    model = write_model(tmp_path / "model")
    for file in (p for p in folder.rglob("*") if p.is_file()):
        bucket.put(f"in/{file.relative_to(folder)}", file.read_bytes())
    for file in model.iterdir():
        bucket.put(f"model/{file.name}", file.read_bytes())

    # Where nobody is logged in, the search for credentials would take twenty seconds.
    searches: list[object] = []

    def default(*asked: object, **_: object) -> tuple[AnonymousCredentials, str]:
        searches.append(asked)
        return AnonymousCredentials(), "forest"

    monkeypatch.setattr(google.auth, "default", default)
    there = [f"--model={bucket.uri}/model", f"--output={bucket.uri}/out", "--format=tutorial"]
    assert count(f"--input={bucket.uri}/in/**", "--segment_s=7", *there) == 0
    assert not searches
    local = [f"--model={model}", f"--output={tmp_path}/out", "--format=tutorial"]
    assert count(f"--input={folder}/**", "--segment_s=60", *local) == 0

    for table in ("counts", "calls", "failures"):
        here = (tmp_path / "out" / f"{table}.csv").read_text()
        assert rows(bucket.get(f"out/{table}.csv").decode()) == rows(here)
    there_too = bucket.get("out/tutorial.csv").decode().replace(f"{bucket.uri}/in", str(folder))
    assert there_too == (tmp_path / "out/tutorial.csv").read_text()
    assert "run.json" in "".join(bucket.names())
    counted = rows(bucket.get("out/counts.csv").decode())
    found = {name: row["call_count"] for name, [row] in counted.items()}
    for path, calls in truth.items():
        assert found[path.rsplit("/", 1)[1]] == ("" if calls is None else str(calls))


@pytest.mark.slow
def test_the_forest_in_a_bucket_gives_the_bytes_of_the_forest_on_disk(
    eight_of_the_forest: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_runner.use(monkeypatch)
    here, there = str(eight_of_the_forest), f"{bucket.uri}/recordings"
    for recording in eight_of_the_forest.iterdir():
        bucket.put(f"recordings/{recording.name}", recording.read_bytes())
    assert count(f"--input={there}", f"--output={bucket.uri}/out") == 0
    assert count(f"--input={here}", f"--output={tmp_path}") == 0
    run_ids = [
        json.loads(run)["run_id"].encode()
        for run in ((tmp_path / "run.json").read_bytes(), bucket.get("out/run.json"))
    ]
    for name in ("counts.csv", "calls.csv", "failures.csv", "activity.csv"):
        expected = (tmp_path / name).read_bytes().replace(run_ids[0], b"RUN")
        found = bucket.get(f"out/{name}").replace(run_ids[1], b"RUN")
        assert found.replace(there.encode(), here.encode()) == expected
        assert len(expected.splitlines()) > 1 or name in ("failures.csv", "activity.csv")


@pytest.mark.slow
def test_a_folder_and_a_manifest_name_the_same_recordings(
    bucket: Bucket, tmp_path: Path, peaks: None
) -> None:
    model = write_model(tmp_path / "model")
    for duration_s, name in ((5, "a.wav"), (6, "b.WAV")):
        bucket.put(f"in/{name}", encoded(duration_s, 16_000, "WAV", [2]))
    bucket.put("in/._a.wav", b"left by macOS")
    manifest = bucket.put("in/list.csv", f"uri\n./a.wav\n{bucket.uri}/in/b.WAV\n".encode())
    expected = [f"{bucket.uri}/in/a.wav", f"{bucket.uri}/in/b.WAV"]
    arguments = [f"--model={model}", f"--output={tmp_path}/out"]
    for names in (
        [f"--input={bucket.uri}/in"],
        [f"--input={bucket.uri}/in/"],
        [f"--manifest={manifest}"],
        [f"--manifest={manifest}", f"--input={bucket.uri}/in"],
    ):
        config = options.parse([*names, *arguments])
        assert [known.recording for known in list_recordings(config)] == expected
    assert count(*names, *arguments) == 0
    table = rows((tmp_path / "out/counts.csv").read_text())
    assert {name: row["call_count"] for name, [row] in table.items()} == {
        "a.wav": "1",
        "b.WAV": "1",
    }


TROUBLES = {
    "429": lambda answer: Answer(429),
    "503": lambda answer: Answer(503),
    "reset": lambda answer: Answer(reset=True),
    "cut": lambda answer: Answer(answer.status, answer.body, cut_after=len(answer.body) // 2),
    "slow": lambda answer: Answer(answer.status, answer.body, delay_s=1),
    "gone": lambda answer: Answer(404),
    "forbidden": lambda answer: Answer(403),
}
LASTING = {"gone": "no such object any more", "forbidden": "403"}


@pytest.mark.slow
def test_a_bucket_in_trouble_costs_time_or_one_row(
    bucket: Bucket, tmp_path: Path, peaks: None
) -> None:
    """Each recording's content meets another trouble, at its first two requests or at all."""
    for more_s, name in enumerate(("good", *TROUBLES)):
        bucket.put(f"in/{name}.wav", encoded(20 + more_s, 48_000, "WAV", [8]))
    left = {name: 99 if name in LASTING else 2 for name in TROUBLES}
    left["slow"] = 1  # all of it comes with one request

    def spoil(request: Request, pass_on: PassOn) -> Answer:
        name = request.path.partition("/in/")[2].partition(".wav")[0]
        if "alt=media" not in request.path or not left.get(name):
            return pass_on()
        left[name] -= 1
        return TROUBLES[name](pass_on())

    bucket.proxy.rule = spoil
    model = write_model(tmp_path / "model")
    output = tmp_path / "out"
    assert count(f"--input={bucket.uri}/in/*", f"--model={model}", f"--output={output}") == 0

    table = rows((output / "counts.csv").read_text())
    for name in ("good", *TROUBLES):
        [row] = table[f"{name}.wav"]
        if name in LASTING:
            assert row["outcome"] == "failed"
            assert LASTING[name] in row["error"]
        else:
            assert not left.get(name)
            assert (row["outcome"], row["call_count"]) == ("ok", "1")


@pytest.mark.slow
def test_a_bucket_that_is_busy_for_every_kind_of_request(
    bucket: Bucket, tmp_path: Path, peaks: None
) -> None:
    """Listing, metadata, content, uploads, deletion: each is refused once."""
    bucket.put("in/a.wav", encoded(20, 48_000, "WAV", [8]))
    refused = set()

    def busy(request: Request, pass_on: PassOn) -> Answer:
        kind = request.method, "alt=media" in request.path, "prefix=" in request.path
        if kind in refused:
            return pass_on()
        refused.add(kind)
        return Answer(503)

    bucket.proxy.rule = busy
    model = write_model(tmp_path / "model")
    there = [f"--model={model}", f"--output={bucket.uri}/out"]
    assert count(f"--input={bucket.uri}/in/*", *there) == 0
    assert {method for method, _, _ in refused} >= {"GET", "POST", "PUT"}
    [row] = rows(bucket.get("out/counts.csv").decode())["a.wav"]
    assert (row["outcome"], row["call_count"]) == ("ok", "1")


@pytest.mark.slow
def test_an_object_that_vanishes_after_it_was_matched_is_a_failed_row(
    bucket: Bucket, tmp_path: Path, peaks: None
) -> None:
    bucket.put("in/bad.wav", encoded(5, 16_000, "WAV"))
    bucket.put("in/good.wav", encoded(6, 16_000, "WAV"))

    def vanish(request: Request, pass_on: PassOn) -> Answer:
        answer = pass_on()
        if "prefix=" in request.path and len(bucket.proxy.paths("GET", "prefix=in")) == 2:
            (bucket.folder / "in/bad.wav").unlink(missing_ok=True)
        return answer

    bucket.proxy.rule = vanish
    model = write_model(tmp_path / "model")
    output = tmp_path / "out"
    assert count(f"--input={bucket.uri}/in/*", f"--model={model}", f"--output={output}") == 0
    table = rows((output / "counts.csv").read_text())
    assert table["good.wav"][0]["outcome"] == "no_calls"
    assert table["bad.wav"][0]["outcome"] == "failed"


def knows_generations(request: Request, pass_on: PassOn) -> Answer:
    """Teaches the server that an object which was overwritten is gone."""
    asked = re.search(r"/b/([^/]+)/o/([^?]+).*[?&]generation=(\d+)", request.path)
    if asked:
        newest = buckets.storage_client().bucket(asked[1]).get_blob(asked[2])
        if newest is None or str(newest.generation) != asked[3]:
            return Answer(404, b'{"error": {"code": 404, "message": "No such object"}}')
    return pass_on()


@pytest.mark.slow
def test_an_object_that_is_overwritten_meanwhile_is_tried_again(
    bucket: Bucket, tmp_path: Path, peaks: None
) -> None:
    bucket.put("in/a.wav", encoded(5, 16_000, "WAV", [1]))
    bucket.put("in/b.wav", encoded(5, 16_000, "WAV"))
    louder = encoded(9, 16_000, "WAV", [1, 6])

    def overwrite(request: Request, pass_on: PassOn) -> Answer:
        answer = knows_generations(request, pass_on)
        if "prefix=in" in request.path and len(bucket.proxy.paths("GET", "prefix=in")) == 2:
            bucket.put("in/a.wav", louder)
        return answer

    bucket.proxy.rule = overwrite
    model = write_model(tmp_path / "model")
    output = tmp_path / "out"
    command = (f"--input={bucket.uri}/in/*", f"--model={model}", f"--output={output}")
    assert count(*command) == 0
    [row] = rows((output / "counts.csv").read_text())["a.wav"]
    assert row["outcome"] == "failed"
    assert "overwritten after it was listed" in row["error"]
    bucket.proxy.rule = knows_generations
    assert count(*command) == 0
    table = rows((output / "counts.csv").read_text())
    assert (table["a.wav"][0]["call_count"], table["b.wav"][0]["call_count"]) == ("2", "0")


@pytest.mark.slow
def test_a_run_lists_its_recordings_once(bucket: Bucket, tmp_path: Path, peaks: None) -> None:
    """In the job; the launcher asks whether there is one, and looks no further than a page.

    An estimate of the cost is a listing of its own: it needs sizes and the ledger.
    """
    bucket.put("in/a.wav", encoded(5, 16_000, "WAV", [2]))
    model = write_model(tmp_path / "model")
    there = [f"--model={model}", f"--output={bucket.uri}/out"]
    for more, listings in (([], 2), (["--max_cost=100"], 3)):
        bucket.proxy.requests.clear()
        code = count(f"--input={bucket.uri}/in/*.wav", *there, *more)
        assert code == 0, bucket.get("out/counts.csv")
        assert len(bucket.proxy.paths("GET", r"/o\?.*prefix=in")) == listings
    assert json.loads(bucket.get("out/run.json"))["totals"]["inputs"] == 1


@pytest.mark.slow
def test_a_bucket_is_listed_in_parts(bucket: Bucket) -> None:
    """One folder a part, from the first level on that has several; nothing is listed twice."""
    names = ["a/b/n1/x.wav", "a/b/n1/y.WAV", "a/b/n2/z.mp3", "a/b/top.flac"]
    for name in [*names, "a/b/n2/CONFIG.TXT", "a/b/n2/._z.mp3", "a/bc/other.wav"]:
        bucket.put(name, b"content")
    uris = [f"{bucket.uri}/{name}" for name in names]
    for pattern in ("a/b", "a/b/", "a/b/**"):
        parts = list(versions.parts_of(f"{bucket.uri}/{pattern}"))
        assert [p.recording for p in parts if isinstance(p, Listed)] == [uris[3]]
        folders = [p.prefix for p in parts if isinstance(p, versions.Part)]
        assert folders == [f"{bucket.uri}/a/b/n1/", f"{bucket.uri}/a/b/n2/"]
        found = sorted(versions.list_pattern(f"{bucket.uri}/{pattern}"), key=lambda k: k.recording)
        assert [known.recording for known in found] == uris
        assert all(known.stamp and known.checksum and known.size == 7 for known in found)
    for pattern, expected in (
        ("a/b/top.flac", uris[3:]),
        ("a/b/n*/*.WAV", uris[1:2]),
        ("a/**/*.wav", [uris[0], f"{bucket.uri}/a/bc/other.wav"]),
        ("a/b/*", uris[3:]),
        ("nothing", []),
    ):
        found = sorted(versions.list_pattern(f"{bucket.uri}/{pattern}"), key=lambda k: k.recording)
        assert [known.recording for known in found] == expected
    bucket.proxy.requests.clear()
    assert next(versions.list_pattern(f"{bucket.uri}/**"))
    assert len(bucket.proxy.requests) <= 3


def test_a_manifest_costs_a_request_for_each_object(bucket: Bucket, tmp_path: Path) -> None:
    uri = bucket.put("in/REC[1]_x.wav", b"content")
    for k in range(5):
        bucket.put(f"in/REC{k}.wav", b"other")
    manifest = tmp_path / "list.txt"
    manifest.write_text(f"{uri}\n{bucket.uri}/in/gone.wav\n")
    bucket.proxy.requests.clear()
    config = options.parse([f"--manifest={manifest}", "--output=out"])
    there, gone = list_recordings(config)
    assert (there.recording, there.size, there.checksum != "") == (uri, 7, True)
    assert (gone.size, gone.stamp) == (-1, "")
    assert len(bucket.proxy.requests) == 2
    assert not bucket.proxy.paths("GET", r"/o\?")


def test_a_minute_of_wav_is_one_request(bucket: Bucket) -> None:
    """Of a small recording: name, size and version come with the listing, all content at once."""
    uri = bucket.put("in/a.wav", encoded(60, 48_000, "WAV"))
    [listed] = versions.list_pattern(uri)
    bucket.proxy.requests.clear()
    grid = windows_every(16_000)
    with decode.opened(listed) as at_hand:
        header = decode.read_header(listed, grid, 300 * 16_000, at_hand)
        [plan] = decode.plan_segments(listed, header, grid, 300 * 16_000)
        assert decode.decode_segment(at_hand[1], plan, grid).decoded_samples == 960_000
    [request] = bucket.proxy.requests
    assert "alt=media" in request.path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["name", "folder", "manifest"])
def test_a_minute_costs_at_most_three_requests_of_a_whole_job(
    bucket: Bucket, tmp_path: Path, peaks: None, how: str
) -> None:
    """Its name, size and version: of a listing that others share, or by one request. Then all."""
    uris = [
        bucket.put(f"in/{n}.{kind.lower()}", encoded(60, 24_000, kind, [2 * n]))
        for n, kind in enumerate(("WAV",) if how == "name" else ("WAV", "FLAC", "MP3"))
    ]
    manifest = tmp_path / "list.txt"
    manifest.write_text("\n".join(uris))
    where = {"name": uris[0], "folder": f"{bucket.uri}/in", "manifest": ""}[how]
    named = f"--input={where}" if where else f"--manifest={manifest}"
    model = write_model(tmp_path / "model")
    bucket.proxy.requests.clear()
    assert count(named, f"--model={model}", f"--output={tmp_path}/out") == 0
    assert len(rows((tmp_path / "out/counts.csv").read_text())) == len(uris)
    paths = [request.path for request in bucket.proxy.requests]
    for uri in uris:
        of_it = [path for path in paths if f"/in/{uri.rsplit('/', 1)[1]}" in path]
        assert sum("alt=media" in path for path in of_it) == 1
        assert len(of_it) == (2 if how == "manifest" else 1)
    listings = [path for path in paths if "prefix=" in path]
    assert len(listings) <= {"name": 2, "folder": 4, "manifest": 0}[how], listings
    assert len(paths) == len(listings) + len(uris) * (2 if how == "manifest" else 1)
