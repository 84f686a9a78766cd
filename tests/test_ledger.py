"""What the ledger promises: nothing done twice, nothing lost, nothing doubled."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.audio.quality import Quality
from model.audio.recording import Recording, read_all
from model.windows import Grid, window_starts
from pipeline import launch, options
from pipeline.__main__ import main
from pipeline.inference import decode
from pipeline.inference.count import Counting
from pipeline.ledger.left_behind import TIME_FORMAT, has_arrived, left_behind
from pipeline.records import (
    Listed,
    Origin,
    RecordingHeader,
    SegmentAudio,
    SegmentPlan,
    SegmentScores,
)
from pipeline.results.run_report import new_run_id
from pipeline.store import scores
from tests import fakes, nights

pytestmark = pytest.mark.usefixtures("plain_loop")


class Job:
    """Runs the job over an archive.

    Attributes:
        decoded: the recording of each segment that the last run decoded.
    """

    def __init__(self, archive: Path, model: Path, output: Path) -> None:
        self.decoded: list[str] = []
        self._flags = ["--input", archive, "--model", model, "--output", output]

    def __call__(self, *arguments: str) -> int:
        self.decoded.clear()
        return nights.launch_here(*self._flags, *arguments)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    nights.write_recording(folder / "a.wav", 2)
    nights.write_recording(folder / "b.wav", 1, seconds=31)
    nights.write_recording(folder / "c.wav", 0)
    (folder / "damaged.wav").write_text("not audio")
    return folder


@pytest.fixture
def job(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Runs the job over the archive into ``out``."""
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: fakes.CountedLoader())
    model = fakes.write_model(tmp_path / "model")
    job = Job(archive, model, tmp_path / "out")
    plain = decode.decode_segment

    def decode_segment(opened: Recording, plan: SegmentPlan, grid: Grid) -> SegmentAudio:
        job.decoded.append(plan.recording)
        return plain(opened, plan, grid)

    monkeypatch.setattr(decode, "decode_segment", decode_segment)
    return job


def totals(output: Path) -> dict[str, int]:
    return dict(run_json(output)["totals"]["outcomes"])


def run_json(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / "run.json").read_text()))


def counts(output: Path) -> dict[str, str]:
    return {Path(r["recording"]).name: r["call_count"] for r in nights.read(output / "counts.csv")}


