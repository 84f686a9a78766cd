"""run_dataflow.sh up to the service's door: what it submits to a stand-in on loopback."""

import io
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import options
from pipeline.beam_options import beam_options
from pipeline.inference.score import ModelLoader
from tests.cloud import emulators
from tests.cloud.conftest import Bucket
from tests.cloud.emulators import Answer, PassOn, Request
from tests.cloud.test_buckets import encoded
from tests.fakes import write_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def service() -> Iterator[emulators.Proxy]:
    """Takes jobs and does nothing."""

    def answer(request: Request, pass_on: PassOn) -> Answer:
        if request.method == "POST" and "/jobs" in request.path:
            job = {k: v for k, v in request.json().items() if k in ("name", "type", "projectId")}
            return Answer(body=json.dumps({**job, "id": "job-1", "location": "x"}).encode())
        return Answer(body=b'{"id": "job-1", "currentState": "JOB_STATE_DONE"}')

    with emulators.proxy(None, answer) as proxy:
        yield proxy


def submit(
    bucket: Bucket, service: emulators.Proxy, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    endpoint = service.url.replace("127.0.0.1", "localhost")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "STORAGE_EMULATOR_HOST": bucket.proxy.url,
        "PYTHON": sys.executable,
        "SECRET_TOKEN": "do-not-send-me",
        **variables,
    }
    command = [str(ROOT / "run_dataflow.sh"), f"--dataflow_endpoint={endpoint}", "--no_auth"]
    return subprocess.run(
        [*command, *arguments], env=environ, capture_output=True, text=True, timeout=120
    )


def settings(bucket: Bucket) -> dict[str, str]:
    return {
        "PROJECT": "forest-project",
        "REGION": "europe-west1",
        "INPUT": f"{bucket.uri}/in/*.wav",
        "OUTPUT": f"{bucket.uri}/out",
        "MODEL": f"{bucket.uri}/model",
        "MACHINE_TYPE": "n2-standard-8",
        "MAX_WORKERS": "7",
        "SERVICE_ACCOUNT": "counter@forest-project.iam.gserviceaccount.com",
    }


@pytest.fixture
def ready(bucket: Bucket, tmp_path: Path) -> Bucket:
    bucket.put("in/a.wav", encoded(5, 16_000, "WAV"))
    for file in write_model(tmp_path / "model").iterdir():
        bucket.put(f"model/{file.name}", file.read_bytes())
    return bucket


def submitted(service: emulators.Proxy) -> dict[str, Any]:
    [job] = [r.json() for r in service.requests if r.method == "POST" and "/jobs" in r.path]
    return job


@pytest.mark.slow
def test_the_submitted_job_with_an_image(ready: Bucket, service: emulators.Proxy) -> None:
    image = "europe-west1-docker.pkg.dev/forest-project/birds/capuchinbird:1"
    done = submit(ready, service, "--no_wait", **settings(ready), IMAGE=image)
    assert done.returncode == 0, done.stderr
    assert "was handed over" in done.stdout
    for value in (image, "n2-standard-8", "europe-west1", "counter@forest-project"):
        assert value in done.stderr

    job = submitted(service)
    [request] = [r for r in service.requests if r.method == "POST"]
    assert "/projects/forest-project/locations/europe-west1/jobs" in request.path
    environment = job["environment"]
    assert environment["serviceAccountEmail"] == settings(ready)["SERVICE_ACCOUNT"]
    [pool] = environment["workerPools"]
    assert pool["machineType"] == "n2-standard-8"
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 7
    assert {i["containerImage"] for i in pool["sdkHarnessContainerImages"]} == {image}
    options = environment["sdkPipelineOptions"]["options"]
    assert options["number_of_worker_harness_threads"] == 2
    assert options["save_main_session"] is False
    assert options["temp_location"].startswith(f"{ready.uri}/out/temp/capuchinbird-")

    # Neither what the launcher knows beyond the job, nor where its files lie.
    everything = json.dumps(job) + "".join(
        ready.get(name).decode("latin-1") for name in ready.names() if "staging" in name
    )
    assert "do-not-send-me" not in everything
    assert str(ROOT) not in json.dumps(job)


