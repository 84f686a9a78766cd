"""The wheel, and what an installation of it can do."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.bare import PROJECT
from tests.nights import ROOT

PACKAGES = ("capuchinbird", "model", "pipeline")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without a network from what git tracks."""
    tree = tmp_path_factory.mktemp("tree")
    packed = ["setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"]
    for name in tracked(*PACKAGES, *packed):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "-w", "dist", "."], cwd=tree, check=True)
    [built] = (tree / "dist").iterdir()
    return built


def tracked(*names: str) -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "--", *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
def test_the_wheel_holds_all_that_git_tracks_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        [points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "capuchinbird = pipeline.__main__:run_and_leave" in archive.read(points).decode()
    assert held == set(tracked(*PACKAGES))
    assert {"model/released/model.keras", "pipeline/report/templates/report.html"} <= held
    assert wheel.stat().st_size < 4e6


@pytest.mark.slow
def test_the_wheel_requires_what_counting_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        stated = email.message_from_bytes(archive.read(metadata))
    lines = stated.get_all("Requires-Dist") or []
    always = {re.split(r"[\[><=; ]", line)[0] for line in lines if "extra ==" not in line}
    assert always == {re.split(r"[\[><=; ]", line)[0] for line in PROJECT["dependencies"]}
    assert not always & {"tfx-bsl", "tensorflow-io", "google-cloud-storage", "scikit-learn"}
    assert not any("[gcp]" in line for line in lines if "extra ==" not in line)
    by_extra = {
        extra: {line for line in lines if f'extra == "{extra}"' in line}
        for extra in stated.get_all("Provides-Extra") or []
    }
    assert {"gcp", "train", "python", "aac", "speech", "completion"} <= by_extra.keys()
    for extra, name in [("train", "tfx-bsl"), ("train", "tensorflow-io"), ("gcp", "google-cloud")]:
        assert any(line.startswith(name) for line in by_extra[extra])


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["count", "gs://bucket/a.wav", "--output", "out"], "gcp"),
        pytest.param(["tables", "--dataset", "project.birds"], "gcp", marks=pytest.mark.slow),
        (["completion", "bash"], "completion"),
    ],
)
def test_a_command_whose_packages_are_missing_names_the_extra(
    tmp_path: Path, words: list[str], extra: str
) -> None:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.bare", *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert f"needs the extra {extra}; run: " in line
    assert f"-m pip install 'capuchinbird-counter[{extra}]'" in line
    assert not list(tmp_path.iterdir())