@pytest.mark.slow
def test_a_second_run_does_nothing_and_changes_nothing(
    tmp_path: Path, archive: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert job() == 0
    before = nights.bytes_of(out)
    assert counts(out) == {"a.wav": "2", "b.wav": "1", "c.wav": "0", "damaged.wav": ""}
    assert job() == 0
    assert job.decoded == []
    assert nights.bytes_of(out) == before
    assert totals(out)["skipped"] == 4
    assert "nothing new: 4 of 4 recordings" in capsys.readouterr().out
    assert not scores.unfinished_files(str(out))


@pytest.mark.slow
def test_a_touched_file_is_known_by_its_content(tmp_path: Path, archive: Path, job: Job) -> None:
    job()
    os.utime(archive / "a.wav", (1, 1))
    job()
    assert job.decoded == []


@pytest.mark.slow
def test_a_replaced_file_is_counted_again(tmp_path: Path, archive: Path, job: Job) -> None:
    job()
    nights.write_recording(archive / "a.wav", 1, seed=5)
    job()
    assert set(job.decoded) == {str(archive / "a.wav")}
    assert counts(tmp_path / "out")["a.wav"] == "1"
    assert len(nights.read(tmp_path / "out" / "calls.csv")) == 2


@pytest.mark.slow
def test_a_recording_that_disappeared_keeps_its_row(
    tmp_path: Path, archive: Path, job: Job
) -> None:
    job()
    (archive / "a.wav").unlink()
    job()
    assert counts(tmp_path / "out")["a.wav"] == "2"


@pytest.mark.slow
def test_a_new_threshold_needs_no_decoding(tmp_path: Path, archive: Path, job: Job) -> None:
    job()
    before = nights.tables(tmp_path / "out")
    job("--threshold", "0.9")
    assert job.decoded == []
    assert counts(tmp_path / "out") == {"a.wav": "0", "b.wav": "0", "c.wav": "0", "damaged.wav": ""}
    job()
    assert job.decoded == []
    assert nights.tables(tmp_path / "out") == before


@pytest.mark.slow
def test_a_new_model_or_hop_scores_again(tmp_path: Path, archive: Path, job: Job) -> None:
    job()
    job("--hop_s", "0.5")
    assert set(job.decoded) == {str(archive / f"{name}.wav") for name in "abc"}
    contract = fakes.contract(version="2", model_sha256=hashlib.sha256(b"another").hexdigest())
    fakes.write_model(tmp_path / "model", contract.to_json())
    (tmp_path / "model" / "model.keras").write_bytes(b"another")
    job()
    assert len(job.decoded) >= 3
    versions = {r["model_version"] for r in nights.read(tmp_path / "out" / "counts.csv")}
    assert versions == {"peak-2"}
    fakes.write_model(tmp_path / "model")  # rolled back: its scores are still there
    job()
    assert job.decoded == []
    versions = {r["model_version"] for r in nights.read(tmp_path / "out" / "counts.csv")}
    assert versions == {"peak-1"}


@pytest.mark.slow
def test_a_changed_place_reaches_the_tables_without_decoding(
    tmp_path: Path, archive: Path, job: Job
) -> None:
    job()
    table = tmp_path / "deployments.csv"
    table.write_text(f"folder,site,latitude,longitude\n{archive},camp,-3.1,-60.02\n")
    job("--deployments", str(table))
    assert job.decoded == []
    rows = nights.read(tmp_path / "out" / "counts.csv")
    assert {(r["site"], r["latitude"]) for r in rows} == {("camp", "-3.100000")}
    assert {r["site"] for r in nights.read(tmp_path / "out" / "calls.csv")} == {"camp"}


@pytest.mark.slow
def test_damaged_files_are_tried_again_when_asked_or_changed(
    tmp_path: Path, archive: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    job()
    before = nights.bytes_of(out)
    job()
    assert nights.bytes_of(out) == before
    job("--retry_failed")
    assert totals(out) == {"ok": 0, "no_calls": 0, "truncated": 0, "failed": 1, "skipped": 3}
    nights.write_recording(archive / "damaged.wav", 1)
    job()
    assert counts(out)["damaged.wav"] == "1"
    assert nights.read(out / "failures.csv") == []


@pytest.mark.slow
def test_a_failure_that_may_pass_is_tried_again(
    tmp_path: Path, archive: Path, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = decode.read_header

    def unreachable(listed: Listed, *rest: Any) -> RecordingHeader:
        if listed.recording.endswith("b.wav"):
            raise ConnectionResetError("the bucket hung up")
        return real(listed, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "read_header", unreachable)
        job()
    assert counts(tmp_path / "out")["b.wav"] == ""
    job()
    assert counts(tmp_path / "out")["b.wav"] == "1"
    assert set(job.decoded) == {str(archive / "b.wav")}


@pytest.mark.slow
def test_scores_are_kept_exactly(tmp_path: Path, archive: Path, job: Job) -> None:
    job("--segment_s", "5")
    found = {
        Path(row.recording).name: (starts, values)
        for row, starts, values in nights.kept_scores(tmp_path / "out")
    }
    assert sorted(found) == ["a.wav", "b.wav", "c.wav"]
    for name, (starts, values) in found.items():
        samples = read_all(archive / name)
        expected = window_starts(len(samples), 16_000)
        assert np.array_equal(starts, expected)
        assert np.array_equal(
            values, fakes.PeakScorer().score(fakes.cut_windows(samples, expected))
        )


@pytest.mark.slow
@pytest.mark.parametrize("segment_s", ["5", "300"])
def test_rescoring_equals_a_fresh_run(
    tmp_path: Path, archive: Path, job: Job, segment_s: str
) -> None:
    job("--segment_s", segment_s)
    model = str(tmp_path / "model")
    arguments = ["--output", str(tmp_path / "out"), "--model", model, "--threshold", "0.75"]
    arguments += ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
    moved = archive.rename(tmp_path / "elsewhere")
    assert main(["rescore", *arguments]) == 0
    moved.rename(archive)
    fresh = tmp_path / "fresh"
    nights.launch_here(
        "--input", archive, "--model", model, "--output", fresh, "--threshold", "0.75"
    )
    expected = nights.tables(fresh)
    found = nights.tables(tmp_path / "out")
    assert found["calls.csv"] == expected["calls.csv"]
    for row in found["counts.csv"]:
        if row["outcome"] == "failed":
            row["threshold"] = "0.75000"  # a failure is not counted again: its row stays
    assert found["counts.csv"] == expected["counts.csv"]
    before = nights.bytes_of(tmp_path / "out")
    assert main(["rescore", *arguments]) == 0
    assert nights.bytes_of(tmp_path / "out") == before


HERE = ("--direct_running_mode=in_memory", "--direct_num_workers=1")


def rescore(tmp_path: Path, *arguments: str) -> int:
    where = ["--output", str(tmp_path / "out"), "--model", str(tmp_path / "model")]
    return main(["rescore", *where, *arguments, *HERE])


@pytest.mark.slow
def test_run_json_is_of_the_counting_that_the_tables_show(tmp_path: Path, job: Job) -> None:
    out = tmp_path / "out"
    job()
    before = run_json(out)
    assert rescore(tmp_path, "--threshold", "0.9") == 0
    after = run_json(out)
    assert after["counting"]["rule"]["threshold"] == 0.9
    assert after["configuration"]["threshold"] == 0.9
    assert (before["totals"]["calls"], after["totals"]["calls"]) == (3, 0)
    # The damaged recording has no scores: its row stays as it was.
    assert totals(out) == {"ok": 0, "no_calls": 3, "truncated": 0, "failed": 0, "skipped": 1}
    rewritten = {r["run_id"] for r in nights.read(out / "counts.csv") if r["outcome"] != "failed"}
    assert rewritten == {after["run_id"]} != {before["run_id"]}


@pytest.mark.slow
@pytest.mark.parametrize("hop_s", [None, "0.5"])
def test_windows_are_counted_again_at_the_distance_at_which_they_were_scored(
    tmp_path: Path, archive: Path, job: Job, hop_s: str | None
) -> None:
    """Windows would be counted side by side by default; here they were scored closer."""
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    job(*(["--hop_s", hop_s] if hop_s else []))
    assert rescore(tmp_path, "--counting", "windows") == 0
    rows = [r for r in nights.read(out / "counts.csv") if r["outcome"] != "failed"]
    assert [r["counting"] for r in rows] == ["windows"] * 3
    assert all(r["call_count"] == r["positive_windows"] for r in rows)
    assert {r["hop_s"] for r in rows} == {f"{float(hop_s or 1):.3f}"}
    assert run_json(out)["counting"]["method"] == "windows"
    nights.launch_here(
        *("--input", archive, "--model", tmp_path / "model", "--output", fresh),
        *("--counting", "windows", "--hop_s", hop_s or "1"),
    )
    assert nights.tables(out)["calls.csv"] == nights.tables(fresh)["calls.csv"]
    assert counts(out) == counts(fresh)


@pytest.mark.slow
def test_scores_that_were_never_made_are_said_to_be_missing(
    tmp_path: Path, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    job()
    tables, report = nights.bytes_of(out), run_json(out)
    assert rescore(tmp_path, "--hop_s", "0.7") == 2
    assert "0.7 s" in capsys.readouterr().err
    assert nights.bytes_of(out) == tables
    assert run_json(out) == report


def test_rescoring_without_a_ledger_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(fakes.write_model(tmp_path / "model"))
    assert main(["rescore", "--output", str(tmp_path), "--model", model]) == 2
    assert "no ledger" in capsys.readouterr().err


@pytest.mark.slow
def test_unfinished_scores_are_taken_up(tmp_path: Path, archive: Path, job: Job) -> None:
    """As a kill leaves them: scores of some segments, no entry."""
    out = tmp_path / "out"
    job("--segment_s", "5")
    expected = nights.tables(out)
    kept = {
        name: [s for _, s in scores.read_of(name, (), identities(archive), scoring(out))]
        for name in scores.kept_files(str(out))
    }
    shutil.rmtree(out)
    (out / "ledger" / "unfinished").mkdir(parents=True)
    counting = counting_of(out)
    segments = [s for found in kept.values() for s in found]
    left = [replace(s.scores, is_saved=False) for s in segments[::2]]
    scores.write_scores(str(out / "ledger" / "unfinished"), counting, left)
    job("--segment_s", "5")
    assert len(job.decoded) == len(segments) - len(left)
    assert nights.tables(out) == expected
    assert scores.kept_files(str(out))


def test_what_dead_runs_left_goes_and_what_living_ones_write_stays(tmp_path: Path) -> None:
    out, now = tmp_path, datetime.now(UTC)
    day, week = timedelta(days=1), timedelta(days=8)
    folder = out / "ledger" / "unfinished"
    folder.mkdir(parents=True)
    begun = new_run_id(now - 2 * week)
    stay: list[str] = []
    go: list[str] = []
    for written, names in ((now - day, stay), (now - week, go)):
        names += [f"{begun}-w{written:{TIME_FORMAT}}-0123456789abcdef.parquet"]
    stay += [f"{new_run_id(now - day)}-0123456789abcdef.parquet"]
    go += [f"{begun}-0123456789abcdef.parquet", f"{new_run_id(now)[:-6]}own.parquet"]
    for name in (*stay, *go):
        (folder / name).touch()
    own = go[-1].removesuffix(".parquet")
    for place, name in ((out, ".counts.csv.0123abcd"), (folder, ".a.parquet.0123abcd")):
        for end, age, names in (("", week, go), ("ef", timedelta(), stay)):
            path = place / (name[: len(name) - len(end)] + end)
            path.touch()
            os.utime(path, ((now - age).timestamp(),) * 2)
            names.append(path.name)
    (out / ".hidden").touch()
    os.utime(out / ".hidden", (0, 0))
    assert sorted(Path(name).name for name in left_behind(str(out), own)) == sorted(go)
    assert left_behind(str(tmp_path / "none"), own) == []


def test_scores_on_their_way_say_when_they_were_written(tmp_path: Path) -> None:
    counting = counting_of(tmp_path)
    listed = Listed("a.wav", 1, "2", "3")
    header = RecordingHeader(16_000, 1, "PCM_16", 1.0, 16_000, 1)
    segment = SegmentScores(
        np.zeros(1, np.int64), np.zeros(1, np.float32), 1, Quality(), Origin(listed, header, 0)
    )
    scores.write_unfinished(str(tmp_path), counting, [segment])
    (name,) = scores.unfinished_files(str(tmp_path))
    today = f"-w{datetime.now(UTC):%Y%m%d}T"
    assert Path(name).name.startswith(counting.run_id)
    assert today in name
    assert not has_arrived(name, "another", datetime.now(UTC) - timedelta(minutes=1))
    assert has_arrived(name, "another", datetime.now(UTC) + timedelta(minutes=1))


def identities(archive: Path) -> set[str]:
    return {str(path) for path in archive.iterdir()}


def counting_of(output: Path) -> Counting:
    config = options.parse(["--input=x", f"--output={output}"])
    return Counting.of(config, fakes.contract(), new_run_id(datetime.now(UTC)))


def scoring(output: Path) -> str:
    return counting_of(output).scoring
