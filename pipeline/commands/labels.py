"""Turn annotations made in other programs into labels of a run's calls."""

from __future__ import annotations

import posixpath
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pipeline.commands import AnnotatedAs, Results
from pipeline.options import Command, Flag, UsageError, say

if TYPE_CHECKING:
    from pipeline.records import DetectedCall


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: Results
    annotations: Annotated[
        tuple[Path, ...],
        Flag(
            "files or folders; a file belongs to the recording that it names or is named after",
            "PATH",
            several=True,
        ),
    ]
    annotated_as: AnnotatedAs = ()
    observer: Annotated[str, Flag("who listened", "NAME")] = ""
    output: Annotated[str, Flag("the table to write", "FILE")] = "labels.csv"


COMMAND = Command(
    "labels",
    Flags,
    "Turn annotations made in Raven, Audacity, BirdNET, Kaleidoscope, whombat or whatever "
    "crowsetta reads into labels.csv: which calls of a run are right, which are not, and which it "
    "missed. Every recording that an annotation file is about counts as heard in full.",
    (
        "labels results --annotations selections/ --output labels.csv",
        "labels results --annotations checked/ --observer Ana",
    ),
)


def main(argv: Sequence[str]) -> int:
    """Writes labels.csv. Returns 0; annotations that cannot be used: UsageError."""
    flags = COMMAND.parse(argv)
    from model.training.annotations import AnnotationError, calls_heard
    from pipeline.storage import files
    from pipeline.survey.labels import label_lines, labels_from_marks
    from pipeline.tables.read import read_results, read_scores

    try:
        results = read_results(flags.run)
        short = {row.recording: posixpath.basename(row.recording) for row in results.recordings}
        paths = _files(flags.annotations)
        heard, strange = calls_heard(paths, short.values(), flags.annotated_as)
    except (OSError, AnnotationError) as error:
        raise UsageError(str(error)) from None
    rows = [row for row in results.recordings if short[row.recording] in heard]
    if not rows:
        raise UsageError("; ".join(strange) or "--annotations: there are none")
    counted = Counter(short[row.recording] for row in rows)
    if twice := [name for name, n in counted.items() if n > 1]:
        raise UsageError(f"{flags.run}: two recordings are both called {twice[0]}; rename one")
    calls_of: dict[str, list[DetectedCall]] = {row.recording: [] for row in rows}
    for call in results.calls:
        if call.recording in calls_of:
            calls_of[call.recording].append(call)
    scores = read_scores(flags.run, calls_of.keys())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    labels = []
    for row in rows:
        marked = [(mark.start_s, mark.end_s) for mark in heard[short[row.recording]]]
        of = calls_of[row.recording], marked, scores.get(row.recording)
        labels += labels_from_marks(row, *of, flags.observer, now)
    files.write_atomically(flags.output, ["".join(label_lines(labels)).encode()])
    for line in strange:
        print(f"capuchinbird labels: {line}", file=sys.stderr)
    n_calls, n_no = sum(map(len, calls_of.values())), sum(one.label == "no" for one in labels)
    n_missed = len(labels) - n_calls
    say(
        f"{flags.output}: {len(rows):,} recordings; {n_calls - n_no:,} calls confirmed, "
        f"{n_no:,} refuted, {n_missed:,} missed",
        output=flags.output,
        recordings=len(rows),
        confirmed=n_calls - n_no,
        refuted=n_no,
        missed=n_missed,
    )
    return 0


def _files(paths: Sequence[Path]) -> list[Path]:
    from model.training.annotations import AnnotationError

    found = []
    for path in paths:
        if not path.exists():
            raise AnnotationError(f"{path}: no such file or folder")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        found += [p for p in inside if not p.name.startswith(".")]
    return found
