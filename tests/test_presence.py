"""A review for presence: which calls come first, what labels settle, and what it saves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.records import DetectedCall, RecordingCount
from pipeline.review.presence import next_round
from pipeline.survey.findings import Survey, findings_of, verdicts_of
from pipeline.survey.histories import histories
from pipeline.survey.labels import PRESENCE, Label, label_lines
from tests.test_histories import call, recording


def survey_of(
    rows: Iterable[RecordingCount], calls: Iterable[DetectedCall], labels: list[Label]
) -> Survey:
    rows = tuple(rows)
    return Survey(rows, tuple(findings_of(rows, calls, verdicts_of(labels))), {}, bool(labels))


def test_the_best_of_each_visit_come_first_and_one_confirmed_call_settles_it() -> None:
    ridge = recording("ridge.wav", "2024-06-11T20:00:00")
    creek = recording("creek.wav", "2024-06-12T04:00:00", site="Creek")
    later = recording("later.wav", "2024-06-12T20:00:00")
    nowhere = recording("nowhere.wav", "2024-06-11T20:00:00", site="")
    timeless = recording("timeless.wav", "")
    calls = [
        *(call(ridge, 10.0 * n, score) for n, score in enumerate((0.7, 0.9, 0.8))),
        *(call(creek, 10.0 * n, score) for n, score in enumerate((0.95, 0.99))),
        call(later, 5, 0.6),
        call(nowhere, 5, 0.99),
        call(timeless, 5, 0.99),
    ]
    rows = [ridge, creek, later, nowhere, timeless]
    first = next_round(survey_of(rows, calls, []), "night", 4)
    assert [(clip.recording, clip.score) for clip in first.sample.clips] == [
        ("creek.wav", 0.99),
        ("creek.wav", 0.95),
        ("ridge.wav", 0.9),
        ("later.wav", 0.6),
    ]
    nights = ("night of 2024-06-11",) * 3 + ("night of 2024-06-12",)
    assert first.sample.visits == nights
    assert (first.visits, first.confirmed, first.refuted, first.waiting) == (3, 0, 0, 2)

    answers = ("yes", "no", "unsure", "no")
    labels = [
        replace(clip, label=answer)  # type: ignore[arg-type]
        for clip, answer in zip(first.sample.clips, answers, strict=True)
    ]
    second = next_round(survey_of(rows, calls, labels), "night", 4)
    assert [(clip.recording, clip.score) for clip in second.sample.clips] == [
        ("ridge.wav", 0.8),
        ("ridge.wav", 0.7),
    ]
    assert (second.visits, second.confirmed, second.refuted, second.waiting) == (3, 1, 1, 0)


def simulated(seed: int) -> tuple[list[RecordingCount], list[DetectedCall], set[tuple[str, float]]]:
    """200 visits, 10 sites × 20 nights: the recordings, their calls, and which of these are right.

    The species calls at half of the visits, at some of them hundreds of times. Other sounds are
    counted at most visits; one in ten scores as high as calls do.
    """
    dice = random.Random(seed)
    rows, calls, right = [], [], set()
    for site in range(10):
        for night in range(20):
            began = date(2024, 6, 1) + timedelta(days=night)
            row = recording(f"{site}/{night}.wav", f"{began}T20:00:00", 10, f"S{site}")
            n_right = round(dice.expovariate(1 / 30)) + 1 if dice.random() < 0.5 else 0
            n_wrong = round(dice.expovariate(1 / 3))
            for n in range(n_right + n_wrong):
                is_right = n < n_right
                low = 0.3 if not is_right and dice.random() < 0.9 else 0.6
                one = call(row, 20.0 * n, round(dice.uniform(low, 1.0), 5))
                calls.append(one)
                if is_right:
                    right.add((one.recording, one.start_s))
            rows.append(row)
    return rows, calls, right


def test_two_hundred_visits_have_the_history_of_a_full_review_for_a_fraction_of_its_clips() -> None:
    rows, calls, right = simulated(1)

    def labelled(clip: Label) -> Label:
        is_right = (clip.recording, clip.start_s) in right
        return replace(clip, label="yes" if is_right else "no")

    labels: list[Label] = []
    n_rounds = 0
    while clips := next_round(survey_of(rows, calls, labels), "night", 200).sample.clips:
        n_rounds += 1
        settled: set[str] = set()  # as on the page, which passes over what is left of a visit
        for clip in clips:
            if clip.recording not in settled:
                labels.append(labelled(clip))
                if labels[-1].label == "yes":
                    settled.add(clip.recording)
    whole = [
        labelled(Label(one.recording, one.start_s, one.end_s, one.score, "", PRESENCE, "unsure"))
        for one in calls
    ]
    by_presence = histories(survey_of(rows, calls, labels), "night")
    in_full = histories(survey_of(rows, calls, whole), "night")
    assert [(row.site, row.visit, row.verified) for row in by_presence] == [
        (row.site, row.visit, row.verified) for row in in_full
    ]
    assert 50 < Counter(row.verified for row in in_full)[1] < 150
    assert n_rounds <= 10
    assert len(labels) < len(calls) / 5
    print(f"{len(labels)} of {len(calls)} clips in {n_rounds} rounds")


def test_labels_for_presence_are_no_sample_of_all_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("".join(label_lines([Label("a.wav", 1, 4, 0.9, "S", PRESENCE, "yes")])))
    assert main(["verify", str(tmp_path), "--labels", str(labels)]) == 2
    assert "labels of a review for presence are no random sample" in capsys.readouterr().err
    assert main(["review", str(tmp_path), "--labels", str(labels)]) == 2
    assert "only with --presence" in capsys.readouterr().err
