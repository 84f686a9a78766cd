"""Turn annotations made in Raven, Audacity, BirdNET, Kaleidoscope, Label Studio, whombat or
whatever crowsetta reads into labels.csv: which calls of a run are right, which are not, and which
it missed. Every recording that an annotation file is about counts as heard in full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.commands import ANNOTATED_AS, RESULTS
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.records import DetectedCall


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    annotations: tuple[Path, ...] = flag(
        "files or folders; a file belongs to the recording that it names or is named after",
        "PATH",
        several=True,
    )
    annotated_as: tuple[str, ...] = flag(ANNOTATED_AS, default=())
    observer: str = flag("who listened", "NAME", default="")
    output: str = flag("the table to write", "FILE", default="labels.csv")


COMMAND = Command(
    "labels",
    Flags,
    __doc__,
    (
        "labels results --annotations selections/ --output labels.csv",
        "labels results --annotations checked/ --observer Ana",
    ),
)


def main(argv: Sequence[str]) -> None:
    """Writes labels.csv. UsageError: annotations that cannot be used."""
    flags = COMMAND.parse(argv)
    from model.training.annotations import calls_heard
    from model.training.marks import AnnotationError
    from pipeline.storage import files
    from pipeline.survey.labels import label_lines, labels_from_marks
    from pipeline.tables.read import read_results, read_scores

    with refusing(OSError, AnnotationError):
        results = read_results(flags.run)
        durations_s = {row.recording: row.duration_s for row in results.recordings}
        annotated = calls_heard(_files(flags.annotations), durations_s, flags.annotated_as)
    rows = [row for row in results.recordings if row.recording in annotated.calls]
    if not rows:
        raise UsageError("; ".join(annotated.remarks) or "--annotations: there are none")
    names = {row.recording for row in rows}
    calls_of: dict[str, list[DetectedCall]] = defaultdict(list)
    for call in results.calls:
        calls_of[call.recording].append(call)
    scores = read_scores(flags.run, names)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    labels = []
    for row in rows:
        calls, unclear = (
            [(mark.start_s, mark.end_s) for mark in marks.get(row.recording, ())]
            for marks in (annotated.calls, annotated.unclear)
        )
        of = calls_of[row.recording], calls, scores.get(row.recording)
        labels += labels_from_marks(row, *of, flags.observer, now, unclear)
    files.write_atomically(flags.output, ["".join(label_lines(labels)).encode()])
    COMMAND.remark(*annotated.remarks)
    n_calls = sum(call.recording in names for call in results.calls)
    n_no, n_unsure = (sum(one.label == answer for one in labels) for answer in ("no", "unsure"))
    n_missed = len(labels) - n_calls
    say(
        f"{flags.output}: {len(rows):,} recordings; {n_calls - n_no - n_unsure:,} calls confirmed, "
        f"{n_no:,} refuted, {n_missed:,} missed" + (f", {n_unsure:,} unsure" if n_unsure else ""),
        output=flags.output,
        recordings=len(rows),
        confirmed=n_calls - n_no - n_unsure,
        refuted=n_no,
        missed=n_missed,
        unsure=n_unsure,
    )


def _files(paths: Sequence[Path]) -> list[Path]:
    tables: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        tables += [p for p in inside if not p.name.startswith(".")]
    return tables
