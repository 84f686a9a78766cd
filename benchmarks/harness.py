"""What benchmarks share: processes seen from outside, flags, figures as JSON, tables."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RELEASED = ROOT / "model" / "released"


@dataclass(frozen=True)
class Usage:
    """What a process took, its own children included, and the last line it printed."""

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    last_line: str


def run_child(command: Sequence[str]) -> Usage:
    """Run a command in the project's root.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, cwd=ROOT, env=environment)
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed = out.read()
        if child.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with {child.returncode}:\n{printed[-1000:]}"
                f"{err.read()[-3000:]}"
            )
    rss_unit = 1 if sys.platform == "darwin" else 1024
    return Usage(
        wall_s=wall_s,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_rss_bytes=used.ru_maxrss * rss_unit,
        last_line=printed.strip().rpartition("\n")[2],
    )


def parser(description: str | None, prog: str | None = None) -> argparse.ArgumentParser:
    """The flags of a benchmark: ``--json``, and what is added to them."""
    result = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return result


def write_json(path: Path | None, figures: Any) -> None:
    """Writes figures where ``--json`` says, if it does."""
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table, a line for each row; its first columns are ``texts``, the others numbers.

    >>> print(markdown(["way", "s"], [["loop", "2"]]))
    | way | s |
    |---|--:|
    | loop | 2 |
    """
    aligned = "|" + "---|" * texts + "--:|" * (len(head) - texts)
    first, *others = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([first, aligned, *others])
