"""What runs left behind: removed when a run has committed all of its own.

Scores of a run that was killed are kept for the runs of a week, which may take them up. What counts
is when they were written, not when their run began: a run may live longer than a week.
"""

from __future__ import annotations

import glob
import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pipeline.storage import files
from pipeline.store import parts, scores

KEPT_DAYS = 7
TIME_FORMAT = "%Y%m%dT%H%M%S"
_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{8}$")
_WRITTEN = re.compile(r"-w(\d{8}T\d{6})-")


def left_behind(output: str, run_id: str) -> list[str]:
    """Files in an output to remove at the end of a run.

    These are its own scores on their way, which have arrived, and what runs that were killed more
    than a week ago left of files that they were writing.
    """
    before = datetime.now(UTC) - timedelta(days=KEPT_DAYS)
    folders = (output, parts.ledger(output), scores.unfinished_folder(output))
    return [
        *(n for n in scores.unfinished_files(output) if has_arrived(n, run_id, before)),
        *(n for folder in folders for n in _half_written(folder, before.timestamp())),
    ]


def has_arrived(name: str, run_id: str, before: datetime) -> bool:
    """Whether scores on their way are those of this run, or were written before a time."""
    base = name.rpartition("/")[2]
    written = _WRITTEN.search(base)
    # Earlier versions named files after their run's beginning only.
    return base.startswith(run_id) or (written[1] if written else base) < f"{before:{TIME_FORMAT}}"


def _half_written(folder: str, before: float) -> list[str]:
    """What ``files.write_atomically`` left in a folder when its process was killed before a time.

    Args:
        folder: only a local one can hold any: an object appears when its upload is complete.
        before: seconds since 1970.
    """
    if not files.is_local(folder) or not os.path.isdir(folder):
        return []
    left = []
    for path in glob.iglob(os.path.join(glob.escape(folder), ".*")):
        with suppress(FileNotFoundError):  # two runs may tidy up at once
            if _HALF_WRITTEN.search(path) and os.path.getmtime(path) < before:
                left.append(path)
    return left
