#!/usr/bin/env python3
"""What ``run_slurm.sh`` asks for where it was not said: how many tasks, how long, how much memory.

``slurm_tasks.py sizes PLAN CPUS SHARES`` prints the number of shares, minutes and memory of a task,
minutes and memory of the job that joins. PLAN is what ``capuchinbird plan --json`` printed; SHARES
is 0 where it is to be chosen. ``slurm_tasks.py missing OUTPUT SHARES`` prints how many shares there
are and which of them the last join missed.
"""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

TASK_H = 1.0
"""How long a task is meant to take: its start, 10 s, is little beside that, and clusters start
short tasks sooner."""
MOST_SHARES = 1000
"""Slurm's own limit of an array, unless the cluster says otherwise."""
TIME_MARGIN = 3.0
"""A node may be half as fast as the machine of pipeline/plan.py, a share larger than another, and a
shared disk busy. A task that reaches its limit is lost time only: what it counted stays."""
LEAST_MINUTES = 15

RECORDING_S = 0.03
"""CPU seconds of a recording however short it is; the plan goes by its audio."""

PROCESS_MB, WORKER_MB = 950, 130
"""Of pipeline/sharing/spread.py: what a process holds, and each of its workers."""
RECORDING_MB = 0.06
"""Of docs/scale.md: what is held of a recording of a minute, with its scores."""
LISTED_MB = 0.0005
"""Of each recording that is listed: a task lists all, and counts its share."""
MEMORY_MARGIN = 1.5
JOIN_MB, JOINED_MB = 1000.0, 0.02
JOINED_S = 0.05
"""CPU seconds to join a recording's rows and draw its line on the page."""


def sizes(plan: Mapping[str, Any], cpus: int, shares: int) -> tuple[int, int, str, int, str]:
    """Shares, minutes and memory of a task, minutes and memory of the join.

    Args:
        plan: ``recordings``, ``done`` and ``core_h`` of ``pipeline.plan.Plan``.
        cpus: cores of a task.
        shares: how many there are; 0 to choose.
    """
    recordings = plan["recordings"]
    todo = max(0, recordings - plan["done"])
    left_h = plan["core_h"] + todo * RECORDING_S / 3600
    shares = shares or min(max(1, math.ceil(left_h / cpus / TASK_H)), max(1, todo), MOST_SHARES)
    # What is left may lie in few of the shares, but in none more than its part of the whole.
    share_h = min(left_h, left_h * recordings / max(1, todo) / shares)
    minutes = LEAST_MINUTES + 60 * TIME_MARGIN * share_h / cpus
    of_share = math.ceil(recordings / shares)
    held = PROCESS_MB + WORKER_MB * cpus + RECORDING_MB * of_share + LISTED_MB * recordings
    joined = JOIN_MB + JOINED_MB * recordings
    join_minutes = LEAST_MINUTES + JOINED_S * recordings / 60
    return shares, _rounded(minutes), _gigabytes(held), _rounded(join_minutes), _gigabytes(joined)


def _rounded(minutes: float) -> int:
    return 5 * math.ceil(minutes / 5)


def _gigabytes(mb: float) -> str:
    return f"{math.ceil(mb * MEMORY_MARGIN / 1000)}G"


def missing(run: Mapping[str, Any], shares: int) -> tuple[int, str]:
    """How many shares there are, and which of them the last join missed, as ``sbatch`` takes them.

    Args:
        run: ``run.json``.
        shares: how many there should be; 0 for as many as there were.

    Raises:
        ValueError: none, or not that many.
    """
    cuts = [one for one in run.get("shares", ()) if one["missing"]]
    if not cuts:
        raise ValueError("ONLY=missing: no share is missing")
    last = cuts[-1]
    if shares and shares != last["of"]:
        raise ValueError(f"SHARES={shares}: those missing are of {last['of']}")
    return last["of"], ",".join(map(str, last["missing"]))


def main(arguments: Sequence[str]) -> None:
    """Prints the answer, with blanks between."""
    if arguments[0] == "sizes":
        plan, cpus, shares = arguments[1:]
        print(*sizes(json.loads(plan)["plan"], int(cpus), int(shares)))
        return
    output, shares = arguments[1:]
    try:
        with open(os.path.join(output, "run.json"), encoding="utf-8") as file:
            print(*missing(json.load(file), int(shares)))
    except (OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, OSError):
            reason = (
                f"ONLY=missing: {error.filename}: {error.strerror}; no join has ended there, so "
                "say which: ONLY=3,7-9 SHARES=16"
            )
        print(f"run_slurm.sh: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
