"""Scores, kept as Parquet: a new threshold needs no decoding.

One row a segment. ``starts`` are the first samples of what its scores are of, ``score_samples``
long each, in the recording at 16 kHz; ``scores`` are float32, exactly as the model gave them, so
that recounting gives the same counts.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.audio.quality import Quality
from pipeline.inference.count import Counting
from pipeline.records import Listed, Origin, RecorderNote, RecordingHeader, SegmentScores
from pipeline.storage import files
from pipeline.store import parts
from pipeline.store.moves import Moves, name_now

SCHEMA = pa.schema(
    [
        ("recording", pa.string()),
        ("identity", pa.string()),
        ("size", pa.int64()),
        ("stamp", pa.string()),
        ("model_version", pa.string()),
        ("scoring", pa.string()),
        ("run_id", pa.string()),
        ("score_samples", pa.int32()),
        ("first_input", pa.int32()),
        ("starts", pa.list_(pa.int64())),
        ("scores", pa.list_(pa.float32())),
        ("heard_samples", pa.int64()),
        ("quality", pa.string()),
        ("header", pa.string()),
    ]
)
_log = logging.getLogger(__name__)
_DIGEST = re.compile(r"-([0-9a-f]{16})\.parquet$")

ROWS_AT_ONCE = 1000  # segments in memory when a file is read


@dataclass(frozen=True)
class KeptSegment:
    """Scores of a segment as an earlier run left them."""

    run_id: str
    scores: SegmentScores


def kept_files(output: str) -> list[str]:
    """All files with the scores of recordings in the ledger."""
    return sorted(files.list_below(files.join(output, "scores"), ".parquet"))


def unfinished_files(output: str) -> list[str]:
    """Files with scores of recordings that were not finished, or not yet."""
    return files.list_folder(unfinished_folder(output), ".parquet")


def unfinished_folder(output: str) -> str:
    """Where scores lie until their recording is in the ledger."""
    return files.join(parts.ledger(output), "unfinished")


def files_of(output: str, sources: Iterable[str]) -> list[str]:
    """Files with the scores of parts, see ``parts.look``."""
    folders = (parts.scores_folder(output, part) for part in sources)
    return [name for folder in folders for name in files.list_folder(folder, ".parquet")]


FLUSH_S = 30.0
"""How much work of a thread a crash may lose, in seconds."""


def write_unfinished(output: str, counting: Counting, segments: list[SegmentScores]) -> None:
    """Scores on their way, in a file whose name says when it was written."""
    written = f"{counting.run_id}-w{datetime.now(UTC):%Y%m%dT%H%M%S}"
    write_scores(unfinished_folder(output), counting, segments, written)


def write_scores(
    folder: str, counting: Counting, segments: list[SegmentScores], name: str = ""
) -> None:
    """One file, named by its run or otherwise, and its content; none without scores."""
    if not segments:
        return
    rows = sorted(
        (_as_row(segment, counting) for segment in segments),
        key=lambda row: (row["identity"], row["first_input"]),
    )
    write_table(folder, name or counting.run_id, pa.Table.from_pylist(rows, SCHEMA))


def write_table(folder: str, prefix: str, table: pa.Table) -> None:
    """One file of rows, named by a prefix, as a run's name, and its content."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=ROWS_AT_ONCE,
        use_dictionary=[f.name for f in SCHEMA if pa.types.is_string(f.type)],
        column_encoding={"starts.list.element": "DELTA_BINARY_PACKED"},
    )
    content = buffer.getvalue()
    name = f"{prefix}-{_digest(content)}.parquet"
    files.write_atomically(files.join(folder, name), [content])


