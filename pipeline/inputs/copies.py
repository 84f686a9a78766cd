"""Recordings that are in an archive twice: of one content, one is counted.

Names are compared too. Where two names state different times and the content states none, one of
the names is wrong and nobody knows which: both recordings are counted, and that is said.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.recorder_notes import read_note
from pipeline.inputs.versions import whole_checksum
from pipeline.records import Listed, Place
from pipeline.storage import files

SMALLEST_BYTES = 4096
"""What is shorter holds no call, and stubs of recorders that lost power are alike."""
_HEAD_BYTES = 16 * 1024

_log = logging.getLogger(__name__)


def content_key(listed: Listed) -> str:
    """What copies have in common and hardly any other recordings: size and beginning, or checksum.

    A key is equal for equal contents, and cheap. What cannot be read is like nothing else.
    """
    if listed.size >= SMALLEST_BYTES:
        if listed.checksum:
            return f"{listed.size} {listed.checksum}"
        if files.is_local(listed.recording):
            try:
                head = files.read_beginning(listed.recording, _HEAD_BYTES)
            except OSError:
                return listed.identity
            return f"{listed.size} {files.checksum([head])}"
    return listed.identity


def marked(alike: Iterable[Listed]) -> Iterator[Listed]:
    """Recordings with one ``content_key``; of copies one is counted (``copy_of``, ``is_kept``).

    Which one that is depends on nothing but the recordings: one with a place and a time, and of
    those the one with the shortest name.
    """
    alike = list(alike)
    by_content: dict[str, list[Listed]] = defaultdict(list)
    for listed in alike:
        by_content[_content(listed) if len(alike) > 1 else ""].append(listed)
    for content, same in by_content.items():
        for group in _by_time(sorted(same, key=_preferred)):
            kept, *copies = group
            yield replace(kept, is_kept=True) if copies else kept
            for listed in copies:
                yield replace(listed, copy_of=kept.identity, checksum=content)


def are_of_one_time(one: Listed, other: Listed) -> bool:
    """Whether two recordings of one content are copies, see above."""
    return len(_by_time([one, other])) == 1


def _content(listed: Listed) -> str:
    """The content itself, as far as a checksum tells."""
    try:
        return listed.checksum or whole_checksum(listed.recording)
    except OSError:
        return listed.identity


def _preferred(listed: Listed) -> tuple[bool, bool, int, str]:
    return listed.place == Place(), not _clock(listed), len(listed.identity), listed.identity


def _clock(listed: Listed) -> str:
    """The start that a table or the name states, to the second; or nothing."""
    return (listed.place.recorded_at or note_from_name(listed.recording).clock)[:19]


def _by_time(same: list[Listed]) -> list[list[Listed]]:
    """Recordings of one content, apart where only their names state times, and different ones."""
    if len(same) == 1:
        return [same]
    clocks = [_clock(listed) for listed in same]
    if len({*filter(None, clocks)}) < 2 or _states_its_time(same[0]):
        return [same]
    groups: dict[str, list[Listed]] = defaultdict(list)
    first = next(clock for clock in clocks if clock)
    for listed, clock in zip(same, clocks, strict=True):
        groups[clock or first].append(listed)
    _log.warning(
        "%s and %s have the same content, but their names or tables state different times: both "
        "are counted; one of the times is wrong",
        *(group[0].recording for group in list(groups.values())[:2]),
    )
    return list(groups.values())


def _states_its_time(listed: Listed) -> bool:
    try:
        with files.open_to_read(listed.recording, listed.stamp, listed.size) as source:
            return bool(read_note(source, "").clock)
    except Exception:  # whatever it is will be the recording's own failure
        return False
