"""What annotations mean: of which recording, and whether they are calls; and what is left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model.training.annotation_files import read_marked
from model.training.annotations import (
    Meaning,
    Names,
    calls_and_unclear,
    calls_heard,
    each_once,
    meaning_of,
)
from model.training.clips import DataError
from model.training.folders import read_data
from model.training.marks import AnnotationError, Mark
from pipeline.__main__ import main
from pipeline.exports.tool_formats import TOOL_FORMATS, CountedRecording, own_lines
from pipeline.survey.labels import Label, read_labels
from tests.test_histories import call, recording, write_results

A, B = "rec/A_20240601_050000.wav", "rec/B_20240601_060000.wav"
LEK = (2.4, 9.0, 15.6, 22.1, 28.8, 35.2, 41.9, 48.4, 55.0)
THREE = (5.0, 12.5, 22.0)


def run_of(folder: Path) -> Path:
    """A run that counted every call of the cases' recordings, and no other."""
    rows = [
        recording(A, "2024-06-01T05:00:00", duration_s=60.0),
        recording(B, "2024-06-01T06:00:00", duration_s=30.0),
    ]
    calls = [call(rows[0], start_s) for start_s in LEK] + [call(rows[1], s) for s in THREE]
    folder.mkdir(exist_ok=True)
    write_results(folder, rows, calls)
    return folder


def labelled(
    run: Path, annotations: Path, *flags: str, code: int = 0
) -> list[tuple[str, float, str]]:
    output = run / "labels.csv"
    output.unlink(missing_ok=True)
    arguments = ["labels", str(run), "--annotations", str(annotations), "--output", str(output)]
    assert main([*arguments, *flags]) == code
    labels: Sequence[Label] = read_labels(str(output)) if output.exists() else ()
    return [(Path(one.recording).name[0], one.start_s, one.label) for one in labels]


@pytest.mark.parametrize(
    ("case", "expected", "said"),
    [
        ("two_observers", dict.fromkeys(THREE, "yes"), "3 calls are marked more than once"),
        ("two_formats", dict.fromkeys(THREE, "yes"), "3 calls are marked more than once"),
        ("monkey", dict.fromkeys(THREE, "yes"), ""),
        ("point", {5.0: "yes", 12.5: "yes", 22.0: "no"}, ""),
        ("timestamps", dict.fromkeys(LEK, "yes"), ""),
    ],
)
def test_the_cases_that_say_what_is_right(
    cases: Path,
    tmp_path: Path,
    case: str,
    expected: dict[float, str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = labelled(run_of(tmp_path), cases / "ann" / case)
    assert {start_s: label for _, start_s, label in found} == expected
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("sequence", "is of 2 files in sequence and does not say where in each"),
        ("beyond_end", f"100 s lies beyond the end of {B}, 30.0 s"),
    ],
)
def test_the_cases_that_say_nothing(
    cases: Path, tmp_path: Path, case: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path)
    assert labelled(run, cases / "ann" / case, code=2) == []
    assert said in capsys.readouterr().err
    both = tmp_path / "both"  # beside a file that does
    both.mkdir()
    for path in (cases / "ann" / case).iterdir():
        (both / path.name).write_bytes(path.read_bytes())
    (both / "A_20240601_050000.txt").write_text("2.5\t6\tcapuchinbird\n")
    found = labelled(run, both)
    assert {name for name, _, _ in found} == {"A"}
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("Capuchinbird", Meaning.CALL),
        ("CAPUCHIN BIRD song, distant", Meaning.CALL),
        ("Perissocephalus tricolor_Capuchinbird", Meaning.CALL),
        ("capuchin", Meaning.CALL),
        ("Capuchinbird 2", Meaning.CALL),
        ("Perissocephalus tricolor; moo", Meaning.CALL),
        ("Calfbird (male)", Meaning.CALL),
        ("weeper capuchin", Meaning.OTHER),
        ("Sapajus apella; tufted capuchin", Meaning.OTHER),
        ("capuchin monkeys", Meaning.OTHER),
        ("not a capuchinbird", Meaning.OTHER),
        ("non-capuchinbird", Meaning.OTHER),
        ("Screaming Piha", Meaning.OTHER),
        ("scrpih1", Meaning.OTHER),
        ("capuchinbird?", Meaning.UNCLEAR),
        ("possible capuchinbird", Meaning.UNCLEAR),
        ("Capuchinbird; not sure", Meaning.UNCLEAR),
        ("capuchinbird or Screaming Piha", Meaning.UNCLEAR),
        ("capuchin frog", Meaning.UNCLEAR),
        ("sin capuchinbird", Meaning.UNCLEAR),
        ("", Meaning.UNCLEAR),
        ("CB", Meaning.UNCLEAR),
        ("unknown bird", Meaning.UNCLEAR),
        ("call 7", Meaning.UNCLEAR),
    ],
)
def test_what_a_label_means(label: str, meaning: Meaning) -> None:
    assert meaning_of(label) is meaning
    assert meaning_of(label.upper()) is meaning


