#!/usr/bin/env python3
"""Builds the wheel, installs it alone into a fresh environment, says its size, runs the demo there.

    scripts/try_wheel.py [RECORDINGS]

Recordings are then counted by it and by the checkout, whose packages this Python must have, and the
tables are compared: the same bytes, but for the run's id. Needs a package index and a few minutes.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLES = ("counts.csv", "calls.csv", "activity.csv", "failures.csv")


def run(*command: object, **options: Any) -> None:
    """Runs a command. Raises CalledProcessError where it fails."""
    subprocess.run(list(map(str, command)), check=True, **options)


def megabytes_in(folder: Path) -> float:
    """What the files below a folder hold."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def tables_of(output: Path) -> dict[str, bytes]:
    """The tables, without what tells one run from another."""
    with open(output / "counts.csv", newline="", encoding="utf-8") as file:
        run_id = next(csv.DictReader(file))["run_id"].encode()
    return {name: (output / name).read_bytes().replace(run_id, b"RUN") for name in TABLES}


def main(recordings: str = "") -> None:
    """Does all that the module's docstring says."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        source = top / "source"  # what is committed; building leaves files behind
        run("git", "clone", "-q", ROOT, source)
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", top / "dist", source)
        [wheel] = (top / "dist").iterdir()
        venv.create(top / "env", with_pip=True)
        scripts = top / "env" / ("Scripts" if os.name == "nt" else "bin")
        run(scripts / "python", "-m", "pip", "install", "-q", wheel)
        print(f"{wheel.name}: {megabytes_in(top / 'env'):,.0f} MB with all that it needs")
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = scripts / "capuchinbird"
        run(command, "demo", cwd=top, env=plain)
        if not recordings:
            return
        count = ("count", Path(recordings).resolve(), "--output")
        run(command, *count, top / "of_wheel", cwd=top, env=plain)
        here = {**os.environ, "PYTHONPATH": str(ROOT)}
        run(sys.executable, "-m", "pipeline", *count, top / "of_checkout", cwd=top, env=here)
        if tables_of(top / "of_wheel") != tables_of(top / "of_checkout"):
            sys.exit("the wheel and the checkout give different tables")
        print("the same tables as from the checkout")


if __name__ == "__main__":
    main(*sys.argv[1:])
