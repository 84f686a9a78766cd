"""What runs tell each other: that one is going on, and how a person has chosen to count."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection
from dataclasses import replace
from enum import Enum
from typing import Any

from pipeline.ledger import parts
from pipeline.options import Config, UsageError
from pipeline.storage import files
from pipeline.storage.sealed import DamagedError, read_sealed, write_sealed

_CHOICES = ("threshold", "counting", "hop_s")


def start(output: str, run_id: str) -> None:
    """Notes that a run is going on. If it is killed, the note stays, and the next run looks at
    every part for what was left undone."""
    files.write_atomically(_started(output, run_id), [b""])


def start_joining(output: str, run_id: str) -> None:
    """Notes that a run has changed all that it will change, and reads what tables are to show."""
    files.write_atomically(_joining(output, run_id), [b""])


def end(output: str, run_ids: Collection[str]) -> None:
    """Takes back what was noted of this run, and of those whose rest it has done."""
    for run_id in run_ids:
        # In this order: a run that seems not to join yet will join.
        files.delete_if_there(_started(output, run_id))
        files.delete_if_there(_joining(output, run_id))


def others(output: str, run_id: str) -> list[str]:
    """Other runs that are going on or were killed."""
    return [name for name in _noted(output, ".started") if name != run_id]


def others_have_to_join(output: str, run_id: str) -> bool:
    """Whether another run is going on that has not begun to read what tables are to show."""
    joining = set(_noted(output, ".joining"))
    return bool(set(others(output, run_id)) - joining)


def _noted(output: str, kind: str) -> list[str]:
    names = files.list_folder(parts.ledger(output), kind)
    return [posixpath.basename(name).removesuffix(kind) for name in names]


def _started(output: str, run_id: str) -> str:
    return files.join(parts.ledger(output), f"{run_id}.started")


def _joining(output: str, run_id: str) -> str:
    return files.join(parts.ledger(output), f"{run_id}.joining")


class Note(Enum):
    """What a job leaves for its launcher: its error may come as the text of another program's."""

    REPORT = "ended"
    """run.json, which may be gone already, where another run has started meanwhile."""
    REFUSAL = "refused"
    """Why its recordings may not be added to the output, and what to do."""
    GATE = "gated"
    """That the job failed because too many of its recordings did."""


def leave(output: str, run_id: str, note: Note, value: Any) -> None:
    """Leaves a note for the launcher of a run."""
    files.write_atomically(_note(output, run_id, note), [json.dumps(value).encode()])


def take(output: str, run_id: str, note: Note) -> Any:
    """The value of a job's note, which is removed; None if the job left none."""
    name = _note(output, run_id, note)
    try:
        value = json.loads(files.read_bytes(name))
    except FileNotFoundError:
        return None
    files.delete_if_there(name)
    return value


def _note(output: str, run_id: str, note: Note) -> str:
    return files.join(parts.ledger(output), f"{run_id}.{note.value}.note.json")


def forget_notes(output: str, before: str) -> None:
    """Removes what launchers that did not wait left, of runs before a time."""
    for name in files.list_folder(parts.ledger(output), ".note.json"):
        if posixpath.basename(name) < before:
            files.delete_if_there(name)


def keep_choice(output: str, run_id: str, config: Config, model_version: str) -> None:
    """Keeps how rescoring counts, so that later runs of the same model do not undo it."""
    chosen = {name: getattr(config, name) for name in _CHOICES}
    name = files.join(parts.ledger(output), f"{run_id}.chosen.json")
    write_sealed(name, {**chosen, "model_version": model_version}, copies=2)


def as_chosen(config: Config, model_version: str) -> tuple[Config, str]:
    """What was asked for, with what rescoring chose where nothing is stated; and a line on that.

    Raises:
        UsageError: what it chose cannot be read.
    """
    names = files.list_folder(parts.ledger(config.output), ".chosen.json")
    if not names or config.states_counting:
        return config, ""
    try:
        chosen = read_sealed(names[-1])
    except DamagedError as error:
        raise UsageError(f"{error}; state --threshold, or choose it again with rescore") from None
    changed = {name: chosen[name] for name in _CHOICES if chosen[name] != getattr(config, name)}
    if not changed or chosen["model_version"] != model_version:
        return config, ""
    flags = " ".join(f"--{name} {value}" for name, value in sorted(changed.items()))
    return replace(config, **changed), (
        f"counting with {flags}, as rescore chose for this output; state --threshold to change it"
    )
