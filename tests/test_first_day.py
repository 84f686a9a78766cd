"""docs/first-day.md: its commands as they stand, in a folder with spaces and accents in it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from model.training.synth import synthesise_recording
from pipeline.inference.count import shifted_score
from pipeline.tables.read import read_counts

ROOT = Path(__file__).resolve().parents[1]
DAY = ROOT / "docs" / "first-day.md"
LEK_S = (4.0, 11.0, 19.0)

pytestmark = pytest.mark.slow


def write_audiomoth(path: Path, clock: str, call_starts_s: tuple[float, ...], seed: int) -> None:
    """A minute as an AudioMoth set to UTC writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = synthesise_recording(30.0, call_starts_s, 32_000, 1, seed, call_level=0.35)
    with soundfile.SoundFile(path, "w", 32_000, 1, format="WAV") as file:
        file.comment = (
            f"Recorded at {clock} 01/06/2024 (UTC) by AudioMoth 0000000000000000 at medium gain "
            "while battery was 4.2V and temperature was 24.5C."
        )
        file.write(samples)


Shell = Callable[[Path, str], str]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Runs a block of commands in a folder, in a home of its own."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        "HOME": str(home),
        "PATH": f"{home}/.local/bin:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "PYTHONWARNINGS": "ignore",
    }

    def shell(folder: Path, commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\n{done.stderr}"
        return done.stdout

    return shell


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder, with this Python for the environment that it would make."""
    folder = tmp_path_factory.mktemp("a clone")
    shutil.copy2(ROOT / "run_local.sh", folder)
    for package in ("pipeline", "model"):
        (folder / package).symlink_to(ROOT / package)
    (folder / "scripts").mkdir()
    script = f"use_environment() {{ PYTHON={sys.executable}; }}\n"
    (folder / "scripts" / "environment.sh").write_text(script)
    return folder


def test_the_first_day(clone: Path, shell: Shell, tmp_path: Path) -> None:
    link, *blocks = re.findall(r"```bash\n(.*?)```", DAY.read_text("utf-8"), flags=re.DOTALL)
    shell(clone, link)
    season = tmp_path / "Données de l'été 2024"
    write_audiomoth(season / "cards/Saül/20240601/080000.WAV", "08:00:00", LEK_S, 1)
    write_audiomoth(season / "cards/Saül/20240601/090000.WAV", "09:00:00", (), 2)
    write_audiomoth(season / "cards/Crique Nouragues/20240601/080000.WAV", "08:00:00", (7.0,), 3)
    printed = [re.sub(" +", " ", shell(season, block)) for block in blocks]
    sites, plan, count, stricter, back, look, formats, again, check = printed

    assert sites == ""
    assert "here " in plan
    assert "3 recordings, 4 calls (2 with calls, 1 without calls)" in count
    assert "no time known" not in count
    own = json.loads((ROOT / "model/released/contract.json").read_text())["rule"]["threshold"]
    assert f"threshold {own:g} (the model's own)" in count
    assert f"threshold {shifted_score(own, 1):g} (the model's own: {own:g})" in stricter
    assert "4 calls" in back
    assert "look.png" in look
    assert "nothing new: 3 of 3 recordings were done before" in formats
    assert "nothing new: 3 of 3 recordings were done before" in again
    assert "results/review/review.html" in check

    results = season / "results"
    with (results / "activity.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["site"], row["date"], row["hour"]): row["calls"] for row in rows} == {
        ("Crique Nouragues", "2024-06-01", "5"): "1",
        ("Saül", "2024-06-01", "5"): "3",
        ("Saül", "2024-06-01", "6"): "0",
    }
    assert {row.latitude for row in read_counts(str(results))} == {3.6223, 4.0851}
    for name in ("report.html", "excel/calls.csv", "raven.selection.table.txt", "../look.png"):
        assert (results / name).stat().st_size > 0
