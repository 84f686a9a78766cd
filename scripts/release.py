#!/usr/bin/env python3
"""Cuts a release: ``scripts/release.py 0.2.0`` dates the changelog, commits and tags.

Nothing leaves this machine: ``git push --follow-tags`` then starts the workflow ``release.yml``.
``scripts/release.py --notes 0.2.0`` prints what the changelog says of a release.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNRELEASED = "## [Unreleased]\n"


def cut(changelog: str, version: str, day: str) -> str:
    """The changelog with all that is unreleased under the version, and nothing above it."""
    before, heading, changes = changelog.partition(UNRELEASED)
    if not re.match(r"\s*### ", changes):
        raise SystemExit("scripts/release.py: CHANGELOG.md: nothing is unreleased")
    return f"{before}{heading}\n## [{version}] - {day}\n{changes}"


def notes(changelog: str, version: str) -> str:
    """What the changelog says of a release."""
    section = rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)"
    match = re.search(section, changelog, re.MULTILINE | re.DOTALL)
    if not match:
        raise SystemExit(f"scripts/release.py: CHANGELOG.md: nothing about {version}")
    return match[1].strip()


def cited(citation: str, version: str, day: str) -> str:
    """The citation file of a release."""
    citation = re.sub(r"^version: .*$", f"version: {version}", citation, flags=re.MULTILINE)
    return re.sub(r"^date-released: .*$", f"date-released: {day}", citation, flags=re.MULTILINE)


def fallen_back(pyproject: str, version: str) -> str:
    """The project file whose archives without git are of a release."""
    return re.sub(r'(?<=^fallback_version = ")[^"]*', version, pyproject, flags=re.MULTILINE)


def main() -> None:
    """Edits the files, commits and tags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--notes", action="store_true", help="print the release's notes only")
    asked = parser.parse_args()
    version, day = asked.version, f"{datetime.now(UTC):%Y-%m-%d}"
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    if asked.notes:
        print(notes(changelog, version))
        return
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        parser.error(f"{version}: write it as 0.2.0")
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout:
        parser.error("the working tree has changes; commit them first")
    for name, text in (
        ("CHANGELOG.md", cut(changelog, version, day)),
        ("CITATION.cff", cited((ROOT / "CITATION.cff").read_text("utf-8"), version, day)),
        ("pyproject.toml", fallen_back((ROOT / "pyproject.toml").read_text("utf-8"), version)),
    ):
        (ROOT / name).write_text(text, "utf-8")
    subprocess.run([*git, "commit", "-qam", f"Release {version}"], check=True)
    subprocess.run([*git, "tag", "-a", f"v{version}", "-m", f"Release {version}"], check=True)
    print(f"v{version} is tagged; publish it with: git push --follow-tags")


if __name__ == "__main__":
    main()
