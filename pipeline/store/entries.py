"""What was done: kept beside the tables, so that no run does it twice and no crash undoes it.

An entry says of a recording that a run finished what it was (name, size, generation or time of
change, checksum), how it was counted, its row and its calls. Entries lie in files, part by part,
see ``parts``.

Files are written whole, never changed, and named by run and content: writing one twice does no
harm. The tables are compiled from the ledger alone. Of several entries for one recording the
settings of the last run that asked for it hold; see ``current``.
"""

from __future__ import annotations

import gzip
import json
import logging
import posixpath
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from model.windows import Grid
from pipeline.inference.count import Counted, Counting, count_recording, digest
from pipeline.inference.decode import plan_segments
from pipeline.inputs.deployments import merge, place_from_dict, stated, where_and_when_called
from pipeline.records import (
    SCHEMA_VERSION,
    DetectedCall,
    Fact,
    Listed,
    Outcome,
    Place,
    RecordingCount,
    RecordingHeader,
    SegmentPlan,
)
from pipeline.storage import files, sealed
from pipeline.store import parts, traces
from pipeline.store.moves import Moves, name_now, where_now
from pipeline.store.scores import KeptSegment
from pipeline.store.traces import Content

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One recording, finished by one run.

    Attributes:
        identity: one name for all the ways to write the recording's path.
        size, stamp, checksum: of the content that was counted, see ``Listed``.
        place: site, position and time, as the tables gave them.
        settings: of the model, the counting and the place, as a digest.
        scoring: of the model and the windows alone, as a digest.
        transient: it failed for a reason that may pass, such as a broken connection.
        histogram: windows by score in tenths.
        row, calls: what the tables show.
        copy_of: identity of the recording with the same content that is counted.
    """

    identity: str
    size: int
    stamp: str
    checksum: str
    place: Place
    settings: str
    scoring: str
    transient: bool
    histogram: tuple[int, ...]
    row: RecordingCount
    calls: tuple[DetectedCall, ...]
    copy_of: str = ""

    @property
    def failed(self) -> bool:
        """Whether the recording could not be counted."""
        return self.row.outcome == Outcome.FAILED.value

    @property
    def is_counted(self) -> bool:
        """Whether it has a count: it did not fail, and is no copy of another recording."""
        return self.row.outcome not in (Outcome.FAILED.value, Outcome.COPY.value)

    def to_line(self) -> str:
        """The entry as a line of JSON."""
        return json.dumps(asdict(self))  # ASCII: a name may hold any line separator

    @classmethod
    def from_line(cls, line: str) -> Entry:
        """Reads what ``to_line`` wrote, also by an earlier version with fewer columns."""
        raw = json.loads(line)
        raw["place"] = place_from_dict(raw["place"])
        raw["histogram"] = tuple(raw["histogram"])
        row = _row(RecordingCount, raw["row"])
        raw["row"] = row
        raw["calls"] = tuple(
            _row(DetectedCall, call | where_and_when_called(row, call["start_s"]))
            for call in raw["calls"]
        )
        return cls(**raw)


def _row(kind: type[Any], raw: dict[str, Any]) -> Any:
    values = {f.name: raw[f.name] for f in fields(kind) if f.name in raw}
    return kind(**{**values, "schema_version": SCHEMA_VERSION})  # of the layout that it has now


def settings_of(counting: Counting, place: Place, copy_of: str = "") -> str:
    """Digest of all but the content that a recording's row depends on."""
    return digest(
        *(counting.scoring, counting.method, asdict(counting.rule), counting.label, stated(place)),
        *([copy_of] if copy_of else []),
    )


def entry_of(counted: Counted, counting: Counting) -> Entry:
    """What the ledger keeps of a recording that was counted."""
    listed = counted.listed
    return Entry(
        identity=identity_of(listed),
        size=listed.size,
        stamp=listed.stamp,
        checksum=listed.checksum or counted.checksum,
        place=listed.place,
        settings=settings_of(counting, listed.place, listed.copy_of),
        scoring=counting.scoring,
        transient=counted.transient,
        histogram=counted.histogram,
        row=counted.row,
        calls=counted.calls,
        copy_of=listed.copy_of,
    )


def identity_of(listed: Listed) -> str:
    """What the ledger knows a recording by."""
    return listed.identity or files.identity(listed.recording)


def current(entries: Iterable[Entry]) -> Entry:
    """Of all entries for one recording, in any order, the one that holds.

    The last run to start decides which content and settings hold: run ids sort by that time. Of
    the entries for these a count beats a failure. Of equal counts the first holds, so that two
    runs which did the same work leave the tables as they were; of failures the last.
    """
    in_order = list(set(entries))
    if len(in_order) > 1:
        in_order.sort(key=lambda entry: (entry.row.run_id, entry.to_line()))
    last = in_order[-1]
    same = [e for e in in_order if e.settings == last.settings and same_content(e, last)]
    return next((entry for entry in same if not entry.failed), last)


def same_content(entry: Entry, other: Entry | Listed) -> bool:
    """Whether both are the same bytes, by size, time and checksum, without reading them."""
    if (entry.size, entry.stamp) == (other.size, other.stamp):
        return True
    return bool(entry.checksum) and (entry.size, entry.checksum) == (other.size, other.checksum)


def with_kept_place(listed: Listed, entry: Entry | None) -> Listed:
    """A recording with the place of its entry, where tables say nothing of it now."""
    place = listed.place
    if entry is None or place.site or place.latitude or place.recorded_at or place.stays:
        return listed
    return replace(listed, place=merge(place, entry.place))


