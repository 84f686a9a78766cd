"""Tables for programs in which people check calls: the content of each column, and why.

Every table here is a ``ToolFormat``; files, tests and docs/outputs.md derive from it.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.exports.json_formats import aoef, label_studio
from pipeline.exports.species import CALL_HIGH_HZ, CALL_LOW_HZ, Species, species_of
from pipeline.records import SCORE_DIGITS, DetectedCall, RecordingCount
from pipeline.tables.cell_text import encode, guard_path, guard_text, without_controls
from pipeline.tables.csv_text import csv_line


@dataclass(frozen=True)
class CountedRecording:
    """A counted recording with its calls in order of time."""

    row: RecordingCount
    calls: tuple[DetectedCall, ...]


@dataclass(frozen=True)
class Selection:
    """The input of a row of a tool's table.

    Attributes:
        number: of the row, from 1.
        call: the call, in seconds from the start of its recording.
        file_begins_s: where the recording begins on the table's clock: 0 in a recording's own
            table, the length of all recordings before it in the table of a run.
        threshold: of the count; None if unknown.
    """

    number: int
    call: DetectedCall
    file_begins_s: float
    threshold: float | None = None

    @property
    def species(self) -> Species:
        """The bird."""
        return species_of(self.call.label)


@dataclass(frozen=True)
class ToolColumn:
    """A column of a tool's table: its header, its meaning, and a function that makes a cell."""

    name: str
    doc: str
    cell: Callable[[Selection], str]


@dataclass(frozen=True)
class ToolFormat:
    """A table that a program opens.

    Attributes:
        name: value of ``--format``.
        doc: the program, and notes for its users.
        columns: in the program's order, with its spelling.
        separator: a comma (then cells are quoted as in RFC 4180) or a tab (never quoted).
        header: whether the first line holds the columns' names.
        suffix: of a recording's own table.
        run_file: name of the table of a whole run; empty where the program has none.
        after_row: a line after each row, or nothing.
        may_be_empty: whether a recording without a call gets a table without rows.
        to_json: makes JSON of a recording, in a format without rows and columns. A run's file is a
            list of these.
        in_list: whether a recording's own file, too, is a list, of one.
    """

    name: str
    doc: str
    columns: tuple[ToolColumn, ...]
    suffix: str
    run_file: str = ""
    separator: str = ","
    header: bool = True
    after_row: str = ""
    may_be_empty: bool = True
    to_json: Callable[[RecordingCount, Sequence[DetectedCall]], dict[str, Any]] | None = None
    in_list: bool = False


def split_folder(recording: str) -> tuple[str, str]:
    """A recording's folder as Kaleidoscope splits it: the opened folder, and the folder below it.

    >>> split_folder("card/night1/a.wav"), split_folder("gs://bucket/a.wav")
    (('card', 'night1'), ('gs://bucket', ''))
    """
    folder = posixpath.dirname(recording)
    if "://" in folder and "/" not in folder.partition("://")[2]:
        return folder, ""
    above, name = posixpath.split(folder)
    return above or ".", name


def _in_dir(selection: Selection) -> str:
    return guard_path(split_folder(selection.call.recording)[0])


def _folder(selection: Selection) -> str:
    return guard_path(split_folder(selection.call.recording)[1])


def _base_name(selection: Selection) -> str:
    return guard_path(posixpath.basename(selection.call.recording))


