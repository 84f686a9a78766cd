"""Publishing a model, and jobs that find it."""

import json
from pathlib import Path

import pytest

from model.contract import CONTRACT_FILE, MODEL_FILE
from pipeline.__main__ import main
from pipeline.commands import publish
from pipeline.inference.model_folder import current_version
from pipeline.options import RELEASED_MODEL, UsageError
from tests.cloud.conftest import Bucket
from tests.cloud.test_buckets import count, encoded
from tests.fakes import contract, write_model


@pytest.mark.slow
def test_the_pointer_comes_last_and_jobs_follow_it(
    bucket: Bucket, tmp_path: Path, peaks: None
) -> None:
    models = f"{bucket.uri}/models"
    first = write_model(tmp_path / "1")
    second = write_model(tmp_path / "2", contract(version="2").to_json())
    assert publish.publish(str(first), models) == f"{models}/peak-1"
    uploads = bucket.proxy.paths("POST", "/upload/")
    assert [r.body.count(b"current.json") > 0 for r in bucket.proxy.requests if r.method == "POST"][
        -len(uploads) :
    ] == [False] * (len(uploads) - 1) + [True]

    assert publish.publish(str(second), models) == f"{models}/peak-2"
    assert current_version(models) == f"{models}/peak-2"
    assert current_version(f"{models}/peak-1") == f"{models}/peak-1"
    assert json.loads(bucket.get("models/current.json"))["version"] == "peak-2"

    name = bucket.put("a.wav", encoded(5, 16_000, "WAV", [2]))
    output = tmp_path / "out"
    assert count(f"--input={name}", f"--model={models}", f"--output={output}") == 0
    run = json.loads((output / "run.json").read_text())
    assert run["model"]["version"] == "peak-2"
    assert run["configuration"]["model"] == f"{models}/peak-2"

    # Back to the first: publishing it again changes nothing but the pointer.
    assert publish.publish(str(first), models) == f"{models}/peak-1"
    assert current_version(models) == f"{models}/peak-1"


def test_a_version_is_never_changed(bucket: Bucket, tmp_path: Path) -> None:
    models = f"{bucket.uri}/models"
    publish.publish(str(write_model(tmp_path / "1")), models)
    other = write_model(tmp_path / "2", contract(label="another bird").to_json())
    with pytest.raises(UsageError, match=r"contract\.json of another model lies there"):
        publish.publish(str(other), models)
    assert b"another bird" not in bucket.get("models/peak-1/contract.json")


def test_half_a_model_is_not_published(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "1")
    (model / MODEL_FILE).write_bytes(b"cut")
    assert main(["publish", f"--model={model}", f"--to={bucket.uri}/models"]) == 2
    assert f"{MODEL_FILE} is not the file that {CONTRACT_FILE}" in capsys.readouterr().err
    assert bucket.names() == []


@pytest.mark.slow
def test_the_released_model_scores_the_same_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    models = f"{bucket.uri}/models"
    assert main(["publish", f"--to={models}"]) == 0
    name = bucket.put("a.wav", encoded(12, 48_000, "WAV", [2, 7]))
    tables: list[str] = []
    for model in (models, RELEASED_MODEL):
        output = tmp_path / str(len(tables))
        assert count(f"--input={name}", f"--model={model}", f"--output={output}") == 0
        run_id = json.loads((output / "run.json").read_text())["run_id"]
        tables.append((output / "counts.csv").read_text().replace(run_id, "RUN"))
    assert tables[0] == tables[1]
