"""Notes between runs: which runs are going on, and the chosen way of counting."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from pipeline.options import Config, UsageError
from pipeline.storage import files
from pipeline.storage.sealed import DamagedError, read_if_whole, read_sealed, write_sealed
from pipeline.store import parts

_CHOICES = ("threshold", "counting", "hop_s")
_STARTED, _JOINING, _NOTE = ".started", ".joining", ".note.json"
_PROGRESS = ".progress"


class Note(Enum):
    """What a job leaves for its launcher: its error may come as the text of another program's."""

    REPORT = "ended"
    """run.json, which may be gone already, where another run has started meanwhile."""
    REFUSAL = "refused"
    """Why its recordings may not be added to the output, and what to do."""
    GATE = "gated"
    """That the job failed because too many of its recordings did."""


@dataclass(frozen=True)
class RunNotes:
    """Files of the ledger in which a run says what other runs and its launcher have to know.

    Attributes:
        output: the output folder.
        run_id: the run's name.
    """

    output: str
    run_id: str

    def start(self) -> None:
        """Notes that the run is going on. If it is killed, the note stays, and the next run looks
        at every part for what was left undone.
        """
        self._write(self.run_id + _STARTED)

    def start_joining(self) -> None:
        """Notes that it has changed all that it will change, and reads what tables are to show."""
        self._write(self.run_id + _JOINING)

    def end(self, also: Iterable[str] = ()) -> None:
        """Takes back what was noted of the run, and of those whose rest it has done."""
        for run_id in (self.run_id, *also):
            # In this order: a run that seems not to join yet will join.
            for kind in (_STARTED, _JOINING, _PROGRESS):
                files.delete_if_there(self._file(run_id + kind))

    def others(self) -> list[str]:
        """Other runs that are going on or were killed."""
        return [name for name in self._noted(_STARTED) if name != self.run_id]

    def others_have_to_join(self) -> bool:
        """Whether another run is going on that has not begun to read what tables are to show.

        Of a share, another run will.
        """
        joining = set(self._noted(_JOINING))
        return bool(set(self.others()) - joining)

    def keep_progress(self, progress: Mapping[str, Any]) -> None:
        """Writes down how far the run is."""
        write_sealed(self._file(self.run_id + _PROGRESS), progress)

    def forget_progress(self) -> None:
        """Removes that, when nothing more is to come."""
        files.delete_if_there(self._file(self.run_id + _PROGRESS))

    def progress(self) -> dict[str, dict[str, Any]]:
        """How far runs are that are going on or were killed, by their names."""
        noted = {name: read_if_whole(self._file(name + _PROGRESS)) for name in self.others()}
        return {name: progress or {} for name, progress in noted.items()}

    def leave(self, note: Note, value: Any) -> None:
        """Leaves a note for the run's launcher."""
        self._write(f"{self.run_id}.{note.value}{_NOTE}", json.dumps(value))

    def take(self, note: Note) -> Any:
        """The value of a job's note, which is removed; None if the job left none."""
        name = self._file(f"{self.run_id}.{note.value}{_NOTE}")
        try:
            value = json.loads(files.read_bytes(name))
        except FileNotFoundError:
            return None
        files.delete_if_there(name)
        return value

    def forget_notes(self, before: str) -> None:
        """Removes what launchers that did not wait left, of runs before a time."""
        for name in files.list_folder(parts.ledger(self.output), _NOTE):
            if posixpath.basename(name) < before:
                files.delete_if_there(name)

    def keep_choice(self, config: Config, model_version: str) -> None:
        """Keeps how rescoring counts, so that later runs of the same model do not undo it."""
        chosen = {name: getattr(config, name) for name in _CHOICES}
        name = self._file(f"{self.run_id}.chosen.json")
        write_sealed(name, {**chosen, "model_version": model_version}, copies=2)

    def _noted(self, kind: str) -> list[str]:
        names = files.list_folder(parts.ledger(self.output), kind)
        return [posixpath.basename(name).removesuffix(kind) for name in names]

    def _write(self, name: str, text: str = "") -> None:
        files.write_atomically(self._file(name), [text.encode()])

    def _file(self, name: str) -> str:
        return files.join(parts.ledger(self.output), name)


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
