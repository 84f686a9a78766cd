"""docs/recorders.md: which names, headers and files of recorders are understood."""

from __future__ import annotations

from collections.abc import Iterator

from model.audio.recording import AUDIO_EXTENSIONS
from pipeline.inputs.recorder_names import NAME_KINDS, note_from_name
from pipeline.inputs.recorder_notes import HEADER_KINDS, note_of_chunks
from pipeline.records import RecorderNote
from pipeline.report.html import fill_in
from pipeline.storage.passed_over import REMEDIES, SYSTEM_FOLDERS


def recorders_document() -> str:
    """The text of docs/recorders.md: ``templates/recorders.md`` with what the code says."""
    return fill_in(
        "recorders.md",
        names=[(kind, _stated(note_from_name(kind.example))) for kind in NAME_KINDS],
        headers=[(kind, _stated(note_of_chunks([kind.chunk], ""))) for kind in HEADER_KINDS],
        endings=sorted(AUDIO_EXTENSIONS),
        remedies=_by_remedy(),
        folders=sorted(SYSTEM_FOLDERS),
    )


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
