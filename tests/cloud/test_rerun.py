"""A run with nothing to do, with recordings and output in a bucket."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import options, rerun
from pipeline.__main__ import main
from pipeline.inputs import named
from pipeline.inputs.versions import as_expression
from pipeline.run import run_of
from pipeline.storage import files
from tests import nights
from tests.cloud.conftest import Bucket
from tests.fakes import write_model

FORMATS = ("--format", "raven", "--format", "parquet", "--format", "excel")


@dataclass(frozen=True)
class Night:
    """Two recordings in a bucket, counted once into the same bucket."""

    bucket: Bucket
    flags: tuple[str, ...]

    def add(self, name: str, folder: Path, bursts: int) -> None:
        nights.write_recording(folder / name, bursts)
        self.bucket.put(f"in/{name}", (folder / name).read_bytes())

    def ends_at_once(self, *more: str) -> bool:
        return rerun.done_already(run_of(options.parse([*self.flags, *more]))) == 0

    def listings(self) -> int:
        """How often recordings were listed."""
        return len(self.bucket.proxy.paths("GET", r"/o\?.*prefix=in"))


@pytest.fixture
def night(bucket: Bucket, tmp_path: Path, peaks: None) -> Night:
    model = write_model(tmp_path / "model")
    where = ("--input", f"{bucket.uri}/in/**", "--output", f"{bucket.uri}/out")
    night = Night(bucket, (*where, "--model", str(model), "--no_report", *FORMATS))
    night.add("SITE_20240611_053000.wav", tmp_path, 2)
    night.add("b.wav", tmp_path, 0)
    assert main(night.flags) == 0
    return night


@pytest.mark.slow
def test_it_says_so_and_changes_run_json_alone(
    night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    def content() -> dict[str, bytes]:
        return {name: night.bucket.get(name) for name in night.bucket.names()}

    before = content()
    night.bucket.proxy.requests.clear()
    assert night.ends_at_once()
    assert "nothing new: 2 of 2 recordings were done before" in capsys.readouterr().out
    assert night.listings() == 1
    assert not night.bucket.proxy.paths("GET", r"\.csv.*alt=media")  # compared by checksum
    after = content()
    assert {name for name in before if before[name] != after[name]} == {"out/run.json"}
    assert before.keys() == after.keys()
    totals = json.loads(after["out/run.json"])["totals"]
    assert totals["outcomes"]["skipped"] == totals["inputs"] == 2


@pytest.mark.slow
def test_neither_beam_nor_tensorflow_is_loaded(night: Night) -> None:
    script = (
        "import sys; from pipeline.__main__ import main; code = main(sys.argv[1:]); "
        "print(code, sorted({'apache_beam', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, *night.flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


@pytest.mark.slow
def test_what_is_new_costs_no_further_listing(
    night: Night, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night.add("c.wav", tmp_path, 1)
    night.bucket.proxy.requests.clear()
    assert main(night.flags) == 0
    assert "1 recording, 1 call (1 with calls); 2 more were done before" in capsys.readouterr().out
    assert night.listings() == 1


@pytest.mark.slow
def test_a_mixture_of_disk_and_bucket_ends_at_once_too(night: Night, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    flags = (*night.flags[:3], output, *night.flags[4:])
    assert main(flags) == 0
    assert Night(night.bucket, flags).ends_at_once()
    here = ("--input", str(tmp_path / "b.wav"), *night.flags[2:])
    assert main(here) == 0
    assert Night(night.bucket, here).ends_at_once()


@pytest.mark.slow
def test_whatever_is_not_as_it_should_be_takes_a_job(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not night.ends_at_once("--threshold", "0.7")
    assert not night.ends_at_once("--input", f"{night.bucket.uri}/nothing")
    assert not night.ends_at_once("--input", "gs://no-such-bucket/in")
    counts = night.bucket.get("out/counts.csv")
    night.bucket.put("out/counts.csv", counts.replace(b"b.wav", b"x.wav"))
    assert not night.ends_at_once()
    night.bucket.put("out/counts.csv", counts)
    assert night.ends_at_once()
    page = night.bucket.put("out/report.html", b"a page that is not asked for")
    assert not night.ends_at_once()
    files.delete_if_there(page)
    manifest = tmp_path / "list.txt"
    manifest.write_text(f"{night.bucket.uri}/in/b.wav\n")
    assert not night.ends_at_once("--manifest", str(manifest))
    night.add("b.wav", tmp_path, 3)  # overwritten
    assert not night.ends_at_once()


@pytest.mark.slow
@pytest.mark.parametrize("at_most", [1, 10])
def test_a_large_bucket_is_left_to_the_job(
    night: Night, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of recordings and of an output no more is listed here than a few thousand."""
    for module in (rerun, named):
        monkeypatch.setattr(module, "MOST_OBJECTS", at_most)
    run = run_of(options.parse(night.flags))
    assert rerun.done_already(run) is None
    assert run.recordings.listings == {}


@pytest.mark.parametrize(
    "pattern",
    [
        "gs://b/**",
        "gs://b/*/x?.wav",
        "gs://b/[!a]*.wav",
        "gs://b/[]^]x",
        "gs://b/[^a]",
        "gs://b/[x",
    ],
)
def test_patterns_mean_what_they_mean_to_beam(pattern: str) -> None:
    import re

    from apache_beam.io.filesystem import FileSystem

    ours, beams = (
        re.compile(expression)
        for expression in (as_expression(pattern), FileSystem.translate_pattern(pattern))
    )
    names = ["a", "x1.wav", "n/x1.wav", "n/m/x1.wav", "]x", "^x", "^", "[x", "b.wav", "\nx"]
    for name in (f"gs://b/{name}" for name in names):
        assert bool(ours.match(name)) == bool(beams.match(name)), name


def test_a_bucket_that_is_not_there_is_one_line(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model")
    where = ["--input", f"{bucket.uri}-not/in", "--output", str(tmp_path / "out")]
    assert main([*where, "--model", str(model)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"--input {bucket.uri}-not/in: " in line