def _degrees(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _week(selection: Selection) -> str:
    if not selection.call.called_local:
        return ""
    day = datetime.fromisoformat(selection.call.called_local)
    return str((day.month - 1) * 4 + min(4, (day.day - 1) // 7 + 1))


def _common_name(selection: Selection) -> str:
    return guard_text(selection.species.common)


def _same(name: str, doc: str, text: str) -> ToolColumn:
    return ToolColumn(name, doc, lambda _: text)


def _start(name: str, doc: str = "Start of the call, in seconds.") -> ToolColumn:
    return ToolColumn(name, doc, lambda s: f"{s.call.start_s:.3f}")


def _score(name: str) -> ToolColumn:
    return ToolColumn(
        name, "The call's score, 0 to 1.", lambda s: f"{s.call.score:.{SCORE_DIGITS}f}"
    )


RAVEN = ToolFormat(
    name="raven",
    doc="Selection table for Raven Pro and Raven Lite. In the table of a run, times go on from one "
    "recording to the next, as in Raven's window when the same recordings are opened in order of "
    "their names; `File Offset (s)` is the time within the recording. A recording without a call "
    "has no table, as readers such as crowsetta refuse one without rows.",
    columns=(
        ToolColumn("Selection", "Number of the row, from 1.", lambda s: str(s.number)),
        _same("View", "Always `Spectrogram 1`.", "Spectrogram 1"),
        _same("Channel", "Always 1: all channels are heard as one.", "1"),
        ToolColumn(
            "Begin Time (s)",
            "Start of the call, on the clock of all recordings of the table.",
            lambda s: f"{s.file_begins_s + s.call.start_s:.3f}",
        ),
        ToolColumn(
            "End Time (s)",
            "End of the call, on the same clock.",
            lambda s: f"{s.file_begins_s + s.call.end_s:.3f}",
        ),
        _same("Low Freq (Hz)", "Lower edge of the box; the same for all.", f"{CALL_LOW_HZ:.1f}"),
        _same("High Freq (Hz)", "Upper edge of the box; the same for all.", f"{CALL_HIGH_HZ:.1f}"),
        ToolColumn("Annotation", "The bird's name, where readers look for a label.", _common_name),
        ToolColumn("Common Name", "The bird's name.", _common_name),
        ToolColumn("Species Code", "The bird's eBird code.", lambda s: s.species.code),
        _score("Confidence"),
        ToolColumn("Begin File", "The recording's name in its folder.", _base_name),
        ToolColumn("Begin Path", "The recording.", lambda s: guard_path(s.call.recording)),
        _start("File Offset (s)", "Start of the call, from the start of its recording."),
    ),
    separator="\t",
    suffix=".selection.table.txt",
    run_file="raven.selection.table.txt",
    may_be_empty=False,
)

AUDACITY = ToolFormat(
    name="audacity",
    doc="Labels for Audacity (File > Import > Labels), without a header. A second line for each "
    f"call, `\\`, {CALL_LOW_HZ}, {CALL_HIGH_HZ}, gives the label's frequency range in hertz. "
    "A label track belongs to one recording, so there is no file for the run.",
    columns=(
        ToolColumn("start", "Start of the call, in seconds.", lambda s: f"{s.call.start_s:.6f}"),
        ToolColumn("end", "End of the call, in seconds.", lambda s: f"{s.call.end_s:.6f}"),
        ToolColumn("label", "The bird's name.", _common_name),
    ),
    separator="\t",
    header=False,
    suffix=".labels.txt",
    after_row=f"\\\t{CALL_LOW_HZ:.6f}\t{CALL_HIGH_HZ:.6f}\n",
)

KALEIDOSCOPE = ToolFormat(
    name="kaleidoscope",
    doc="Table for Kaleidoscope Pro's viewer. `TOP1DIST` holds our score, where **more is "
    "better**; Kaleidoscope's own tables hold a distance there, where less is better.",
    columns=(
        ToolColumn(
            "INDIR",
            "The folder above the recording's.",
            _in_dir,
        ),
        ToolColumn(
            "FOLDER",
            "The recording's folder, below `INDIR`.",
            _folder,
        ),
        ToolColumn("IN FILE", "The recording's name in its folder.", _base_name),
        _start("OFFSET"),
        ToolColumn(
            "DURATION",
            "Length of the call, in seconds.",
            # Of the rounded times, so that OFFSET + DURATION is the end that other tables show.
            lambda s: f"{round(s.call.end_s, 3) - round(s.call.start_s, 3):.3f}",
        ),
        ToolColumn("TOP1MATCH", "The bird's name.", _common_name),
        _score("TOP1DIST"),
    ),
    suffix=".kaleidoscope.csv",
    run_file="kaleidoscope.csv",
)

BIRDNET = ToolFormat(
    name="birdnet",
    doc="Table with the columns of BirdNET-Analyzer's CSV results, the additional ones too, for "
    "scripts and packages written for those, such as birdnetTools and NSNSDAcoustics. What this "
    "model does not know stays empty.",
    columns=(
        _start("Start (s)"),
        ToolColumn("End (s)", "End of the call, in seconds.", lambda s: f"{s.call.end_s:.3f}"),
        ToolColumn("Scientific name", "The bird's.", lambda s: guard_text(s.species.scientific)),
        ToolColumn("Common name", "The bird's.", _common_name),
        _score("Confidence"),
        ToolColumn("File", "The recording.", lambda s: guard_path(s.call.recording)),
        ToolColumn("lat", "Degrees north of the site.", lambda s: _degrees(s.call.latitude)),
        ToolColumn("lon", "Degrees east of the site.", lambda s: _degrees(s.call.longitude)),
        ToolColumn("week", "BirdNET's week of the year, 1 to 48, four a month.", _week),
        _same("overlap", "Of BirdNET's windows; always empty.", ""),
        _same("sensitivity", "Of BirdNET; always empty.", ""),
        ToolColumn(
            "min_conf",
            "The threshold that the call reached.",
            lambda s: "" if s.threshold is None else f"{s.threshold:.{SCORE_DIGITS}f}",
        ),
        _same("species_list", "Of BirdNET; always empty.", ""),
        ToolColumn("model", "The model.", lambda s: guard_text(s.call.model_version)),
    ),
    suffix=".BirdNET.results.csv",
    run_file="birdnet.csv",
)


AOEF = ToolFormat(
    name="aoef",
    doc="The Acoustic Objects Exchange Format of soundevent and whombat: a prediction set for each "
    "recording, with a box in time and frequency and a score for each call. "
    "`soundevent.io.load` reads it.",
    columns=(),
    suffix=".aoef.json",
    header=False,
    to_json=aoef,
)

LABEL_STUDIO = ToolFormat(
    name="label_studio",
    doc="Tasks for Label Studio with our calls as predictions (pre-annotations), for the labelling "
    'interface `<View><Labels name="label" toName="audio"><Label value="Capuchinbird"/></Labels>'
    '<Audio name="audio" value="$audio"/></View>`. `audio` holds the recording\'s name as it was '
    "counted; where Label Studio reaches recordings by other addresses, replace its beginning.",
    columns=(),
    suffix=".label_studio.json",
    run_file="label_studio.json",
    header=False,
    to_json=label_studio,
    in_list=True,
)

TOOL_FORMATS = {f.name: f for f in (RAVEN, AUDACITY, KALEIDOSCOPE, BIRDNET, AOEF, LABEL_STUDIO)}


def own_lines(tool: ToolFormat, counted: CountedRecording) -> Iterator[str]:
    """The lines of a recording's own table."""
    if tool.to_json is None:
        yield from render(tool, selections_of([counted]))
        return
    text = json.dumps(tool.to_json(counted.row, counted.calls), indent=1, ensure_ascii=False)
    yield f"[\n{text}\n]\n" if tool.in_list else f"{text}\n"


def run_lines(tool: ToolFormat, counted: Iterable[CountedRecording]) -> Iterator[str]:
    """The lines of the table of a run.

    Args:
        tool: which.
        counted: recordings in the order of their names; one is in memory at a time.
    """
    if tool.to_json is None:
        yield from render(tool, selections_of(counted))
        return
    before = "["
    for one in counted:
        yield f"{before}\n{json.dumps(tool.to_json(one.row, one.calls), ensure_ascii=False)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def render(tool: ToolFormat, selections: Iterable[Selection]) -> Iterator[str]:
    """The lines of a table, each with its end of line."""
    if tool.header:
        yield _line(tool, [column.name for column in tool.columns])
    for selection in selections:
        yield _line(tool, [column.cell(selection) for column in tool.columns])
        if tool.after_row:
            yield tool.after_row


def _line(tool: ToolFormat, cells: Sequence[str]) -> str:
    if tool.separator == "\t":
        return "\t".join(map(without_controls, cells)) + "\n"
    return csv_line(cells)


def selections_of(counted: Iterable[CountedRecording]) -> Iterator[Selection]:
    """Rows of a table, for recordings in the order of their names."""
    number = 0
    begins_ns = 0  # whole nanoseconds: a million lengths add up without drift
    for recording in counted:
        for call in recording.calls:
            number += 1
            yield Selection(number, call, begins_ns / 1e9, recording.row.threshold)
        begins_ns += round((recording.row.duration_s or 0.0) * 1e9)


def table_name(recording: str, tool: ToolFormat) -> str:
    """Path of a recording's own table in the output folder.

    ``raven/night1/REC_0001.wav.1f0c9a2b.selection.table.txt``: the recording's folder and name,
    with what some file systems refuse replaced by ``_``, and the first 8 digits of the SHA-256 of
    the recording's whole name, so that two folders' recordings of one name stay apart.
    """
    folder, name = posixpath.split(recording)
    digest = hashlib.sha256(encode(recording)).hexdigest()[:8]
    parts = [tool.name, _safe_name(posixpath.basename(folder)), _safe_name(name)]
    return "/".join(part for part in parts if part) + f".{digest}{tool.suffix}"


def _safe_name(name: str) -> str:
    cleaned = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]', "_", name)
    if cleaned in (".", ".."):
        return "_"
    # 255 bytes is what most file systems allow, the suffix included.
    return cleaned.encode()[:180].decode("utf-8", "ignore")
