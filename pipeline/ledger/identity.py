"""Whether recordings may be added to an output: none by another's name, and none twice."""

from __future__ import annotations

import logging
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from pipeline.inputs.versions import content_checksum, with_version
from pipeline.options.paths import slashed
from pipeline.records import Listed
from pipeline.storage import files, sealed
from pipeline.store import parts, traces
from pipeline.store.entries import Entry, same_content
from pipeline.store.moves import common_move
from pipeline.store.traces import Content

_WHOLE_SECOND = "000000000"  # how times of change end on recorders' cards


class IdentityError(Exception):
    """Recordings that may not be added to an output: what is wrong, and what to do, in a line."""


Read = Callable[[str], Mapping[str, Entry]]
"""Part → the entries that hold in it, by identity."""


def check_part(
    output: str,
    part: str,
    state: Mapping[str, Entry],
    listed: Mapping[str, Listed],
    bases: Iterable[str],
    read: Read,
    *,
    may_have_moved: bool = True,
) -> dict[str, Entry]:
    """Refuses recordings that an output knows by another name, or a name that it has already.

    Args:
        output: the output folder.
        part: the recordings' part.
        state: the entries that hold in it, by identity.
        listed: its recordings as they are now, by identity.
        bases: folders that relative names of the output start at.
        read: asked for the entries of other parts, where recordings are new in this one.
        may_have_moved: whether the output has counted any recordings before.

    Returns:
        Entries of other parts with recordings that may be the same as some that are new.

    Raises:
        IdentityError: with the remedy.
    """
    new = {identity: one for identity, one in listed.items() if identity not in state}
    if not new:
        return {}
    elsewhere: dict[str, Entry] = {}
    for other in _lay_in(output, new) - {part} if may_have_moved else ():
        elsewhere.update(read(other))
    if problem := objection(output, {**state, **elsewhere}, listed):
        raise IdentityError(problem)
    for identity, recording in sorted(new.items()):
        name = recording.recording
        for base in bases if _is_relative(name) else ():
            other = slashed(os.path.normpath(os.path.join(base, name)))
            entry = read(parts.part_of(other)).get(other) if other != identity else None
            if entry and entry.row.recording == name:
                raise IdentityError(_two_meanings(output, name, other, identity))
    return elsewhere


def _lay_in(output: str, new: Mapping[str, Listed]) -> set[str]:
    """Parts in which recordings that are new may have lain before they were moved."""
    older_parts: set[str] = set()
    for identity, _ in traces.few((i, one.size) for i, one in new.items()):
        try:
            now = with_version(new[identity])
            checksum = now.checksum
            if not checksum and files.is_local(now.recording):
                checksum = content_checksum(now.recording)
        except OSError:
            continue  # what cannot be read will be that recording's failure
        content = Content(posixpath.basename(identity), now.size, checksum or now.stamp)
        older = traces.seen(output, content)
        while older:
            part = older.pop()
            if part not in older_parts:
                older_parts.add(part)
                older += parts.taken_by(output, part)
    return older_parts


def _is_relative(name: str) -> bool:
    return files.is_local(name) and not os.path.isabs(name)


def read_bases(output: str) -> list[str]:
    """Folders that relative names of an output start at."""
    bases = []
    for name in files.list_folder(parts.ledger(output), ".base"):
        content = files.read_bytes(name)
        if posixpath.basename(name) == _name_of_base(content):  # else it is damaged
            bases.append(content.decode())
    return sorted(bases)


def _name_of_base(content: bytes) -> str:
    return f"{sealed.fingerprint(content)}.base"


def add_base(output: str, listed: Iterable[Listed], bases: list[str]) -> None:
    """Keeps the folder that relative names start at, where there are any and it is another."""
    here = files.identity(os.curdir)
    if here not in bases and any(_is_relative(one.recording) for one in listed):
        name = files.join(parts.ledger(output), _name_of_base(here.encode()))
        files.write_atomically(name, [here.encode()])
        bases.append(here)


def objection(output: str, state: Mapping[str, Entry], listed: Mapping[str, Listed]) -> str:
    """Why these recordings may not be added to an output, and what to do; empty if they may.

    Args:
        output: its name, for the message.
        state: entries that hold there, by identity.
        listed: the recordings, by identity.
    """
    new = {identity: one for identity, one in listed.items() if identity not in state}
    gone = {i: e for i, e in state.items() if i not in listed and not e.failed}
    moved: Counter[tuple[str, str]] = Counter()
    alike: Counter[tuple[str, str]] = Counter()
    for old, identity, is_certain in _reappeared(gone, new):
        (moved if is_certain else alike)[common_move(old, identity)] += 1
    if moved:
        flags = " ".join(f"--moved {old}={new}" for old, new in sorted(moved)[:3])
        n = moved.total()
        return (
            f"--output {output}: {n} recordings are gone, and {n} new ones have the same content; "
            f"if they were moved, add {flags}"
        )
    for old, now in sorted(alike):
        logging.getLogger(__name__).warning(
            "recordings below %s are gone, and some below %s have the same names, sizes and times; "
            "if they were moved, they are counted twice now: start again with --moved %s=%s",
            *(old, now, old, now),
        )
    names = {entry.row.recording: identity for identity, entry in state.items()}
    for identity, one in sorted(new.items()):
        other = names.get(one.recording, identity)
        if other != identity:
            return _two_meanings(output, one.recording, other, identity)
    return ""


def _two_meanings(output: str, name: str, before: str, now: str) -> str:
    return (
        f"--output {output}: its {name} is {before}, and now that name means {now}; name the "
        "recordings by full paths, or give another output"
    )


def _reappeared(
    gone: Mapping[str, Entry], new: Mapping[str, Listed]
) -> Iterator[tuple[str, str, bool]]:
    """(old identity, new one, whether that is certain) of recordings that seem to have moved.

    They have the same base name and size. Only a checksum, or a time of change that is good to
    less than a second, is certain: recorders with one schedule write files alike.
    """
    by_name: dict[str, list[tuple[str, Entry]]] = {}
    for old, entry in gone.items():
        by_name.setdefault(posixpath.basename(old), []).append((old, entry))
    for identity, one in new.items():
        for old, entry in by_name.get(posixpath.basename(identity), ()):
            try:
                now = with_version(one)
                if now.size != entry.size or files.exists(old):
                    continue
                if entry.checksum and (now.checksum or files.is_local(now.recording)):
                    checksum = now.checksum or content_checksum(now.recording)
                    if checksum == entry.checksum:
                        yield old, identity, True
                        break
                elif same_content(entry, now):
                    yield old, identity, not now.stamp.endswith(_WHOLE_SECOND)
                    break
            except OSError:
                continue  # what cannot be read will be that recording's failure
