"""Pairs of runs that overlap, one of them killed: ``python -m tests.pairs --pairs 300``.

Two runs count recordings of two days into one output at the same time, some of them both. One is
killed at a random moment or write. A third run, of one recording alone, must leave all rows of the
run that ended; a fourth, of all their recordings, must leave these and nothing else.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests import fakes, nights
from tests.kills import POINTS

N_RECORDINGS = 8
MOST_PAUSE_S = 0.04

Tables = dict[str, list[dict[str, str]]]


def write_archive(folder: Path) -> list[Path]:
    """Recordings of two days, so of two parts; the last is no audio."""
    paths = [folder / f"2024060{1 + i % 2}_0{i}0000.wav" for i in range(N_RECORDINGS)]
    for i, path in enumerate(paths):
        nights.write_recording(path, i % 3, seconds=6)
    paths[-1].write_bytes(b"no audio")
    return paths


def rows_of(tables: Tables, recordings: Iterable[Path]) -> Tables:
    """The rows of some recordings."""
    names = {str(path) for path in recordings}
    return {
        table: [row for row in rows if row["recording"] in names] for table, rows in tables.items()
    }


def disturb(
    jobs: nights.Jobs, arguments: list[str], pair: list[list[Path]], dice: random.Random
) -> tuple[int, str]:
    """Lets two runs overlap. Returns which of them was to be killed, and where."""
    victim = dice.randrange(2)
    point = dice.choice([*POINTS, "at random"])
    pids = []
    for number, recordings in enumerate(pair):
        writes_once = point.endswith((".csv", ".json"))
        n = 1 if writes_once else dice.choice([1, 2, 3])
        is_killed = number == victim and point != "at random"
        command = ["--input", *map(str, recordings), *arguments]
        pids.append(
            jobs.start(
                *command, kill_at_write=n if is_killed else 0, of=point, pause_s=MOST_PAUSE_S
            )
        )
        time.sleep(dice.uniform(0, 0.3))
    if point == "at random":
        time.sleep(dice.uniform(0, 0.6))
        os.kill(pids[victim], signal.SIGKILL)
    codes = [jobs.wait(pid) for pid in pids]
    assert codes[1 - victim] == 0, f"the run that went on ended with {codes[1 - victim]}"
    assert codes[victim] in (0, -signal.SIGKILL)
    return victim, point if codes[victim] else "ended before"


def faults_after(
    jobs: nights.Jobs, arguments: list[str], pair: list[list[Path]], victim: int, expected: Tables
) -> list[str]:
    """What further runs left that is wrong."""
    out = arguments[arguments.index("--output") + 1]
    union = sorted({*pair[0], *pair[1]})
    survivors = pair[1 - victim]
    faults = []
    assert jobs.run("--input", str(survivors[0]), *arguments) == 0
    tables = nights.tables(out)
    if rows_of(tables, survivors) != rows_of(expected, survivors):
        faults.append("a row of the run that ended is lost")
    of_union = rows_of(expected, union)
    if any(row not in of_union[name] for name, rows in tables.items() for row in rows):
        faults.append("there is a row of something else")
    assert jobs.run("--input", *map(str, union), *arguments) == 0
    if nights.tables(out) != of_union:
        faults.append("the tables are not those of an undisturbed run")
    return faults


def main() -> int:
    """Tries pairs. Returns 0 if no row was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.pairs", description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    dice, ends, faulty = random.Random(asked.seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as top, nights.jobs(plain=True) as jobs:
        paths = write_archive(Path(top, "archive"))
        common = ["--model", f"{fakes.write_model(Path(top, 'model'))}", "--segment_s", "5"]
        assert jobs.run("--input", *paths, *common, "--output", f"{top}/fresh") == 0
        expected = nights.tables(f"{top}/fresh")
        for number in range(asked.pairs):
            pair = [sorted(dice.sample(paths, dice.randint(2, N_RECORDINGS))) for _ in range(2)]
            arguments = [*common, "--output", f"{top}/out"]
            victim, end = disturb(jobs, arguments, pair, dice)
            ends[end] += 1
            for fault in faults_after(jobs, arguments, pair, victim, expected):
                faulty += 1
                print(f"pair {number}, killed {end}: {fault}", flush=True)
            shutil.rmtree(f"{top}/out")
            if number % 20 == 19:
                print(f"{number + 1} pairs, {faulty} faults; killed {dict(ends)}", flush=True)
    print(f"{asked.pairs} pairs, {faulty} faults; killed {dict(ends)}")
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
