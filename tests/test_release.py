"""Versions from git's tags, and the steps of a release."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import pipeline

ROOT = Path(__file__).resolve().parents[1]
RELEASE = runpy.run_path(str(ROOT / "scripts" / "release.py"))


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@forest.example"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def test_a_clone_has_the_version_of_its_last_tag(tmp_path: Path) -> None:
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    assert re.fullmatch(r"0\+g[0-9a-f]{7,}", pipeline.version.__wrapped__(tmp_path))
    git(tmp_path, "tag", "-a", "v1.2.3", "-m", "Release 1.2.3")
    assert pipeline.version.__wrapped__(tmp_path) == "1.2.3"
    git(tmp_path, "commit", "--allow-empty", "-m", "two")
    assert re.fullmatch(r"1\.2\.3\+1\.g[0-9a-f]{7,}", pipeline.version.__wrapped__(tmp_path))


def test_elsewhere_the_version_is_that_of_the_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3")
    assert pipeline.version.__wrapped__(tmp_path) == "1.2.3"

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert pipeline.version.__wrapped__(tmp_path) == pipeline.UNKNOWN


@pytest.mark.slow
def test_a_tree_without_git_is_packed_for_workers(tmp_path: Path) -> None:
    """As Dataflow's launcher packs an unpacked archive of the sources."""
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tmp_path)
    for package in ("model", "pipeline"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    command = [sys.executable, "setup.py", "-q", "sdist"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    [packed] = (tmp_path / "dist").iterdir()
    [stated] = re.findall(r'fallback_version = "(.*)"', (ROOT / "pyproject.toml").read_text())
    assert packed.name == f"capuchinbird_counter-{stated}.tar.gz"


def test_a_release_takes_what_is_unreleased_and_leaves_the_heading() -> None:
    added = "### Added\n\n- A."
    top, bottom = "# Changelog\n\n## [Unreleased]\n\n", "\n\n## [0.1.0] - 2026-11-24\n\n- B.\n"
    before = top + added + bottom
    after = RELEASE["cut"](before, "0.2.0", "2026-12-01")
    assert after == f"{top}## [0.2.0] - 2026-12-01\n\n{added}{bottom}"
    assert RELEASE["notes"](after, "0.2.0") == added
    assert RELEASE["notes"](after, "0.1.0") == "- B."
    with pytest.raises(SystemExit, match="nothing is unreleased"):
        RELEASE["cut"](after, "0.3.0", "2026-12-02")
    with pytest.raises(SystemExit, match="nothing about"):
        RELEASE["notes"](before, "0.2.0")


def test_the_files_of_a_release_can_be_written() -> None:
    citation = RELEASE["cited"]((ROOT / "CITATION.cff").read_text(), "9.8.7", "2030-01-02")
    assert "\nversion: 9.8.7\ndate-released: 2030-01-02\n" in citation
    project = RELEASE["fallen_back"]((ROOT / "pyproject.toml").read_text(), "9.8.7")
    assert '\nfallback_version = "9.8.7"\n' in project
    assert RELEASE["cut"]((ROOT / "CHANGELOG.md").read_text(), "9.8.7", "2030-01-02")
