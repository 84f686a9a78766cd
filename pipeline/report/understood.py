"""docs/recorders.md: which names, headers and files of recorders are understood."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from model.audio.recording import AUDIO_EXTENSIONS
from pipeline.inputs.recorder_names import note_from_name
from pipeline.inputs.recorder_notes import note_of_chunks
from pipeline.records import RecorderNote
from pipeline.report.html import examples, fill_in
from pipeline.storage.passed_over import REMEDIES, SYSTEM_FOLDERS


def recorders_document() -> str:
    """The text of docs/recorders.md: ``templates/recorders.md`` with what the code says."""
    shown = examples("recorders")
    return fill_in(
        "recorders.md",
        names=[(who, name, _stated(note_from_name(name))) for who, name in shown["names"]],
        headers=[
            (one, _stated(note_of_chunks([header_chunk(one["chunk"], one["text"])], "")))
            for one in shown["headers"]
        ],
        endings=sorted(AUDIO_EXTENSIONS),
        remedies=_by_remedy(),
        folders=sorted(SYSTEM_FOLDERS),
    )


_WAMD_KINDS = (0x02, 0x05, 0x06)  # serial number, start, position


def header_chunk(kind: str, text: str) -> tuple[bytes, bytes]:
    """A chunk of a header as a recorder writes it: its kind and its content.

    Args:
        kind: see ``note_of_chunks``.
        text: of GUANO or of a comment; of the others a line for each entry.
    """
    content = text.encode()
    if kind == "LIST":
        content = b"INFOICMT" + struct.pack("<I", len(text)) + content
    elif kind == "wamd":
        entries = zip(_WAMD_KINDS, content.splitlines(), strict=True)
        content = b"".join(struct.pack("<HI", of, len(line)) + line for of, line in entries)
    elif kind == "fLaC":
        lines = [line if b"=" in line else b"comment=" + line for line in content.splitlines()]
        maker, *pieces = (
            struct.pack("<I", len(line)) + line for line in (b"reference libFLAC", *lines)
        )
        content = maker + struct.pack("<I", len(pieces)) + b"".join(pieces)
    return kind.encode(), content


def _stated(note: RecorderNote) -> dict[str, str]:
    position = f"{note.latitude:.10g}, {note.longitude:.10g}" if note.latitude is not None else ""
    more = [note.recorder, note.gain, f"{note.battery_v:g} V" if note.battery_v else ""]
    return {
        "clock": note.clock,
        "zone": note.utc_offset,
        "position": position,
        "more": ", ".join(filter(None, more)),
    }


def _by_remedy() -> Iterator[tuple[str, str]]:
    for words in dict.fromkeys(REMEDIES.values()):
        endings = sorted(ending for ending, remedy in REMEDIES.items() if remedy == words)
        yield ", ".join(f"`{ending}`" for ending in endings), words
