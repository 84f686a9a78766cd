"""What runs tell each other: that one is going on, and how a person has chosen to count."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pipeline.ledger import parts
from pipeline.options import Config
from pipeline.storage import files

_CHOICES = ("threshold", "counting", "hop_s")


def start(output: str, run_id: str) -> None:
    """Notes that a run is going on. If it is killed, the note stays, and the next run looks at
    every part for what was left undone."""
    files.write_atomically(_started(output, run_id), [b""])


def end(output: str, run_ids: Collection[str]) -> None:
    """Takes back what ``start`` noted, of this run and of those whose rest it has done."""
    for run_id in run_ids:
        files.delete_if_there(_started(output, run_id))


def others(output: str, run_id: str) -> list[str]:
    """Other runs that are going on or were killed."""
    names = files.list_folder(parts.ledger(output), ".started")
    found = (posixpath.basename(name).removesuffix(".started") for name in names)
    return [name for name in found if name != run_id]


def _started(output: str, run_id: str) -> str:
    return files.join(parts.ledger(output), f"{run_id}.started")


def _ended(output: str, run_id: str) -> str:
    return files.join(parts.ledger(output), f"{run_id}.ended.json")


def tell_launcher(output: str, run_id: str, told: Mapping[str, Any]) -> None:
    """Leaves what a run did for its launcher: run.json may be gone already, where another run has
    begun meanwhile."""
    files.write_atomically(_ended(output, run_id), [json.dumps(told).encode()])


def take_told(output: str, run_id: str) -> dict[str, Any]:
    """What a job told its launcher, which is removed; empty if it did not come so far."""
    name = _ended(output, run_id)
    try:
        told: dict[str, Any] = json.loads(files.read_bytes(name))
    except FileNotFoundError:
        return {}
    files.delete_if_there(name)
    return told


def forget_told(output: str, before: str) -> None:
    """Removes what launchers that did not wait left, of runs before a time."""
    for name in files.list_folder(parts.ledger(output), ".ended.json"):
        if posixpath.basename(name) < before:
            files.delete_if_there(name)


def keep_choice(output: str, run_id: str, config: Config, model_version: str) -> None:
    """Keeps how rescoring counts, so that later runs of the same model do not undo it."""
    chosen = {name: getattr(config, name) for name in _CHOICES}
    text = json.dumps({**chosen, "model_version": model_version})
    name = files.join(parts.ledger(output), f"{run_id}.chosen.json")
    files.write_atomically(name, [text.encode()])


def as_chosen(config: Config, model_version: str) -> tuple[Config, str]:
    """What was asked for, with what rescoring chose where nothing is stated; and a line on that."""
    names = files.list_folder(parts.ledger(config.output), ".chosen.json")
    if not names or config.states_counting:
        return config, ""
    chosen = json.loads(files.read_bytes(names[-1]))
    changed = {name: chosen[name] for name in _CHOICES if chosen[name] != getattr(config, name)}
    if not changed or chosen["model_version"] != model_version:
        return config, ""
    told = " ".join(f"--{name} {value}" for name, value in sorted(changed.items()))
    return replace(config, **changed), (
        f"counting with {told}, as rescore chose for this output; state --threshold to change it"
    )
