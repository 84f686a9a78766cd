"""Archives counted in shares on a Slurm of two nodes, undisturbed and disturbed.

``python -m tests.slurm.disturb --shares 16 FOLDER --short 2000`` counts a folder with one run, then
in shares, then once more in shares of which one is killed, one cancelled and one put back. The
tables must be the same bytes each time, the names of runs aside. Then it does the same with that
many pieces of 3 s, cut from the folder's recordings.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import soundfile

from pipeline.ledger.shares import read_records
from tests.slurm.cluster import Slurm, slurm, wait_until

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("counts.csv", "calls.csv", "failures.csv", "activity.csv")
_RUN_ID = re.compile(rb"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{6}")


def submit(running: Slurm, here: Path, **variables: str) -> tuple[str, str]:
    """Calls run_slurm.sh in a folder. Returns the numbers of the array and of the join."""
    done = subprocess.run(
        [ROOT / "run_slurm.sh"],
        cwd=here,
        env={**running.environ, "PYTHON": sys.executable, "CPUS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    array, join = done.stdout.split()
    return array, join


def pid_of(share: str) -> int:
    """The process that counts a share, such as 3/16."""
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if f"--share={share}".encode() in words:
            return int(status.parent.name)
    raise ProcessLookupError(share)


def tables(output: Path) -> dict[str, bytes]:
    """Tables as they are, the names of runs aside."""
    return {name: _RUN_ID.sub(b"RUN", (output / name).read_bytes()) for name in TABLES}


def count_once(recordings: Path, output: Path) -> None:
    """One run, which shares are compared with."""
    command = [sys.executable, "-m", "pipeline", "count", str(recordings), "--output", str(output)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environ, check=True, capture_output=True, cwd=ROOT)


def count_in_shares(running: Slurm, recordings: Path, output: Path, shares: int) -> None:
    """Undisturbed."""
    array, join = submit(
        running,
        recordings.parent,
        INPUT=str(recordings),
        OUTPUT=str(output),
        SHARES=str(shares),
    )
    assert set(running.wait(array, 3600)) == {"COMPLETED"}
    assert running.wait(join) == ["COMPLETED"]


def count_disturbed(running: Slurm, recordings: Path, output: Path, shares: int) -> None:
    """The first share is killed, the second put back and the third cancelled while they count.

    The join then says which are missing, and these are submitted again.
    """
    where = {"INPUT": str(recordings), "OUTPUT": str(output)}
    array, join = submit(running, recordings.parent, **where, SHARES=str(shares))

    def counts(number: int) -> bool:
        records = read_records(str(output))
        return any(one.share == (number, shares) and not one.finished for one in records)

    for number in (1, 2, 3):
        wait_until(partial(counts, number), f"share {number}", 600)
        if number == 1:
            os.kill(pid_of(f"1/{shares}"), signal.SIGKILL)
        elif number == 2:
            running.call("scontrol", "requeue", f"{array}_2")
        else:
            running.call("scancel", f"{array}_3")
    running.wait(array, 3600)
    states = [running.task(array, number)["JobState"] for number in (1, 2, 3)]
    assert states == ["FAILED", "COMPLETED", "CANCELLED"], states
    assert running.task(array, 2)["Restarts"] == "1"
    logs = output / "logs"
    assert "ended by SIGTERM" in (logs / f"{array}_3.txt").read_text()
    assert running.wait(join) == ["FAILED"]
    assert running.jobs(join)[0]["ExitCode"] == "1:0"
    missing = f"2 of {shares} shares missing (1/{shares}, 3/{shares})"
    assert missing in (logs / f"{join}_join.txt").read_text()
    [cut] = json.loads((output / "run.json").read_text())["shares"]
    assert (cut["of"], cut["missing"]) == (shares, [1, 3])

    array, join = submit(running, recordings.parent, **where, ONLY="missing")
    assert running.wait(array, 3600) == ["COMPLETED"] * 2
    assert running.wait(join) == ["COMPLETED"]


def compare(running: Slurm, recordings: Path, folder: Path, shares: int) -> dict[str, float]:
    """Counts a folder in each way, and compares. Returns seconds."""
    took = {}
    for way, count in (("undisturbed", count_in_shares), ("disturbed", count_disturbed)):
        begin = time.monotonic()
        count(running, recordings, folder / way, shares)
        took[way] = time.monotonic() - begin
    begin = time.monotonic()
    count_once(recordings, folder / "once")
    took["once"] = time.monotonic() - begin
    for way in ("undisturbed", "disturbed"):
        assert tables(folder / way) == tables(folder / "once"), way
    return took


def cut_short(recordings: Path, folder: Path, n: int) -> Path:
    """So many pieces of 3 s as recorders name them: 20 sites, 100 in each night. Returns where."""
    sources = sorted(path for path in recordings.iterdir() if path.is_file())
    each = -(-n // len(sources))
    for k in range(n):
        if k % each == 0:
            audio, rate = soundfile.read(sources[k // each], always_2d=True)
        begin = k % each * (len(audio) - 3 * rate) // each
        when = datetime(2024, 6, 1) + timedelta(days=k // 20 // 100, minutes=k // 20 % 100)
        path = folder / f"SITE{k % 20:02}" / f"SITE{k % 20:02}_{when:%Y%m%d_%H%M%S}.WAV"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, audio[begin : begin + 3 * rate, 0], rate)
    return folder


def main() -> int:
    """Compares, and prints how long each took."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.disturb", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--shares", type=int, default=16)
    parser.add_argument("--short", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as top, slurm(Path(top, "slurm")) as running:
        archives = [asked.folder.resolve()]
        if asked.short:
            archives.append(cut_short(asked.folder, Path(top, "short"), asked.short))
        for number, recordings in enumerate(archives):
            output = Path(top, str(number))
            took = compare(running, recordings, output, asked.shares)
            rows = (output / "once" / "counts.csv").read_bytes().count(b"\n") - 1
            times = ", ".join(f"{way} {s:.0f} s" for way, s in took.items())
            print(f"{recordings}: {rows:,} rows, the same bytes each time; {times}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
