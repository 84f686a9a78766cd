"""Nights that are killed again and again: ``python -m tests.kills --kills 50 [--bucket]``.

At random and at named points: while scores are on their way, before, in and after the files of
scores and entries, between the tables. At the end one undisturbed run must give what a run gives
that was never disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import fakes, nights
from tests.cloud import emulators

POINTS = (
    *("/unfinished/", "/scores/", ".jsonl.gz", "/ledger/tables/"),
    *("counts.csv", "calls.csv", "failures.csv", "run.json"),
)
"""Parts of the names that a run writes, in this order."""


def kill_again_and_again(
    jobs: nights.Jobs, archive: Path, arguments: list[str], out: str, kills: int, seed: int
) -> dict[str, int]:
    """Kills runs while recordings come and change. Returns how often which way."""
    dice, done = random.Random(seed), dict.fromkeys(("at random", *POINTS), 0)
    change = 0
    while sum(done.values()) < kills:
        change += 1
        bursts = dice.randrange(3)
        nights.write_recording(archive / f"{dice.randrange(8)}.wav", bursts, seed=change)
        command = [*arguments, "--output", out]
        point = dice.choice([*POINTS, "at random"])
        if point == "at random":
            pid = jobs.start(*command)
            time.sleep(dice.uniform(0.2, 3))
            os.kill(pid, signal.SIGKILL)
            code = jobs.wait(pid)
        else:
            code = jobs.run(*command, kill_at_write=dice.choice([1, 2, 3]), of=point)
        done[point] += code == -signal.SIGKILL
    return done


@contextmanager
def bucket() -> Iterator[str]:
    """A bucket of the emulator, for this process and those it starts."""
    with (
        tempfile.TemporaryDirectory() as folder,
        emulators.gcs_server(Path(folder)) as url,
    ):
        make = urllib.request.Request(
            f"{url}/storage/v1/b?project=forest",
            data=b'{"name": "kills"}',
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(make, timeout=10).close()
        os.environ.update(STORAGE_EMULATOR_HOST=url, GOOGLE_CLOUD_PROJECT="forest")
        yield "gs://kills"


def main() -> int:
    """Kills, and compares. Returns 0 if both outputs are the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bucket", action="store_true", help="on the emulator of buckets")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive, model = Path(folder) / "archive", fakes.write_model(Path(folder) / "model")
        arguments = ["--input", f"{archive}", "--model", f"{model}", "--segment_s", "5"]

        def disturb(top: str) -> bool:
            with nights.jobs() as jobs:
                out = f"{top}/out"
                done = kill_again_and_again(jobs, archive, arguments, out, asked.kills, asked.seed)
                print(f"{sum(done.values())} kills: {done}")
                assert jobs.run(*arguments, "--output", out) == 0
                assert jobs.run(*arguments, "--output", f"{top}/fresh") == 0
            return nights.tables(out) == nights.tables(f"{top}/fresh")

        if asked.bucket:
            with bucket() as top:
                same = disturb(top)
        else:
            same = disturb(folder)
    print("the same as an undisturbed run" if same else "NOT the same as an undisturbed run")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
