"""What a run would cost: nothing is started, and the figures add up."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.windows import SAMPLE_RATE_HZ
from pipeline import options, plan, preflight
from pipeline.beam_options import beam_options
from pipeline.run import Run
from tests.cloud.conftest import Bucket
from tests.cloud.emulators import Answer, PassOn, Request
from tests.cloud.test_buckets import count, encoded
from tests.fakes import contract, write_model


def planned(*arguments: object) -> plan.Plan:
    config = options.parse([str(argument) for argument in arguments])
    return plan.make_plan(Run.of(config, contract()), beam_options(config.beam_args))


def test_hours_are_exact_when_all_headers_are_read(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"{n}.wav").write_bytes(encoded(36, 8_000, "WAV", [n + 1]))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    found = planned(f"--input={tmp_path}", f"--output={tmp_path}/out")
    assert (found.recordings, found.done, found.headers, found.unreadable) == (6, 0, 5, 1)
    assert found.audio_h == pytest.approx(5 * 36 / 3600)
    assert found.workers == 1


def test_work_and_cost_follow_from_what_is_asked(tmp_path: Path) -> None:
    for n in range(4):
        (tmp_path / f"{n}.wav").write_bytes(encoded(36, 8_000, "WAV", [n + 1]))
    flags = (f"--input={tmp_path}", f"--output={tmp_path}/out")
    all_of_it = planned(*flags)
    half = planned(f"--input={tmp_path}/[01].wav", flags[1])
    assert half.audio_h == pytest.approx(all_of_it.audio_h / 2)
    assert half.core_h == pytest.approx(all_of_it.core_h / 2)
    assert 0 < half.cost_usd < all_of_it.cost_usd
    # Twice as many windows are more work, and less than twice: decoding stays the same.
    dense = planned(*flags, "--hop_s=0.5")
    assert all_of_it.core_h < dense.core_h < 2 * all_of_it.core_h
    # A machine that costs more an hour and starts no sooner costs more for work this small.
    assert planned(*flags, "--machine_type=n2-highmem-4").cost_usd > all_of_it.cost_usd


def test_more_workers_are_sooner_done_at_hardly_more_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").write_bytes(encoded(36, 8_000, "WAV"))
    monkeypatch.setattr(plan, "_audio_hours", lambda recordings: ({".wav": 100_000.0}, 60, 0))
    few, many = (
        planned(f"--input={tmp_path}", f"--output={tmp_path}/out", f"--max_num_workers={n}")
        for n in (5, 50)
    )
    assert (few.workers, many.workers) == (5, 50)
    assert few.core_h == many.core_h
    assert many.wall_h < few.wall_h / 5
    assert few.cost_usd <= many.cost_usd < 1.2 * few.cost_usd


@pytest.mark.slow
def test_the_ledger_is_asked_and_nothing_is_written(
    tmp_path: Path, peaks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(3):
        (tmp_path / "in" / f"{n}.wav").write_bytes(encoded(4, 16_000, "WAV", [n + 1]))
    model = write_model(tmp_path / "model")
    arguments = [f"--model={model}", f"--output={tmp_path}/out"]
    assert count(f"--input={tmp_path}/in", *arguments, "--plan") == 0
    assert not (tmp_path / "out").exists()
    assert "3 (0.0 GB), 0 done before, 3 to do" in capsys.readouterr().out

    assert count(f"--input={tmp_path}/in/0.wav", *arguments) == 0
    before = sorted((tmp_path / "out").rglob("*"))
    assert count(f"--input={tmp_path}/in", *arguments, "--plan") == 0
    assert "1 done before, 2 to do" in capsys.readouterr().out
    assert sorted((tmp_path / "out").rglob("*")) == before


@pytest.mark.slow
def test_a_run_above_max_cost_does_not_start(tmp_path: Path, peaks: None) -> None:
    (tmp_path / "a.wav").write_bytes(encoded(4, 16_000, "WAV"))
    model = write_model(tmp_path / "model")
    arguments = [f"--input={tmp_path}/a.wav", f"--model={model}", f"--output={tmp_path}/out"]
    with pytest.raises(options.UsageError, match=r"--max_cost 0\.001: the run comes to about 0"):
        count(*arguments, "--max_cost=0.001")
    assert not (tmp_path / "out").exists()
    assert count(*arguments, "--max_cost=5") == 0


@pytest.mark.parametrize(
    ("machine", "size"), [("n2-standard-4", (4, 16)), ("e2-highmem-8", (8, 64))]
)
def test_machine_types_have_a_size(machine: str, size: tuple[int, int]) -> None:
    assert plan._size_of(machine) == size


def test_a_machine_of_unknown_price_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded(1, 16_000, "WAV"))
    with pytest.raises(options.UsageError, match="price is not known"):
        planned(f"--input={tmp_path}", "--output=x", "--machine_type=custom-4-1024")


@pytest.mark.slow
def test_ten_thousand_objects_are_estimated_from_a_hundred_headers(
    bucket: Bucket, tmp_path: Path, peaks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed in pages of 1,000 as the service does; each is one hour in 115 MB, by its header."""
    header = encoded(1, SAMPLE_RATE_HZ, "WAV")[:44]
    n_bytes = 3600 * SAMPLE_RATE_HZ * 2
    header = header[:4] + (n_bytes + 36).to_bytes(4, "little") + header[8:40]
    header += n_bytes.to_bytes(4, "little")
    size = n_bytes + len(header)
    read = set()

    def about(name: str) -> dict[str, str]:
        return {
            "kind": "storage#object",
            "bucket": bucket.uri[5:],
            "name": name,
            "size": str(size),
            "generation": "1",
            "updated": "2026-03-01T00:00:00.000Z",
        }

    def serve(request: Request, pass_on: PassOn) -> Answer:
        path, _, query = request.path.partition("?")
        if path.endswith("/o") and "prefix=many" in query:
            first = int(query.split("pageToken=")[1].split("&")[0]) if "pageToken" in query else 0
            page: dict[str, Any] = {
                "items": [about(f"many/{n:05}.wav") for n in range(first, first + 1000)]
            }
            if first < 9000:
                page["nextPageToken"] = str(first + 1000)
            return Answer(body=json.dumps(page).encode())
        if "many/" in path and "alt=media" in query:
            start, end = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
            return Answer(206, (header + bytes(end))[start : end + 1])
        if "/many/" in path:
            read.add(path)
            return Answer(body=json.dumps(about(path.rpartition("/o/")[2])).encode())
        return pass_on()

    bucket.proxy.rule = serve
    model = write_model(tmp_path / "model")
    arguments = [f"--model={model}", f"--output={bucket.uri}/out"]
    assert count(f"--input={bucket.uri}/many/*.wav", *arguments, "--plan") == 0
    printed = capsys.readouterr().out
    assert "10,000 (1,152.0 GB), 0 done before, 10,000 to do" in printed
    assert f"10,000.0 h to do (estimated from {len(read)} headers)" in printed
    assert 40 <= len(read) <= 100
    # Nothing is asked for each object: pages are listed, headers are sampled.
    assert len(bucket.proxy.requests) <= 200
    assert bucket.names() == []


def test_launch_has_the_plan_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, peaks: None
) -> None:
    """A plan must not need an output that can be written."""
    monkeypatch.setattr(preflight, "prepare", lambda *_: pytest.fail("it was prepared"))
    (tmp_path / "a.wav").write_bytes(encoded(1, 16_000, "WAV"))
    model = write_model(tmp_path / "model")
    assert count(f"--input={tmp_path}/a.wav", f"--model={model}", "--output=/no", "--plan") == 0
