"""What a run would cost: nothing is started, and the figures add up."""

import json
import time

import pytest

from model.windows import SAMPLE_RATE_HZ
from pipeline import launch, options, plan
from pipeline.beam_options import beam_options
from pipeline.inference.count import Counting
from tests.cloud.emulators import Answer
from tests.cloud.test_buckets import count, encoded
from tests.fakes import contract, write_model


def planned(*arguments):
    config = options.parse([str(argument) for argument in arguments])
    counting = Counting.of(config, contract(), "run")
    return plan.make_plan(config, counting, beam_options(config.beam_args))


def test_hours_are_exact_when_all_headers_are_read(tmp_path):
    for n in range(5):
        (tmp_path / f"{n}.wav").write_bytes(encoded(36, 8_000, "WAV"))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    found = planned(f"--input={tmp_path}", f"--output={tmp_path}/out")
    assert (found.recordings, found.done, found.headers, found.unreadable) == (6, 0, 5, 1)
    assert found.audio_h == pytest.approx(5 * 36 / 3600)
    decode_s = found.audio_h * plan.DECODE_S_PER_HOUR
    score_s = 5 * 36 * plan.SCORE_S_PER_WINDOW  # a window a second
    assert found.core_h * 3600 == pytest.approx(decode_s + score_s)
    assert found.workers == 1
    n2_standard_4 = 4 * 0.056 + 16 * 0.003557 + 25 * 0.000054
    assert found.cost_usd == pytest.approx(found.wall_h * n2_standard_4)


def test_the_ledger_is_asked_and_nothing_is_written(tmp_path, peaks, capsys):
    (tmp_path / "in").mkdir()
    for n in range(3):
        (tmp_path / "in" / f"{n}.wav").write_bytes(encoded(4, 16_000, "WAV"))
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


def test_a_run_above_max_cost_does_not_start(tmp_path, peaks):
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
def test_machine_types_have_a_size(machine, size):
    assert plan._size_of(machine) == size


def test_a_machine_of_unknown_price_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(encoded(1, 16_000, "WAV"))
    with pytest.raises(options.UsageError, match="price is not known"):
        planned(f"--input={tmp_path}", "--output=x", "--machine_type=custom-4-1024")


def test_ten_thousand_objects_in_under_a_minute(bucket, tmp_path, peaks, capsys):
    """Listed in pages of 1,000 as the service does; each is one hour in 115 MB, by its header."""
    header = encoded(1, SAMPLE_RATE_HZ, "WAV")[:44]
    n_bytes = 3600 * SAMPLE_RATE_HZ * 2
    header = header[:4] + (n_bytes + 36).to_bytes(4, "little") + header[8:40]
    header += n_bytes.to_bytes(4, "little")
    size = n_bytes + len(header)
    read = set()

    def about(name):
        return {
            "kind": "storage#object",
            "bucket": bucket.uri[5:],
            "name": name,
            "size": str(size),
            "generation": "1",
            "updated": "2026-03-01T00:00:00.000Z",
        }

    def serve(request, pass_on):
        path, _, query = request.path.partition("?")
        if path.endswith("/o") and "prefix=many" in query:
            first = int(query.split("pageToken=")[1].split("&")[0]) if "pageToken" in query else 0
            page = {"items": [about(f"many/{n:05}.wav") for n in range(first, first + 1000)]}
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
    started = time.monotonic()
    arguments = [f"--model={model}", f"--output={bucket.uri}/out"]
    assert count(f"--input={bucket.uri}/many/*.wav", *arguments, "--plan") == 0
    assert time.monotonic() - started < 60
    printed = capsys.readouterr().out
    assert "10,000 (1,152.0 GB), 0 done before, 10,000 to do" in printed
    assert f"10,000.0 h to do (estimated from {len(read)} headers)" in printed
    assert 40 <= len(read) <= 100
    assert bucket.names() == []


def test_launch_has_the_plan_before_anything_else(monkeypatch, tmp_path, peaks):
    """A plan must not need an output that can be written."""
    monkeypatch.setattr(launch, "prepare_output", lambda output: pytest.fail("it was prepared"))
    (tmp_path / "a.wav").write_bytes(encoded(1, 16_000, "WAV"))
    model = write_model(tmp_path / "model")
    assert count(f"--input={tmp_path}/a.wav", f"--model={model}", "--output=/no", "--plan") == 0
