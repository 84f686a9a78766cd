"""docs/findings.md: its commands as they stand, on the forest recordings."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import soundfile
from dwca.read import DwCAReader

from tests.test_histories import in_r, vignette
from tests.test_publication import problems, rows_of

ROOT = Path(__file__).resolve().parents[1]
FINDINGS = ROOT / "docs" / "findings.md"
TERMS = "http://rs.tdwg.org/dwc/terms/"

pytestmark = pytest.mark.slow


def blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", FINDINGS.read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory, forest: Path) -> tuple[Path, str]:
    """The folder in which all commands ran, and what they printed."""
    folder = tmp_path_factory.mktemp("une saison")
    (folder / "forest").symlink_to(forest)
    program = folder / "bin" / "capuchinbird"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "LANG": "C.UTF-8",
    }
    printed = ""
    for block in blocks():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        printed += done.stdout
    return folder, printed


def test_what_the_commands_say(season: tuple[Path, str]) -> None:
    _, printed = season
    assert "40 recordings" in printed
    assert re.search(r"labels.csv: 17 recordings; \d+ calls confirmed", printed)
    assert "4 sites × 10 nights; recorded in 40" in printed
    assert re.search(r"4 deployments, 40 recordings, \d+ calls", printed)
    assert "4 recorders, 0 with warnings" in printed


def test_frictionless_accepts_the_package(season: tuple[Path, str]) -> None:
    package = season[0] / "published" / "camtrap_dp"
    assert problems(package) == []
    assert len(rows_of(package, "media")) == 40
    observations = rows_of(package, "observations")
    assert {row["classificationMethod"] for row in observations} == {"human"}
    assert len(observations) == 91  # every annotated call, those that the model missed too


def test_the_archive_opens(season: tuple[Path, str]) -> None:
    with DwCAReader(season[0] / "published" / "darwin_core.zip") as archive:
        rows = list(archive)
        occurrences = [line for row in rows for line in row.extensions]
    assert len(rows) == 4 + 40
    assert len(occurrences) == 91
    nights = [row for row in rows if row.data[f"{TERMS}eventType"] == "Night"]
    (protocol,) = {row.data[f"{TERMS}samplingProtocol"] for row in nights}
    assert re.match(r"passive acoustic monitoring; calls found by model \S+ at threshold", protocol)
    hours = sum(float(row.data[f"{TERMS}sampleSizeValue"]) for row in nights)
    assert hours == pytest.approx(40 * 0.05, abs=0.02)


def test_histories_agree_with_the_annotations(season: tuple[Path, str], forest: Path) -> None:
    folder, _ = season
    with (forest / "annotations.csv").open(encoding="utf-8") as file:
        annotated = [row["recording"] for row in csv.DictReader(file)]
    names = sorted(path.name for path in (forest / "recordings").glob("*.mp3"))
    verified = pandas.read_csv(folder / "histories" / "verified.csv", index_col="site")
    assert verified.shape == (4, 10)
    # Nobody listened to recordings without annotations: their calls, if any, stay unconfirmed.
    assert int((verified == 1).to_numpy().sum()) == len(set(annotated))
    sites = ["Saül", "Crique Nouragues", "Kaw", "Trésor"]
    for n, name in enumerate(names):
        if name in annotated:
            assert verified.loc[sites[n % 4]].iloc[n // 4] == 1


def test_r_reads_these_histories(season: tuple[Path, str]) -> None:
    printed = in_r(vignette("r")[0], season[0])
    assert "sites: 4, visits: 10, NA: 0" in printed


def test_clips_lie_in_a_folder_for_each_site(season: tuple[Path, str]) -> None:
    clips = season[0] / "clips"
    paths = sorted(clips.rglob("*.flac"))
    assert paths
    assert len(paths) <= 4 * 5
    assert {path.parent.name for path in paths} <= {"Saül", "Crique Nouragues", "Kaw", "Trésor"}
    assert {soundfile.info(path).samplerate for path in paths} == {48_000}
    with (clips / "clips.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(paths)