def _as_row(segment: SegmentScores, counting: Counting) -> dict[str, Any]:
    origin = segment.origin
    return {
        "recording": origin.listed.recording,
        "identity": origin.listed.identity or files.identity(origin.listed.recording),
        "size": origin.listed.size,
        "stamp": origin.listed.stamp,
        "model_version": counting.model_version,
        "scoring": counting.scoring,
        "run_id": counting.run_id,
        "score_samples": counting.grid.score_samples,
        "first_input": origin.first_input,
        "starts": segment.starts,
        "scores": segment.scores,
        "heard_samples": segment.heard_samples,
        "quality": json.dumps(asdict(segment.quality)),
        "header": json.dumps(asdict(origin.header)),
    }


def open_scores(name: str) -> pq.ParquetFile | None:
    """A file of scores; None if it is not as it was written, which is reported.

    Its name holds the digest of its content, for no format sees each bit that is wrong: numbers
    that are damaged are numbers.

    Raises:
        FileNotFoundError: it is not there.
    """
    content = files.read_bytes(name)
    digest = _DIGEST.search(name)
    if not digest or digest[1] == _digest(content):
        with suppress(pa.ArrowException, OSError):  # of a version whose names hold no digest
            return pq.ParquetFile(io.BytesIO(content))
    _log.warning("%s: is damaged; a run over its recordings scores them again", name)
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def read_of(
    name: str, moves: Moves, identities: Collection[str] | None, scoring: str
) -> Iterator[tuple[str, KeptSegment]]:
    """Scores of certain recordings in a file, or of all, made with certain model and windows.

    A file that has gone holds nothing: a run that ends removes what it has finished.
    """
    try:
        file = open_scores(name)
    except FileNotFoundError:
        return
    if not file:
        return
    names = None if identities is None else pa.array(identities, pa.string())
    for group in range(file.num_row_groups):
        keys = file.read_row_group(group, ["identity", "scoring", "run_id"])
        keys = with_todays_names(keys, "identity", moves)
        is_asked = pc.equal(keys["scoring"], scoring)
        if names is not None:
            is_asked = pc.and_(is_asked, pc.is_in(keys["identity"], value_set=names))
        if not pc.any(is_asked).as_py():
            continue
        table = file.read_row_group(group).filter(is_asked)
        table = with_todays_names(table, "identity", moves)
        arrays = zip(*(_arrays(table[column]) for column in ("starts", "scores")), strict=True)
        rows = table.drop_columns(["starts", "scores"]).to_pylist()
        for row, (starts, values) in zip(rows, arrays, strict=True):
            yield row["identity"], _from_row(row, starts, values, "/unfinished/" not in name)


def with_todays_names(table: pa.Table, column: str, moves: Moves) -> pa.Table:
    """Scores with the identities, or names, that their recordings have after all moves.

    For names the table must hold identities, too.
    """
    if not moves:
        return table
    columns = (table[each].to_pylist() for each in (column, "identity", "run_id"))
    rows = zip(*columns, strict=True)
    now = [name_now(name, identity, run_id, moves) for name, identity, run_id in rows]
    today = pa.array(now, pa.string())
    return table.set_column(table.schema.get_field_index(column), column, today)


def _arrays(lists: pa.ChunkedArray) -> Iterator[npt.NDArray[Any]]:
    """A column of lists as arrays, without a Python object for each number."""
    for chunk in lists.chunks:
        values, offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()
        yield from (values[a:b] for a, b in itertools.pairwise(offsets))


def _from_row(
    row: dict[str, Any],
    starts: npt.NDArray[np.int64],
    values: npt.NDArray[np.float32],
    is_saved: bool,
) -> KeptSegment:
    header = json.loads(row["header"])
    header["note"] = RecorderNote(**header["note"])
    listed = Listed(row["recording"], row["size"], row["stamp"], identity=row["identity"])
    segment = SegmentScores(
        starts=starts,
        scores=values,
        heard_samples=row["heard_samples"],
        quality=Quality(**json.loads(row["quality"])),
        origin=Origin(listed, RecordingHeader(**header), row["first_input"]),
        is_saved=is_saved,
    )
    return KeptSegment(row["run_id"], segment)