def test_labels_that_a_person_says_are_calls() -> None:
    assert meaning_of("CB", ["cb"]) is Meaning.CALL
    assert meaning_of("moo; CB", ["cb", "x"]) is Meaning.CALL
    assert meaning_of("Capuchinbird", ["cb"]) is Meaning.OTHER
    assert meaning_of("CB?", ["cb"]) is Meaning.UNCLEAR
    assert meaning_of("", ["cb"]) is Meaning.UNCLEAR


@pytest.mark.parametrize("label", ["frog", "capuchin monkey", "?", "unknown", "no capuchinbird"])
def test_marks_of_one_label_are_calls_only_if_it_names_nothing_else(label: str) -> None:
    with pytest.raises(AnnotationError, match="say with --annotated_as"):
        calls_and_unclear([Mark("a.wav", 1, 2, label), Mark("a.wav", 5, 6, label)])


def raven(rows: Sequence[Sequence[Any]], *columns: str) -> str:
    header = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", *columns]
    lines = [[n, "Spectrogram 1", *row] for n, row in enumerate(rows, 1)]
    return "".join("\t".join(map(str, line)) + "\n" for line in [header, *lines])


@pytest.mark.parametrize(
    "column", ["annotation", "SPECIES", "Species Code", "Call type", "Bird heard", "Espèce"]
)
def test_labels_stand_in_columns_of_any_name(tmp_path: Path, column: str) -> None:
    path = tmp_path / "a.txt"
    rows = [[1, 5, 8, "Capuchinbird", 0.93], [1, 9, 12, "frog", 0.2]]
    path.write_text(
        raven(rows, column, "Peak Amp (U)").lower().replace("capuchinbird", "Capuchinbird")
    )
    marked = read_marked(path)
    assert marked
    assert [mark.label for mark in marked.marks] == ["Capuchinbird", "frog"]


def test_a_channel_is_no_second_bird_and_an_overlap_is(tmp_path: Path) -> None:
    path = tmp_path / "B_20240601_060000.Table.1.selections.txt"
    rows = [[1, 5, 8.7], [2, 5.1, 8.6], [1, 12.5, 16.2], [1, 13.5, 17.2], [2, 12.4, 16.3]]
    path.write_text(raven(rows))
    heard = calls_heard([path], {B: 30.0})
    assert [mark.start_s for mark in heard.calls[B]] == [5.0, 12.5, 13.5]
    (remark,) = heard.remarks
    assert "2 calls are marked more than once" in remark


voices = st.lists(
    st.lists(
        st.tuples(st.floats(0, 60), st.floats(0, 5)).map(lambda t: Mark("", t[0], t[0] + t[1])),
        max_size=6,
    ),
    max_size=4,
)


@given(voices)
def test_each_voice_is_heard_and_no_voice_twice(marked: list[list[Mark]]) -> None:
    once = each_once(marked)
    longest = max(map(len, marked), default=0)
    assert longest <= len(once) <= sum(map(len, marked))
    assert each_once([once]) == once
    if marked:
        assert len(each_once([marked[0], marked[0]])) == len(marked[0])


