"""What the tables show of a part, in one file: what adds up, and each recording's lines.

A file is made from the entries of its part and replaced as a whole, so its sums and its lines are
those of the same entries, whoever wrote it. It begins with a sealed line of JSON, see
``storage.sealed``, which holds a checksum of the rest: columns of Arrow, a row for each recording.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pyarrow as pa

from pipeline.storage import files
from pipeline.storage.sealed import DamagedError, seal, unseal
from pipeline.store.sums import Sums

ENDING = ".part"


@dataclass(frozen=True)
class PartSummary:
    """What a part holds, without its lines.

    Attributes:
        made_from: names all that the file was made from.
        first, last: names of its first and last recording; empty without any.
        n_bytes: of its lines, by table.
        hours: its rows of activity.csv, in order: site, date, hour, milliseconds, calls, as CSV.
        data: checksums of its Parquet files, by table.
    """

    part: str
    made_from: str
    sums: Sums
    first: str
    last: str
    n_bytes: Mapping[str, int]
    hours: str
    data: Mapping[str, str]


def write(name: str, summary: PartSummary, lines: pa.Table) -> None:
    """Writes a part's file, whole as soon as it can be seen."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, lines.schema, options=options) as stream:
        stream.write_table(lines)
    rest = sink.getvalue().to_pybytes()
    head = {**asdict(summary), "rest": files.checksum([rest])}
    files.write_atomically(name, [seal(head), rest])


def read_summary(name: str) -> PartSummary | None:
    """What a part holds; None where its file is gone, damaged or of another layout."""
    try:
        head = files.read_beginning(name)
        raw = unseal((head if b"\n" in head else files.read_bytes(name)).partition(b"\n")[0])
        del raw["rest"]
        return PartSummary(**{**raw, "sums": Sums.from_json(raw["sums"])})
    except FileNotFoundError:
        return None
    except (DamagedError, KeyError, TypeError):
        _warn(name)
        return None


def read_lines(name: str) -> pa.Table | None:
    """A part's lines in each table, a row for each recording; None where its file is not whole."""
    try:
        head, _, rest = files.read_bytes(name).partition(b"\n")
        rest = rest[1:]  # behind a sealed line another is empty
        if unseal(head)["rest"] == files.checksum([rest]):
            return pa.ipc.open_stream(rest).read_all()
    except FileNotFoundError:
        return None
    except (DamagedError, KeyError, TypeError):
        pass
    _warn(name)
    return None


def _warn(name: str) -> None:
    logging.getLogger(__name__).warning("%s: is damaged; it is made again", name)