def is_done(
    entry: Entry | None,
    listed: Listed,
    counting: Counting,
    retry_failed: bool,
    checksum: Callable[[str], str],
) -> bool:
    """Whether a recording needs no work.

    Args:
        entry: the one that holds for it.
        listed: the recording as it is now.
        counting: how it is to be counted.
        retry_failed: whether to try again what failed for a reason in the file.
        checksum: reads a local file; asked only when its time changed and its size did not.
    """
    if entry is None or entry.settings != settings_of(counting, listed.place, listed.copy_of):
        return False
    if entry.transient or (entry.failed and retry_failed):
        return False
    if same_content(entry, listed):
        return True
    touched = entry.size == listed.size and entry.checksum and files.is_local(listed.recording)
    try:
        return bool(touched) and entry.checksum == checksum(listed.recording)
    except OSError:
        return False


def read_shard(shard: str, moves: Moves) -> Iterator[tuple[str, Entry]]:
    """(identity, entry) of a shard.

    What is not as it was written is reported and left out, and so its recordings are done again.
    """
    content = files.read_bytes(shard)
    try:
        text = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        _log.warning("%s: cannot be read (%s); its recordings are done again", shard, error)
        return
    if not shard.endswith(_ending(text)):  # a line may be changed and still be read, as another's
        _log.warning("%s: is damaged; its recordings are done again", shard)
        return
    for line in filter(None, text.decode().split("\n")):
        try:
            entry = Entry.from_line(line)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            _log.warning(
                "%s: a line cannot be read (%s); its recording is done again", shard, error
            )
        else:
            entry = _moved(entry, moves) if moves else entry
            yield entry.identity, entry


def _moved(entry: Entry, moves: Moves) -> Entry:
    """The entry as if its recording had always been where it is now."""
    run_id = entry.row.run_id
    name = name_now(entry.row.recording, entry.identity, run_id, moves)
    return replace(
        entry,
        identity=where_now(entry.identity, run_id, moves),
        copy_of=where_now(entry.copy_of, run_id, moves) if entry.copy_of else "",
        row=replace(entry.row, recording=name),
        calls=tuple(replace(call, recording=name) for call in entry.calls),
    )


def write_shard(output: str, run_id: str, entries: Iterable[Entry]) -> list[str]:
    """Adds entries to the ledger: a file for each of their parts, each whole. Returns their names.

    An entry lies in the part of its identity.
    """
    of_part: dict[str, list[Entry]] = {}
    for entry in entries:
        of_part.setdefault(parts.part_of(entry.identity), []).append(entry)
    names = []
    for part, some in sorted(of_part.items()):
        ordered = sorted(some, key=lambda entry: entry.identity)
        text = "".join(entry.to_line() + "\n" for entry in ordered).encode()
        traces.leave_traces(output, part, contents_of(ordered))
        name = run_id + _ending(text)
        names.append(files.join(parts.entries_folder(output, part), name))
        files.write_atomically(names[-1], [gzip.compress(text, mtime=0)])
    return names


def _ending(text: bytes) -> str:
    """The end of a shard's name: a digest of its content, which shows damage."""
    return f"-{sealed.fingerprint(text)}.jsonl.gz"


def contents_of(entries: Iterable[Entry]) -> Iterator[Content]:
    """Contents by which a later run recognises recordings of a part that were moved."""
    counted = {entry.identity: entry for entry in entries if not entry.failed}
    for identity, size in traces.few((e.identity, e.size) for e in counted.values()):
        entry = counted[identity]
        yield Content(posixpath.basename(identity), size, entry.checksum or entry.stamp)


def resume(
    listed: Listed, kept: Iterable[KeptSegment], grid: Grid, segment_samples: int
) -> tuple[list[Fact], list[SegmentPlan]]:
    """What earlier runs left of a recording, and the segments that still lack scores.

    Any complete set of segments will do; an incomplete one only if it was cut as now. Nothing of
    use gives two empty lists.
    """
    cuts: dict[RecordingHeader, dict[int, KeptSegment]] = {}
    for segment in sorted(kept, key=lambda s: (not s.scores.is_saved, s.run_id)):
        origin = segment.scores.origin
        if (origin.listed.size, origin.listed.stamp) == (listed.size, listed.stamp):
            cuts.setdefault(origin.header, {}).setdefault(origin.first_input, segment)
    for header, segments in sorted(cuts.items(), key=lambda cut: -len(cut[1])):
        if len(segments) == header.n_segments:
            return [header, *(segment.scores for segment in segments.values())], []
    for header, segments in cuts.items():
        plans = list(plan_segments(listed, header, grid, segment_samples))
        if len(plans) == header.n_segments and segments.keys() <= {p.first_input for p in plans}:
            missing = [plan for plan in plans if plan.first_input not in segments]
            return [header, *(segment.scores for segment in segments.values())], missing
    return [], []


def can_be_counted_again(entry: Entry, counting: Counting) -> bool:
    """Whether a recording has scores of this model and hop, and was counted otherwise."""
    return (
        entry.is_counted
        and entry.scoring == counting.scoring
        and entry.settings != settings_of(counting, entry.place)
    )


def count_again(entry: Entry, kept: Iterable[KeptSegment], counting: Counting) -> Iterator[Counted]:
    """The recording of an entry, counted from kept scores; nothing if they are incomplete."""
    name = entry.row.recording
    listed = Listed(name, entry.size, entry.stamp, entry.checksum, entry.place, entry.identity)
    # A segment length longer than any recording: any complete set of segments will do.
    facts, missing = resume(listed, kept, counting.grid, sys.maxsize)
    if facts and not missing:
        yield count_recording(name, [listed, *facts], counting)
