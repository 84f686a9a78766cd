"""Where recordings lie that were moved after they had been counted.

The ledger's files are never changed, so a move is a further file in it: by ``--moved FROM=TO``,
recordings that earlier runs counted below ``FROM`` now lie below ``TO``. Entries and scores are
read with the moves of later runs. A recording that a later run lists at ``FROM`` is another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.storage import files
from pipeline.storage.sealed import read_sealed, write_sealed


@dataclass(frozen=True)
class Move:
    """Recordings that runs before ``run_id`` counted below ``old`` lie below ``new``."""

    run_id: str
    old: str
    new: str


Moves = tuple[Move, ...]


def read_moves(ledger: str) -> Moves:
    """All moves in a ledger, in the order of their runs."""
    moves = [
        Move(*row) for name in files.list_folder(ledger, ".moved.json") for row in read_sealed(name)
    ]
    return tuple(sorted(moves, key=lambda move: move.run_id))


def write_moves(ledger: str, run_id: str, moved: Iterable[tuple[str, str]]) -> None:
    """Adds a run's moves to a ledger."""
    name = files.join(ledger, f"{run_id}.moved.json")
    write_sealed(name, [(run_id, *pair) for pair in moved], copies=2)


def where_now(name: str, run_id: str, moves: Moves) -> str:
    """The identity today of a recording that a run knew by another.

    >>> moves = (Move("2", "/usb", "/archive"), Move("4", "/archive/a", "/b"))
    >>> [where_now("/usb/a/x.wav", run_id, moves) for run_id in "135"]
    ['/b/x.wav', '/usb/a/x.wav', '/usb/a/x.wav']
    """
    for move in moves:
        if run_id < move.run_id and name.startswith(f"{move.old}/"):
            name = move.new + name[len(move.old) :]
    return name


def name_now(name: str, identity: str, run_id: str, moves: Moves) -> str:
    """What tables call a recording today that a run called so; in full, if that was relative.

    >>> moves = (Move("2", "/data/card", "/archive"),)
    >>> name_now("card/x.wav", "/data/card/x.wav", "1", moves)
    '/archive/x.wav'
    """
    now, moved = where_now(identity, run_id, moves), where_now(name, run_id, moves)
    return moved if moved != name or now == identity else now


def common_move(old: str, new: str) -> tuple[str, str]:
    """The folders that differ between two places of a recording.

    >>> common_move("/media/usb1/rec/a.wav", "/mnt/rec/a.wav")
    ('/media/usb1', '/mnt')
    """
    old_parts, new_parts = old.split("/"), new.split("/")
    while len(old_parts) > 1 and len(new_parts) > 1 and old_parts[-1] == new_parts[-1]:
        old_parts.pop()
        new_parts.pop()
    return "/".join(old_parts), "/".join(new_parts)
