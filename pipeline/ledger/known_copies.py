"""Copies of recordings that an output knows already, though this run does not name them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from pipeline.inputs.copies import SMALLEST_BYTES, are_of_one_time
from pipeline.inputs.versions import whole_checksum, with_version
from pipeline.records import Listed
from pipeline.storage import files
from pipeline.store.entries import Entry, same_content


def marked_by_ledger(
    listed: Mapping[str, Listed],
    state: Mapping[str, Entry],
    more: Mapping[str, Entry],
    entry_of: Callable[[str], Entry | None],
) -> dict[str, Listed]:
    """Recordings of a part; those are marked as copies whose content is counted already.

    A copy stays one, and what is new may be one, as long as the counted recording is what it was.

    Args:
        listed: the recordings by identity, compared with each other already.
        state: the entries that hold in the part, by identity.
        more: entries of other parts whose recordings may be the same.
        entry_of: the entry that holds for any other identity.
    """
    of_size: dict[int, list[Entry]] = defaultdict(list)
    for entry in (*state.values(), *more.values()):
        if entry.is_counted and entry.identity not in listed:
            of_size[entry.size].append(entry)
    marked = dict(listed)
    for identity, known in listed.items():
        if known.copy_of or known.is_kept or known.size < SMALLEST_BYTES:
            continue
        own = state.get(identity)
        if own is None:
            kept = _with_content(known, of_size.get(known.size, ()))
        else:
            kept = _still_kept(known, own, entry_of) if own.copy_of else None
        if kept:
            checksum = known.checksum or (own.checksum if own else "") or kept.checksum
            marked[identity] = replace(known, copy_of=kept.identity, checksum=checksum)
    return marked


def _with_content(known: Listed, counted: Iterable[Entry]) -> Entry | None:
    """The counted recording of this content; of several the first by name."""
    counted = sorted((e for e in counted if e.checksum), key=lambda entry: entry.identity)
    try:
        now = with_version(known)
        checksum = now.checksum or (whole_checksum(now.recording) if counted else "")
    except OSError:
        return None  # what cannot be read will be that recording's failure
    for entry in counted:
        is_same = entry.checksum == checksum and files.exists(entry.identity)
        if is_same and are_of_one_time(known, _as_listed(entry)):
            return entry
    return None


def _still_kept(known: Listed, own: Entry, entry_of: Callable[[str], Entry | None]) -> Entry | None:
    """The recording that this one is a copy of, if neither has changed."""
    kept = entry_of(own.copy_of)
    if kept is None or not kept.is_counted or not same_content(own, known):
        return None
    if kept.size != own.size or kept.checksum not in ("", own.checksum):
        return None
    now = with_version(Listed(kept.identity))
    return kept if not now.stamp or same_content(kept, now) else None


def _as_listed(entry: Entry) -> Listed:
    return Listed(
        *(entry.row.recording, entry.size, entry.stamp, entry.checksum, entry.place),
        identity=entry.identity,
    )
