"""Scripts and units that start the job every night."""

import fcntl
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import preflight
from pipeline.options import UsageError

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


def test_settings_that_are_missing_are_named_in_one_line() -> None:
    done = subprocess.run(
        [DEPLOY / "create.sh", "--dry_run"],
        env={"PATH": os.environ["PATH"], "PROJECT": "p", "REGION": "r"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("deploy/create.sh: set BUCKET DATASET TEMPLATE IMAGE MODEL MAIL, as")


Nightly = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def nightly(tmp_path: Path) -> Nightly:
    """nightly.sh beside a stand-in for Python that writes down what it is asked to run."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    (tmp_path / "scripts").mkdir()
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n'
        'case $3 in canaries) exit "${CANARY_CODE:-0}" ;; esac\nexit "${JOB_CODE:-0}"\n'
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    script = f"use_environment() {{ PYTHON={python}; }}\n"
    (tmp_path / "scripts" / "environment.sh").write_text(script)

    def run(*arguments: str, **environment: str) -> tuple[int, list[str]]:
        (tmp_path / "calls").write_text("")
        paths = {"PATH": os.environ["PATH"], "LOCK": str(tmp_path / "lock")}
        code = subprocess.run(
            [tmp_path / "deploy" / "nightly.sh", *arguments],
            env={**paths, **environment},
            check=False,
        ).returncode
        return code, (tmp_path / "calls").read_text().splitlines()

    return run


WHERE = {"ARCHIVE": "/a", "RESULTS": "/r"}


def test_nightly_runs_the_job_over_the_archive(nightly: Nightly) -> None:
    code, calls = nightly("--threshold=0.8", **WHERE, JOB_CODE="3", DEPLOYMENTS="d.csv")
    assert code == 3
    job = "-m pipeline --input /a --output /r --deployments d.csv --threshold=0.8"
    assert calls == [job]


def test_nightly_counts_nothing_when_a_canary_comes_out_otherwise(nightly: Nightly) -> None:
    code, calls = nightly("--model=m", **WHERE, CANARIES="c.csv", CANARY_CODE="4")
    assert (code, calls) == (4, ["-m pipeline canaries --manifest c.csv --model=m"])
    code, calls = nightly("--model", "m", **WHERE, CANARIES="c.csv", CANARY_CODE="4")
    assert (code, calls) == (4, ["-m pipeline canaries --manifest c.csv --model m"])
    code, calls = nightly(**WHERE, CANARIES="c.csv")
    assert (code, len(calls)) == (0, 2)


def test_nightly_leaves_a_run_out_while_another_is_going_on(
    nightly: Nightly, tmp_path: Path
) -> None:
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert nightly(**WHERE) == (5, [])


def test_nightly_says_what_to_set(nightly: Nightly) -> None:
    assert nightly(ARCHIVE="/a")[0] != 0


def test_the_service_accounts_get_no_more_than_they_need() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PROJECT": "project",
        "REGION": "us-east1",
        "BUCKET": "gs://bucket",
        "DATASET": "calls",
        "TEMPLATE": "gs://bucket/templates/t.json",
        "IMAGE": "us-east1-docker.pkg.dev/project/birds/capuchinbird:1",
        "MODEL": "gs://bucket/models",
        "MAIL": "you@example.org",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }
    command = f"gcloud() {{ return 1; }}; source {DEPLOY}/create.sh --dry_run"
    printed = subprocess.run(
        ["bash", "-c", command],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        cwd=DEPLOY,
    ).stdout
    assert "IMAGE=us-east1-docker.pkg.dev/project/birds/capuchinbird:1" in printed
    for broad in (
        "roles/owner",
        "roles/editor",
        "roles/dataflow.worker",
        "storage.admin",
        "dataflow.admin",
        "allUsers",
    ):
        assert broad not in printed
    [role] = [line for line in printed.splitlines() if "iam roles create" in line]
    permissions = role.partition("--permissions=")[2].replace("\\", "").split(",")
    assert "dataflow.workItems.lease" in permissions
    assert "" not in permissions
    assert not [name for name in permissions if name.startswith("storage.")]
    writers = [line for line in printed.splitlines() if "storage.objectUser" in line]
    assert len(writers) == 1
    assert "objects/results/" in writers[0]
    assert "recordings" not in writers[0]


def test_an_alert_counts_all_executions_and_waits_for_a_late_night() -> None:
    failed, absent = (DEPLOY / "alert.yaml").read_text().split("  - displayName: ")[1:]
    for condition in (failed, absent):
        assert condition.count("crossSeriesReducer: REDUCE_SUM") == 1
    period_s, duration_s = map(int, re.findall(r"(?:alignmentPeriod|duration): (\d+)s", absent))
    assert period_s <= 25 * 3600  # the longest that an alert may have
    assert period_s + duration_s == 36 * 3600


def test_every_image_is_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", (DEPLOY.parent / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 2
    assert not [image for image in images if ":" not in image or image.endswith(":latest")]


@pytest.mark.parametrize("name", ["drift", "failures"])
def test_what_is_logged_has_an_alert(name: str) -> None:
    """The filter finds the very words that the job logs."""
    policy = (DEPLOY / f"alert-{name}.yaml").read_text()
    assert "conditionMatchedLog" in policy
    assert "notificationRateLimit" in policy  # which such a condition must have
    [words] = re.findall(r'jsonPayload.message : "(.*)"', policy)
    logged = {"drift": "ledger/drift.py", "failures": "results/finish.py"}[name]
    source = (DEPLOY.parent / "pipeline" / logged).read_text()
    assert re.search(rf'\.(warning|error)\("{words}%s"', source)
    assert f"alert-{name}.yaml" in (DEPLOY / "create.sh").read_text()


def test_launcher_and_image_have_the_same_python() -> None:
    text = (DEPLOY.parent / "Dockerfile").read_text()
    major, minor = preflight.IMAGE_PYTHON
    assert f"beam_python{major}.{minor}_sdk:" in text
    assert f"python{major}{minor}-template-launcher-base" in text
    options = PipelineOptions(["--sdk_container_image=r-docker.pkg.dev/p/birds/c:1"])
    preflight.check_image(options, (major, minor))
    preflight.check_image(PipelineOptions([]), (major, minor + 1))
    with pytest.raises(UsageError, match=r"has Python 3.11, this machine 3.12; start the job with"):
        preflight.check_image(options, (3, 12))