def test_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    run = tmp_path / "out"
    run.mkdir()
    rows = [
        recording(f"card/{site}/REC.wav", "2024-06-01T05:00:00", site=site, duration_s=60.0)
        for site in ("Ridge", "Saül")
    ]
    write_results(run, rows, [call(row, 5.0) for row in rows])
    durations_s = dict.fromkeys((row.recording for row in rows), 60.0)
    table = tmp_path / "all.txt"
    name = "C:\\birds\\Sau\u0308l\\REC.wav"  # as a Mac writes it
    table.write_text(raven([[1, 5, 8, "REC.wav", name]], "Begin File", "Begin Path"))
    heard = calls_heard([table], durations_s)
    assert {of: len(marks) for of, marks in heard.calls.items()} == {"card/Saül/REC.wav": 1}
    beside = tmp_path / "Ridge" / "REC.Table.1.selections.txt"
    beside.parent.mkdir()
    beside.write_text(raven([]))
    heard = calls_heard([table, beside], durations_s)
    assert {of: len(marks) for of, marks in heard.calls.items()} == {
        "card/Saül/REC.wav": 1,
        "card/Ridge/REC.wav": 0,
    }
    table.write_text(raven([[1, 5, 8, "REC.wav"]], "Begin File"))
    heard = calls_heard([table], durations_s)
    assert not heard.calls
    assert "REC.wav is the name of 2 recordings" in heard.remarks[0]


@given(st.lists(st.sampled_from(["a/x.wav", "b/x.wav", "a/b/x.wav", "y.v1.wav"]), unique=True))
def test_a_full_name_means_its_recording(names: list[str]) -> None:
    known = Names(names)
    for name in names:
        assert known.named(f"D:\\card\\{name}".replace("/", "\\")) == [name]
        assert known.meant(name, Path("z.txt")) == [name]


def test_a_doubtful_mark_makes_its_call_neither_right_nor_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, path = run_of(tmp_path / "out"), tmp_path / "B_20240601_060000.txt"
    path.write_text("5\t8\tcapuchinbird\n12.6\t16\tcapuchinbird?\n27\t29\tcapuchinbird?\n")
    assert labelled(run, path) == [("B", 5.0, "yes"), ("B", 12.5, "unsure"), ("B", 22.0, "no")]
    printed = capsys.readouterr()
    assert "1 calls confirmed, 1 refuted, 0 missed, 1 unsure" in printed.out
    assert "2 annotations may be calls or not, such as 'capuchinbird?'" in printed.err


def test_a_point_that_the_model_missed_is_a_call_around_it(tmp_path: Path) -> None:
    run, path = run_of(tmp_path / "out"), tmp_path / "B_20240601_060000.txt"
    path.write_text("1\t1\tcapuchinbird\n4.4\t4.4\tcapuchinbird\n22.1\t25\tcapuchinbird\n")
    assert labelled(run, path) == [
        *(("B", 0.0, "yes"), ("B", 5.0, "yes"), ("B", 12.5, "no"), ("B", 22.0, "yes")),
    ]


def task(audio: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"audio": audio}, "annotations": list(annotations), **more}


def region(start_s: float, label: str = "Capuchinbird") -> dict[str, Any]:
    value = {"start": start_s, "end": start_s + 3.5, "channel": 0, "labels": [label]}
    return {"type": "labels", "from_name": "label", "to_name": "audio", "value": value}


def test_what_label_studio_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "out")
    path = tmp_path / "project-1.json"
    tasks = [
        task(
            "/data/upload/1/0a1b2c3d-B_20240601_060000.wav", {"result": [region(5), region(12.4)]}
        ),
        task("/data/local-files/?d=rec/A_20240601_050000.wav", {"result": []}),
    ]
    path.write_text(json.dumps(tasks))
    found = labelled(run, path)
    assert [f for f in found if f[0] == "B"] == [
        *(("B", 5.0, "yes"), ("B", 12.5, "yes"), ("B", 22.0, "no")),
    ]
    assert {label for name, _, label in found if name == "A"} == {"no"}
    tasks[1] = task(A, {"result": [region(3)], "was_cancelled": True}, predictions=[{"result": []}])
    path.write_text(json.dumps(tasks))
    capsys.readouterr()
    assert {name for name, _, _ in labelled(run, path)} == {"B"}
    assert "1 of 2 tasks are not finished, and say nothing" in capsys.readouterr().err
    tasks[0]["annotations"].append({"result": [region(5.2), region(22)]})  # a second person
    path.write_text(json.dumps(tasks))
    assert [label for _, _, label in labelled(run, path)] == ["yes", "yes", "yes"]


