"""What a command prints of what it did: for people, for scripts (``--json``), or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

MODES = {
    "json": "print one JSON object on standard output, for scripts, and nothing else there",
    "quiet": "print nothing but warnings and errors",
}

_chosen: set[str] = set()
_facts: dict[str, Any] = {}


def begin(modes: Sequence[str] = ()) -> None:
    """Begins a command; names some of ``MODES``."""
    _chosen.clear()
    _chosen.update(modes)
    _facts.clear()


def is_quiet() -> bool:
    """Whether progress is not shown."""
    return "quiet" in _chosen


def say(text: str = "", **facts: Any) -> None:
    """Prints a text for people; keeps the same in figures for ``--json``."""
    _facts.update(facts)
    if text and not _chosen:
        print(text, flush=True)


def remark(*lines: str, command: str = "") -> None:
    """Prints remarks on standard error, a line each, with the program's name or a command's."""
    for line in lines:
        print(f"{f'capuchinbird {command}'.strip()}: {line}", file=sys.stderr)


def conclude(command: str, exit_code: int, error: str = "") -> None:
    """Ends a command: with ``--json`` it prints its figures."""
    if "json" in _chosen:
        last = {"error": error} if error else {}
        print(
            json.dumps(
                {"command": command, "exit_code": exit_code, **_facts, **last},
                ensure_ascii=False,
                default=str,
            ),
            flush=True,
        )
    begin()
