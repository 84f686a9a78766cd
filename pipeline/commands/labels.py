"""Turn annotations made in other programs into labels of a run's calls."""

from __future__ import annotations

import posixpath
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.options import Parser, UsageError

if TYPE_CHECKING:
    from pipeline.records import DetectedCall


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird labels",
        example="labels results --annotations selections/ --output labels.csv",
        description="Turn annotations made in Raven, Audacity, BirdNET, Kaleidoscope, whombat or "
        "whatever crowsetta reads into labels.csv: which calls of a run are right, which are not, "
        "and which it missed. Every recording that an annotation file is about counts as heard "
        "in full. For example:"
        "\n  capuchinbird labels results --annotations checked/ --observer Ana",
    )
    add = result.add_argument
    add("run", metavar="RESULTS", help="output folder of a run, here or in a bucket (gs://)")
    add(
        "--annotations",
        required=True,
        nargs="+",
        type=Path,
        metavar="PATH",
        help="files or folders; a file belongs to the recording that it names or is named after",
    )
    add(
        "--annotated_as",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels of annotations that mean a call (default: those that name the Capuchinbird)",
    )
    add("--observer", default="", metavar="NAME", help="who listened")
    add("--output", default="labels.csv", metavar="FILE", help="the table to write")
    return result


def main(argv: Sequence[str]) -> int:
    """Writes labels.csv. Returns 0; annotations that cannot be used: UsageError."""
    flags = parser().parse_args(argv)
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
    print(
        f"{flags.output}: {len(rows):,} recordings; {n_calls - n_no:,} calls confirmed, "
        f"{n_no:,} refuted, {len(labels) - n_calls:,} missed"
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
