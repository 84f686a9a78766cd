"""Calls of the model joined with labels of people. Histories and publication start here.

A *finding* is a call of the model, a call that a person labelled, or both. A label belongs to the
call with the middle nearest to its own, if that lies within the label's stretch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.inputs.deployments import (
    by_folder,
    deployment_of,
    key_of,
    merge,
    rows_of_deployments,
    when_and_where,
    where_and_when_called,
)
from pipeline.inputs.local_time import SiteClock
from pipeline.inputs.manifests import check_deployments
from pipeline.records import DetectedCall, Outcome, Place, RecorderNote, RecordingCount
from pipeline.survey.labels import Answer, Label, named_today, read_tables
from pipeline.tables.read import read_results


@dataclass(frozen=True)
class Verdict:
    """The answer of all observers for one stretch of a recording.

    Attributes:
        answer: ``unsure`` also where they differ.
        n_birds: the highest number that an observer gave; None if nobody gave one.
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
        call: the model's; None where only people report one.
        verdict: the observers' answer; None where nobody listened.
    """

    recording: RecordingCount
    start_s: float
    end_s: float
    score: float | None
    call: DetectedCall | None
    verdict: Verdict | None

    @property
    def is_verified(self) -> bool:
        """Whether observers confirm a call."""
        return self.verdict is not None and self.verdict.answer == "yes"

    @property
    def is_refuted(self) -> bool:
        """Whether observers deny a call."""
        return self.verdict is not None and self.verdict.answer == "no"

    @property
    def moment(self) -> datetime | None:
        """When it began, with its offset from UTC; None if unknown."""
        clock = SiteClock.of(self.recording)
        return clock.moment(timedelta(seconds=self.start_s)) if clock else None

    @property
    def local(self) -> datetime | None:
        """When it began by the clock on site; None if unknown."""
        clock = SiteClock.of(self.recording)
        return clock.shown(timedelta(seconds=self.start_s)) if clock else None


@dataclass(frozen=True)
class Survey:
    """Recordings with their findings in order of recording and time.

    Attributes:
        run: run.json.
        has_labels: whether anyone listened.
        remarks: labels that belong to no recording, a line each.
    """

    recordings: tuple[RecordingCount, ...]
    findings: tuple[Finding, ...]
    run: Mapping[str, Any] = field(default_factory=dict)
    has_labels: bool = False
    remarks: tuple[str, ...] = ()


def read_survey(output: str, deployments: str = "", labels: Sequence[str] = ()) -> Survey:
    """Reads an output folder and joins the places of a deployment table and people's labels.

    Args:
        output: of a run.
        deployments: a table as ``count --deployments`` takes it; it overrides what the run stored.
        labels: tables like labels.csv, of several observers, samples or annotations.

    Raises:
        OSError: a table is missing, or no run wrote it.
        ValueError: a cell with an impossible value.
    """
    results = read_results(output)
    rows = [row for row in results.recordings if row.outcome != Outcome.COPY.value]
    calls = list(results.calls)
    if deployments:
        stays = rows_of_deployments(deployments)
        made = {
            key_of(row.recording): Place(recorded_at=row.recorded_at or row.recorded_local)
            for row in rows
        }
        check_deployments(deployments, stays, [row.recording for row in rows], made)
        table = by_folder(stays)
        rows = [placed_again(row, deployment_of(row.recording, table)) for row in rows]
        of = {row.recording: row for row in rows}
        calls = [
            replace(call, **where_and_when_called(of[call.recording], call.start_s))
            for call in calls
            if call.recording in of
        ]
    names = {row.recording for row in rows}
    verdicts = verdicts_of(named_today(read_tables(labels), names, output) if labels else ())
    strange = sorted(verdicts.keys() - names)
    if strange and len(strange) == len(verdicts):
        example = next((row.recording for row in rows), "none")
        raise ValueError(
            f"{', '.join(labels)}: labels no recording of {output}, but {strange[0]}; recordings "
            f"there are called like {example}"
        )
    remarks = [f"{', '.join(labels)}: {name} is no recording of {output}" for name in strange]
    findings = findings_of(rows, calls, verdicts)
    return Survey(tuple(rows), tuple(findings), results.run, bool(labels), tuple(remarks))


def placed_again(row: RecordingCount, place: Place) -> RecordingCount:
    """A row with the place and time zone of a deployment table."""
    stated = merge(place, Place(row.site, row.latitude, row.longitude, "", row.time_zone))
    began = row.recorded_at or row.recorded_local
    moved = when_and_where(replace(stated, recorded_at=began), RecorderNote())
    kept = {"time_source": row.time_source, "clock_conflict": row.clock_conflict}
    return replace(row, **{**moved, **kept})


def verdicts_of(labels: Iterable[Label]) -> dict[str, list[Verdict]]:
    """Verdicts by recording, in order of time; one verdict for all observers of a stretch."""
    of: dict[tuple[str, float, float], list[Label]] = defaultdict(list)
    for label in labels:
        of[label.recording, label.start_s, label.end_s].append(label)
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for (recording, start_s, end_s), said in sorted(of.items()):
        sure = {label.label for label in said} - {"unsure"}
        birds = [label.n_birds for label in said if label.n_birds is not None]
        scores = [label.score for label in said if label.score is not None]
        verdicts[recording].append(
            Verdict(
                start_s,
                end_s,
                score=max(scores, default=None),
                answer=sure.pop() if len(sure) == 1 else "unsure",
                n_birds=max(birds, default=None),
                observers=tuple(sorted({label.observer for label in said} - {""})),
                labelled_at=max(label.labelled_at for label in said),
            )
        )
    return dict(verdicts)


def findings_of(
    rows: Iterable[RecordingCount],
    calls: Iterable[DetectedCall],
    verdicts: Mapping[str, Sequence[Verdict]],
) -> list[Finding]:
    """Findings by recording and time."""
    calls_of: dict[str, list[DetectedCall]] = defaultdict(list)
    for call in calls:
        calls_of[call.recording].append(call)
    findings = []
    for row in sorted(rows, key=lambda row: row.recording):
        findings += _find_in(row, calls_of.get(row.recording, []), verdicts.get(row.recording, ()))
    return findings


def _find_in(
    row: RecordingCount, calls: Sequence[DetectedCall], verdicts: Sequence[Verdict]
) -> list[Finding]:
    answers: dict[int, Verdict] = {}
    missed = []
    for one in verdicts:
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
    reported = [
        Finding(row, call.start_s, call.end_s, call.score, call, answers.get(n))
        for n, call in enumerate(calls)
    ]
    return sorted([*reported, *missed], key=lambda finding: finding.start_s)
