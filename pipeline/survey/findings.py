"""What a run found and what people heard of it, put together: where histories and data for
publication start.

A *finding* is a call that the model reports, a call that a person heard, or both. A label belongs
to the call whose middle is nearest to its own, if that lies within the label's stretch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.inputs.deployments import (
    deployment_of,
    merge,
    read_deployments,
    when_and_where,
    where_and_when_called,
)
from pipeline.records import DetectedCall, Place, RecorderNote, RecordingCount
from pipeline.survey.labels import Answer, Label, read_tables
from pipeline.tables.read import read_results


@dataclass(frozen=True)
class HeardStretch:
    """What people say of one stretch of a recording.

    Attributes:
        answer: ``unsure`` also where they differ.
        n_birds: the most that anyone heard; None if nobody said.
        observers: their names, in order.
        labelled_at: the latest label's time, ISO 8601, or empty.
    """

    start_s: float
    end_s: float
    score: float | None
    answer: Answer
    n_birds: int | None
    observers: tuple[str, ...]
    labelled_at: str


@dataclass(frozen=True)
class Finding:
    """A call, by the model, by people or by both.

    Attributes:
        call: the model's; None where only people heard one.
        heard: people's answer; None where nobody listened.
    """

    recording: RecordingCount
    start_s: float
    end_s: float
    score: float | None
    call: DetectedCall | None
    heard: HeardStretch | None

    @property
    def is_verified(self) -> bool:
        """Whether people heard a call there."""
        return self.heard is not None and self.heard.answer == "yes"

    @property
    def is_refuted(self) -> bool:
        """Whether people heard that there is none."""
        return self.heard is not None and self.heard.answer == "no"

    @property
    def local(self) -> datetime | None:
        """When it began by the clock on site; None if unknown."""
        began = self.recording.recorded_local
        return datetime.fromisoformat(began) + timedelta(seconds=self.start_s) if began else None


@dataclass(frozen=True)
class Survey:
    """Recordings with their findings in order of recording and time.

    Attributes:
        run: run.json.
        has_labels: whether anyone listened.
        remarks: what could not be used, a line each.
    """

    recordings: tuple[RecordingCount, ...]
    findings: tuple[Finding, ...]
    run: Mapping[str, Any] = field(default_factory=dict)
    has_labels: bool = False
    remarks: tuple[str, ...] = ()


def read_survey(output: str, deployments: str = "", labels: Sequence[str] = ()) -> Survey:
    """An output folder with the places of a deployment table and people's labels.

    Args:
        output: of a run.
        deployments: a table as ``count --deployments`` takes it; it wins over what the run knew.
        labels: tables like labels.csv, of several observers, samples or annotations.

    Raises:
        OSError: there is no such table, or it is none of a run.
        ValueError: a cell that cannot be right.
    """
    results = read_results(output)
    rows, calls = list(results.recordings), list(results.calls)
    if deployments:
        table = read_deployments(deployments)
        rows = [placed_again(row, deployment_of(row.recording, table)) for row in rows]
        of = {row.recording: row for row in rows}
        calls = [
            replace(call, **where_and_when_called(of[call.recording], call.start_s))
            for call in calls
            if call.recording in of
        ]
    heard = as_heard(read_tables(labels))
    known = {row.recording for row in rows}
    strange = sorted(heard.keys() - known)
    remarks = [f"{', '.join(labels)}: {name} is no recording of {output}" for name in strange]
    found = findings_of(rows, calls, heard)
    return Survey(tuple(rows), tuple(found), results.run, bool(labels), tuple(remarks))


def placed_again(row: RecordingCount, place: Place) -> RecordingCount:
    """A row with what a deployment table says of its place and its clock's zone."""
    known = merge(place, Place(row.site, row.latitude, row.longitude, "", row.time_zone))
    began = row.recorded_at or row.recorded_local
    told = when_and_where(replace(known, recorded_at=began), RecorderNote())
    kept = {"time_source": row.time_source, "clock_conflict": row.clock_conflict}
    return replace(row, **{**asdict(told), **kept})


def as_heard(labels: Iterable[Label]) -> dict[str, list[HeardStretch]]:
    """Labels by recording and time, those of several people for one stretch as one."""
    of: dict[tuple[str, float, float], list[Label]] = defaultdict(list)
    for label in labels:
        of[label.recording, label.start_s, label.end_s].append(label)
    heard: dict[str, list[HeardStretch]] = defaultdict(list)
    for (recording, start_s, end_s), said in sorted(of.items()):
        sure = {label.label for label in said} - {"unsure"}
        birds = [label.n_birds for label in said if label.n_birds is not None]
        scores = [label.score for label in said if label.score is not None]
        heard[recording].append(
            HeardStretch(
                start_s,
                end_s,
                score=max(scores, default=None),
                answer=sure.pop() if len(sure) == 1 else "unsure",
                n_birds=max(birds, default=None),
                observers=tuple(sorted({label.observer for label in said} - {""})),
                labelled_at=max(label.labelled_at for label in said),
            )
        )
    return dict(heard)


def findings_of(
    rows: Iterable[RecordingCount],
    calls: Iterable[DetectedCall],
    heard: Mapping[str, Sequence[HeardStretch]],
) -> list[Finding]:
    """Calls and labels of the same recordings as findings, by recording and time."""
    calls_of: dict[str, list[DetectedCall]] = defaultdict(list)
    for call in calls:
        calls_of[call.recording].append(call)
    found = []
    for row in sorted(rows, key=lambda row: row.recording):
        found += _find_in(row, calls_of.get(row.recording, []), heard.get(row.recording, ()))
    return found


def _find_in(
    row: RecordingCount, calls: Sequence[DetectedCall], heard: Sequence[HeardStretch]
) -> list[Finding]:
    answers: dict[int, HeardStretch] = {}
    missed = []
    for one in heard:
        middle_s = (one.start_s + one.end_s) / 2
        inside = [
            (abs((call.start_s + call.end_s) / 2 - middle_s), n)
            for n, call in enumerate(calls)
            if one.start_s <= (call.start_s + call.end_s) / 2 <= one.end_s and n not in answers
        ]
        if inside:
            answers[min(inside)[1]] = one
        elif one.answer == "yes":
            missed.append(Finding(row, one.start_s, one.end_s, one.score, None, one))
    told = [
        Finding(row, call.start_s, call.end_s, call.score, call, answers.get(n))
        for n, call in enumerate(calls)
    ]
    return sorted([*told, *missed], key=lambda finding: finding.start_s)