def test_what_label_studio_exports_in_short(tmp_path: Path) -> None:
    regions = [region(5)["value"], region(9, "frog")["value"]]
    short = [
        {
            "audio": f"/data/upload/1/0a1b2c3d-{Path(B).name}",
            "id": 1,
            "label": regions,
            "annotator": 1,
        },
        {"audio": A, "id": 2, "annotator": 1, "annotation_id": 2},
    ]
    path = tmp_path / "min.json"
    path.write_text(json.dumps(short))
    heard = calls_heard([path], {A: 60.0, B: 30.0})
    assert {name: len(marks) for name, marks in heard.calls.items()} == {B: 1, A: 0}
    quoted = json.dumps(regions).replace('"', '""')
    path = tmp_path / "export.csv"
    path.write_text(f'audio,id,label,annotator,annotation_id\n{A},1,"{quoted}",1,1\n{B},2,,1,2\n')
    heard = calls_heard([path], {A: 60.0, B: 30.0})
    assert {name: len(marks) for name, marks in heard.calls.items()} == {A: 1, B: 0}


def test_our_own_tasks_are_read_back_when_somebody_has_answered_them(tmp_path: Path) -> None:
    row = recording("night 1/REC 01.wav", "2024-06-11T05:00:00", channels=1, duration_s=20.0)
    one = CountedRecording(row, (call(row, 4.0), call(row, 13.25)))
    ours = json.loads("".join(own_lines(TOOL_FORMATS["label_studio"], one)))
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(ours))
    marked = read_marked(path)
    assert marked
    assert not marked.marks
    assert "not finished" in marked.remarks[0]
    for answered in ours:
        answered["annotations"] = [{"result": answered["predictions"][0]["result"][:1]}]
    path.write_text(json.dumps(ours))
    heard = calls_heard([path], {row.recording: 20.0})
    assert [mark.start_s for mark in heard.calls[row.recording]] == [4.0]
    ours[0]["data"]["audio"] = "/data/upload/9/00ff00ff-REC_01.wav"
    path.write_text(json.dumps(ours))
    assert list(calls_heard([path], {row.recording: 20.0}).calls) == [row.recording]


def test_training_learns_nothing_from_what_is_doubtful(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16_000 * 20), 16_000)
    (tmp_path / "a.txt").write_text("5\t8.7\tcapuchinbird\n")
    (tmp_path / "a.Table.1.selections.txt").write_text(raven([[1, 5.1, 8.6, "Capuchinbird"]], "x"))
    (tmp_path / "b.txt").write_text("5\t8.7\tcapuchinbird?\n")
    (tmp_path / "c.txt").write_text("7\t7\tcapuchinbird\n")
    (tmp_path / "d.json").write_text(json.dumps([task("d.wav")]))
    (tmp_path / "e.txt").write_text("1\t2\tweeper capuchin\n")
    data = read_data([tmp_path])
    assert {one.path.name: len(one.annotations) for one in data.recordings} == {
        "a.wav": 1,
        "e.wav": 0,
    }
    said = "\n".join(data.skipped)
    assert "b.wav: 5 s is labelled 'capuchinbird?'" in said
    assert "c.wav: 7 s is marked as a point" in said
    assert "d.wav" in said
    sequence = raven([[1, 5, 8, "a.wav"], [1, 65, 68, "b.wav"]], "Begin File")
    (tmp_path / "annotations.csv").write_text(sequence)
    with pytest.raises(DataError, match="is of 2 files in sequence"):
        read_data([tmp_path])