@pytest.mark.slow
def test_without_an_image_workers_get_our_package(ready: Bucket, service: emulators.Proxy) -> None:
    done = submit(ready, service, "--no_wait", **settings(ready))
    assert done.returncode == 0, done.stderr
    submitted(service)
    [package] = [name for name in ready.names() if name.endswith("workflow.tar.gz")]
    with tarfile.open(fileobj=io.BytesIO(ready.get(package))) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("model", "pipeline")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".sql", ".keras", ".json")
    }
    assert {"pipeline/tables/views/failed_recordings.sql", "model/released/model.keras"} <= wanted
    assert wanted | {"setup.py", "pyproject.toml"} <= files


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"PROJECT": ""}, "PROJECT is not set"),
        ({"INPUT": ""}, "neither INPUT nor MANIFEST is set"),
        ({"OUTPUT": "/home/me/out"}, "OUTPUT=/home/me/out: workers reach buckets only"),
        ({"MAX_WORKERS": "many"}, "MAX_WORKERS=many: give a whole number"),
        ({"DATASET": "forest.birds"}, "DATASET needs NIGHT"),
        ({"SUBNETWORK": "regions/r/subnetworks/s"}, "SUBNETWORK needs IMAGE"),
        ({"DATASET": "forest.birds", "NIGHT": "1 March"}, "NIGHT=1 March: write it as YYYY-MM-DD"),
    ],
)
def test_wrong_settings_are_one_clear_line(
    ready: Bucket, service: emulators.Proxy, changed: dict[str, str], message: str
) -> None:
    done = submit(ready, service, **{**settings(ready), **changed})
    assert done.returncode == 2
    assert done.stderr.startswith(f"run_dataflow.sh: {message}")
    assert not service.requests


@pytest.mark.slow
def test_a_path_of_this_machine_is_refused(
    ready: Bucket, service: emulators.Proxy, tmp_path: Path
) -> None:
    done = submit(ready, service, f"--manifest={tmp_path}/list.csv", **settings(ready))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        f"capuchinbird count: --manifest {tmp_path}/list.csv: "
    )
    assert not service.requests


def test_the_released_model_is_named_and_not_its_path_here(tmp_path: Path) -> None:
    assert options.RELEASED_MODEL.encode() not in pickle.dumps(ModelLoader(options.RELEASED_MODEL))
    assert b"gs://birds/model" in pickle.dumps(ModelLoader("gs://birds/model"))


def test_the_template_offers_flags_that_exist() -> None:
    metadata = json.loads((ROOT / "deploy/flex_template_metadata.json").read_text())
    names = {parameter["name"] for parameter in metadata["parameters"]}
    ours = set(options.COUNT.parser.flags)
    beam_options([f"--{name}=x" for name in names if f"--{name}" not in ours])
    workflow = (ROOT / "deploy/workflow.yaml").read_text().split("parameters:\n")[1]
    sent = re.findall(r"^ {16}(\w+): ", workflow.split("environment:")[0], re.MULTILINE)
    required = {p["name"] for p in metadata["parameters"] if not p.get("isOptional")}
    assert required <= set(sent) <= names


def test_the_template_offers_every_flag_a_job_may_have() -> None:
    metadata = json.loads((ROOT / "deploy/flex_template_metadata.json").read_text())
    parameters = {p["name"]: p for p in metadata["parameters"]}
    flags = options.COUNT.parser.flags
    ours = {flag[2:] for flag in flags if flag[:2] == "--" and "=" not in flag}
    for_the_caller = {"help", "version", "plan", "max_cost", "no_wait", "json", "quiet", "config"}
    for_the_caller |= {"share", "processes"}  # Dataflow shares the recordings out itself
    assert ours - for_the_caller <= set(parameters)
    switches = {name for name in ours if flags[f"--{name}"].nargs == 0} - for_the_caller
    for name in switches:  # as the launcher writes them
        assert parameters[name]["regexes"] == ["^(true|false)$"]
        config = options.parse(["--input=gs://b/x", "--output=gs://b/o", f"--{name}=true"])
        assert getattr(config, {"no_report": "report"}.get(name, name)) is (name != "no_report")


def test_the_nightly_workflow_names_a_folder() -> None:
    """Not a pattern: recorders leave settings and summaries beside their recordings."""
    workflow = (ROOT / "deploy/workflow.yaml").read_text()
    assert re.search(r"^ +input: (.*)$", workflow, re.MULTILINE)
    assert "*" not in re.findall(r"^ +input: (.*)$", workflow, re.MULTILINE)[0]
