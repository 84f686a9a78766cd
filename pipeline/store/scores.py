"""Scores, kept as Parquet: a new threshold needs no decoding.

One row a segment. ``starts`` are the first samples of what its scores are of, ``score_samples``
long each, in the recording at 16 kHz; ``scores`` are float32, exactly as the model gave them, so
that recounting gives the same counts.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from model.audio.quality import Quality
from model.voice import Voice
from pipeline.inference.count import Counting
from pipeline.records import Listed, Origin, RecorderNote, RecordingHeader, SegmentScores
from pipeline.storage import files, sealed
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
        ("voices", pa.string()),
    ]
)
_log = logging.getLogger(__name__)
_DIGEST = re.compile(r"-([0-9a-f]{16})\.parquet$")


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
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(rows, SCHEMA),
        buffer,
        compression="zstd",
        use_dictionary=[f.name for f in SCHEMA if pa.types.is_string(f.type)],
        column_encoding={"starts.list.element": "DELTA_BINARY_PACKED"},
    )
    content = buffer.getvalue()
    name = f"{name or counting.run_id}-{sealed.fingerprint(content)}.parquet"
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
        "heard_samples": segment.decoded_samples,
        "quality": json.dumps(asdict(segment.quality)),
        "header": json.dumps(asdict(origin.header)),
        "voices": json.dumps([(step, *astuple(voice)) for step, voice in segment.voices]),
    }


def read_table(name: str, moves: Moves) -> pa.Table:
    """A file of scores, with the names and identities that its recordings have after all moves.

    One that has gone holds nothing: a run that ends removes what it has finished. One that is not
    as it was written is reported and holds nothing: numbers that are damaged are numbers, so its
    name holds its digest.
    """
    try:
        content = files.read_bytes(name)
    except FileNotFoundError:
        return SCHEMA.empty_table()
    digest = _DIGEST.search(name)
    if not digest or digest[1] != sealed.fingerprint(content):
        _log.warning("%s: is damaged; a run over its recordings scores them again", name)
        return SCHEMA.empty_table()
    table = pq.read_table(io.BytesIO(content))
    if not moves:
        return table
    keys = [table[each].to_pylist() for each in ("recording", "identity", "run_id")]
    for column, named in (("recording", 0), ("identity", 1)):
        now = [name_now(of[named], of[1], of[2], moves) for of in zip(*keys, strict=True)]
        index = table.schema.get_field_index(column)
        table = table.set_column(index, column, pa.array(now, pa.string()))
    return table


def read_of(
    name: str, moves: Moves, identities: Collection[str] | None, scoring: str
) -> Iterator[tuple[str, KeptSegment]]:
    """Scores of certain recordings in a file, or of all, made with certain model and windows."""
    table = read_table(name, moves)
    is_asked = pc.equal(table["scoring"], scoring)
    if identities is not None:
        names = pa.array(identities, pa.string())
        is_asked = pc.and_(is_asked, pc.is_in(table["identity"], value_set=names))
    for row in rows_of(table.filter(is_asked)):
        yield row["identity"], _from_row(row, "/unfinished/" not in name)


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Segments; their scores, and what these are of, as arrays."""
    arrays = ([one.values.to_numpy() for one in table[name]] for name in ("starts", "scores"))
    rows = table.drop_columns(["starts", "scores"]).to_pylist()
    for row, starts, values in zip(rows, *arrays, strict=True):
        yield {**row, "starts": starts, "scores": values}


def _from_row(row: dict[str, Any], is_saved: bool) -> KeptSegment:
    header = json.loads(row["header"])
    header["note"] = RecorderNote(**header["note"])
    listed = Listed(row["recording"], row["size"], row["stamp"], identity=row["identity"])
    segment = SegmentScores(
        starts=row["starts"],
        scores=row["scores"],
        decoded_samples=row["heard_samples"],
        quality=Quality(**json.loads(row["quality"])),
        origin=Origin(listed, RecordingHeader(**header), row["first_input"]),
        is_saved=is_saved,
        voices=tuple(  # files of earlier versions have none
            (step, Voice(*values)) for step, *values in json.loads(row.get("voices") or "[]")
        ),
    )
    return KeptSegment(row["run_id"], segment)
