"""Which recordings belong to which night: kept when they are listed for one, and for good.

A night's rows are those of its recordings, whichever run counted them, and whether they can be
listed again or lie in an archive by now.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Iterable

from pipeline.storage import files
from pipeline.storage.sealed import fingerprint, read_sealed, write_sealed
from pipeline.store import parts
from pipeline.store.moves import Moves, where_now


def _top(output: str) -> str:
    return files.join(parts.ledger(output), "nights")


def files_of_night(output: str, night: str) -> list[str]:
    """Files with recordings of a night, one or more for each part."""
    return files.list_folder(files.join(_top(output), night), ".json")


def add(
    output: str,
    night: str,
    part: str,
    run_id: str,
    identities: Iterable[str],
    there: Collection[str],
) -> None:
    """Keeps recordings of a part as a night's.

    Args:
        output: the output folder.
        night: ISO 8601.
        part: their part.
        run_id: the run that listed them.
        identities: of the recordings.
        there: what ``files_of_night`` gave; the same recordings are not kept twice.
    """
    names_of_it = sorted(identities)
    content = fingerprint(json.dumps(names_of_it).encode())
    folder = files.join(_top(output), night)
    names = map(posixpath.basename, there)
    if not any(n.startswith(f"{part}.") and n.endswith(f"-{content}.json") for n in names):
        name = files.join(folder, f"{part}.{run_id}-{content}.json")
        write_sealed(name, names_of_it, copies=2)  # its recordings may not be listed again
        # So that whoever adds to the part knows whose rows change with it.
        mark = files.join(parts.entries_folder(output, part), f"{night}.night")
        files.write_atomically(mark, [b""])


def read(name: str, moves: Moves) -> dict[str, list[str]]:
    """The recordings of a night that a file names, by the part that they are in now."""
    run_id = posixpath.basename(name).split(".", 2)[2].rpartition("-")[0]
    of_part: dict[str, list[str]] = {}
    for identity in read_sealed(name):
        today = where_now(identity, run_id, moves)
        of_part.setdefault(parts.part_of(today), []).append(today)
    return of_part
