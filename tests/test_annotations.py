"""Annotations of other programs: written by themselves, by their readers' writers, or by us."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file
from importlib.resources import files as resources
from pathlib import Path

import numpy as np
import pytest
import soundevent.io
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from soundevent import data as sound

from model.training.annotation_files import read_marked
from model.training.annotations import Names, calls_and_unclear
from model.training.clips import DataError
from model.training.folders import read_data
from model.training.marks import AnnotationError, Mark
from pipeline.__main__ import main
from pipeline.exports.tool_formats import TOOL_FORMATS, CountedRecording, own_lines, table_name
from pipeline.survey.findings import read_survey
from pipeline.survey.labels import labels_from_marks, read_labels
from tests.test_histories import call, recording, write_results

MOUSE = "GO_24860x23748_ltr2_pup3_ch4_4800_m_337_295_fr1_p9_2021-10-02_12-35-01"
TIMES = [(4.0, 7.5), (13.25, 16.75)]


def counted() -> CountedRecording:
    row = recording("night1/REC_01.wav", "2024-06-11T05:00:00", hours=0.01, channels=1)
    return CountedRecording(row, tuple(call(row, start_s) for start_s, _ in TIMES))


@pytest.mark.parametrize("name", ["raven", "audacity", "kaleidoscope", "birdnet", "aoef"])
def test_what_we_write_is_read_back(tmp_path: Path, name: str) -> None:
    tool, one = TOOL_FORMATS[name], counted()
    path = tmp_path / Path(table_name(one.row.recording, tool)).name
    path.write_text("".join(own_lines(tool, one)), encoding="utf-8")
    marks = read_marks(path)
    assert marks is not None
    assert [(mark.start_s, mark.end_s) for mark in calls_among(marks)] == TIMES
    names = Names(["REC_01.wav", "REC_02.wav"])
    assert {*map(tuple, (names.meant(mark.recording, path) for mark in marks))} == {("REC_01.wav",)}


def read_marks(path: Path) -> list[Mark] | None:
    file = read_marked(path)
    if file and file.problem:
        raise AnnotationError(f"{path}: {file.problem}")
    return None if file is None else list(file.marks)


def calls_among(marks: Sequence[Mark], names: Sequence[str] = ()) -> list[Mark]:
    return calls_and_unclear(marks, names)[0]


def written(folder: Path, name: str, content: str | bytes) -> list[Mark]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    marks = read_marks(path)
    assert marks is not None
    return marks


def test_a_raven_table_of_several_files(tmp_path: Path) -> None:
    table = (
        "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n"
        "1\tWaveform 1\t5.0\t8.5\ta.wav\t5.0\tCapuchinbird\n"
        "1\tSpectrogram 1\t5.0\t8.5\ta.wav\t5.0\tCapuchinbird\n"
        "2\tSpectrogram 1\t65.0\t68.0\tb.wav\t5.0\tScreaming Piha\n"
    )
    marks = written(tmp_path, "all.txt", table)
    assert marks == [
        Mark("a.wav", 5.0, 8.5, "Capuchinbird"),
        Mark("b.wav", 5.0, 8.0, "Screaming Piha"),
    ]
    assert calls_among(marks) == marks[:1]
    assert calls_among(marks, ["screaming piha"]) == marks[1:]


def test_tables_of_other_countries_and_computers(tmp_path: Path) -> None:
    raven = "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\r\n1\t5,5\t8,5\tChant aigü\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert written(tmp_path, "a.txt", raven.encode(encoding)) == [
            Mark("", 5.5, 8.5, "Chant aigü")
        ]
    birdnet = "Start (s);End (s);Common name;Confidence;File\n3,0;6,0;Capuchinbird;0,9;x/a.wav\n"
    assert written(tmp_path, "a.csv", birdnet) == [Mark("x/a.wav", 3.0, 6.0, "Capuchinbird")]


def test_audacity_with_frequencies_and_without(tmp_path: Path) -> None:
    labels = "1.5\t5.0\tcapuchin\n\\\t350.0\t1800.0\n7.0\t9.0\t\n"
    assert written(tmp_path, "a.txt", labels) == [
        Mark("", 1.5, 5.0, "capuchin"),
        Mark("", 7.0, 9.0, ""),
    ]
    with pytest.raises(AnnotationError, match=r"a\.txt, line 2: 'x' is no label"):
        written(tmp_path, "a.txt", "1\t2\tcapuchin\nx\n")
    with pytest.raises(AnnotationError, match="line 1: a call cannot last from 3 to 2 s"):
        written(tmp_path, "a.txt", "3\t2\tbackwards\n")
    assert written(tmp_path, "a.txt", "-0.00002\t3\tcapuchin\n7\t7\tpoint\n") == [
        Mark("", 0.0, 3.0, "capuchin"),
        Mark("", 7.0, 7.0, "point"),
    ]


def test_kaleidoscope_and_birdnet_for_r(tmp_path: Path) -> None:
    table = (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,TOP1MATCH*,MANUAL ID*\n"
        "C:\\card,night,a.wav,1.25,3.5,cluster 7,Capuchinbird\n"
        "C:\\card,night,a.wav,9.25,3.5,cluster 7,\n"
    )
    assert written(tmp_path, "cluster.csv", table) == [
        Mark("night/a.wav", 1.25, 4.75, "Capuchinbird"),
        Mark("night/a.wav", 9.25, 12.75, "cluster 7"),
    ]
    table = (
        "filepath,start,end,scientific_name,common_name,confidence,lat\n"
        "C:\\card\\a.wav,3.0,6.0,Perissocephalus tricolor,Capuchinbird,0.9,4.5\n"
    )
    (mark,) = written(tmp_path, "r.csv", table)
    assert Names(["a.wav"]).meant(mark.recording, tmp_path / "r.csv") == ["a.wav"]


def test_what_soundevent_saves(tmp_path: Path) -> None:
    of = sound.Recording(path=tmp_path / "a.wav", duration=20, channels=1, samplerate=16_000)
    tag = sound.Tag(
        term=sound.term_from_key("dwc:scientificName"), value="Perissocephalus tricolor"
    )
    shapes = [
        sound.BoundingBox(coordinates=[1.0, 350, 4.5, 1800]),
        sound.TimeInterval(coordinates=[6.0, 9.0]),
        sound.Polygon(coordinates=[[[11.0, 400], [13.0, 900], [14.0, 400], [11.0, 400]]]),
        sound.TimeStamp(coordinates=15.0),
    ]
    events = [
        sound.SoundEventAnnotation(
            sound_event=sound.SoundEvent(recording=of, geometry=shape), tags=[tag]
        )
        for shape in shapes
    ]
    clip = sound.Clip(recording=of, start_time=0, end_time=20)
    annotated = sound.ClipAnnotation(clip=clip, sound_events=events)
    path = tmp_path / "set.json"
    soundevent.io.save(sound.AnnotationSet(clip_annotations=[annotated]), path, audio_dir=tmp_path)
    marks = read_marks(path)
    assert marks is not None
    assert sorted((mark.start_s, mark.end_s) for mark in marks) == [
        *((1, 4.5), (6, 9), (11, 14), (15, 15)),
    ]
    assert {(mark.recording, mark.label) for mark in marks} == {
        ("a.wav", "Perissocephalus tricolor")
    }
    assert calls_among(marks) == marks
    path.write_text(json.dumps({"some": "other JSON"}))
    assert read_marks(path) is None


@pytest.mark.parametrize(
    ("name", "n", "first"),
    [
        ("AVO-maea-basic.TextGrid", 14, (0.0, 0.051)),
        ("gy6or6_baseline_230312_0808.138.cbin.not.mat", 78, (1.278, 1.351)),
        ("405_marron1_June_14_2016_69640887.audacity.txt", 61, (0.0, 0.7698181682)),
        ("spinetail.txt", 18, (0.101385, 0.36752)),
        ("Recording_1_Segment_02.Table.1.selections.txt", 6, (154.387792767, 154.911598217)),
        ("bird1.csv", 151, (0.0029761904761904, 0.141504329004329)),
        (f"{MOUSE}.csv", 1562, (0.526336, 0.688128)),
    ],
)
def test_crowsettas_own_examples(name: str, n: int, first: tuple[float, float]) -> None:
    with as_file(resources("crowsetta") / "examples" / name) as path:
        marks = read_marks(path)
    assert marks
    assert all(0 <= mark.start_s < mark.end_s for mark in marks)
    assert (len(marks), (marks[0].start_s, marks[0].end_s)) == (n, first)


@pytest.mark.parametrize("name", ["sa1.phn", "Annotation.xml"])
def test_what_crowsetta_cannot_read_alone_is_said(name: str) -> None:
    with (
        as_file(resources("crowsetta") / "examples" / name) as path,
        pytest.raises(AnnotationError, match=name),
    ):
        read_marks(path)


def test_labels_that_differ_are_not_guessed_at() -> None:
    marks = [Mark("a.wav", 1, 2, "frog"), Mark("a.wav", 3, 4, "Piha")]
    with pytest.raises(AnnotationError, match="'Piha', 'frog'; say with --annotated_as"):
        calls_among(marks)
    with pytest.raises(AnnotationError, match="labelled owl, but 'Piha'"):
        calls_among(marks, ["owl"])
    with pytest.raises(AnnotationError, match="labelled Capuchinbird, but 'frog'"):
        calls_among(marks[:1])
    assert calls_among([]) == []
    for label in ("", "1", "call", "Moo"):
        alike = [Mark("a.wav", 1, 2, label), Mark("a.wav", 3, 4, label)]
        assert calls_among(alike) == alike


@pytest.mark.parametrize("content", ["", "Dear diary,\ntoday we walked", "a,b,c\n1,2,3\n"])
def test_other_text_is_no_annotation(tmp_path: Path, content: str) -> None:
    for name in ("a.txt", "a.csv", "README.md"):
        (tmp_path / name).write_text(content)
        assert read_marks(tmp_path / name) is None


@given(st.binary(max_size=300), st.sampled_from([".txt", ".csv", ".json"]))
def test_any_bytes_are_read_or_refused(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        path.write_bytes(content)
        marks: list[Mark] | None = None
        with contextlib.suppress(AnnotationError):
            marks = read_marks(path)
        assert marks is None or all(mark.start_s <= mark.end_s for mark in marks)


@pytest.mark.parametrize("name", ["raven", "audacity", "kaleidoscope", "birdnet", "aoef"])
def test_training_reads_them(tmp_path: Path, name: str) -> None:
    tool, one = TOOL_FORMATS[name], counted()
    for recorded in ("REC_01.wav", "REC_02.wav"):
        soundfile.write(tmp_path / recorded, np.zeros(16_000 * 20), 16_000)
    path = tmp_path / Path(table_name(one.row.recording, tool)).name
    path.write_text("".join(own_lines(tool, one)), encoding="utf-8")
    data = read_data([tmp_path])
    assert {r.path.name: len(r.annotations) for r in data.recordings} == {
        "REC_01.wav": 2,
        "REC_02.wav": 0,
    }
    beside = tmp_path.with_name(f"{tmp_path.name}-beside")
    beside.mkdir()
    path.rename(beside / path.name)
    assert read_data([tmp_path], annotations=beside / path.name).calls == 2
    with pytest.raises(DataError, match="labelled owl"):
        read_data([tmp_path], annotations=beside / path.name, call_labels=["owl"])


def test_annotations_become_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = recording("night1/REC_01.wav", "2024-06-11T05:00:00", hours=0.01)
    quiet = recording("night1/REC_02.wav", "2024-06-11T06:00:00", hours=0.01)
    other = recording("night1/REC_03.wav", "2024-06-11T07:00:00", hours=0.01)
    calls = [call(row, 4), call(row, 13), call(quiet, 7), call(other, 7)]
    write_results(tmp_path, [row, quiet, other], calls)
    checked = tmp_path / "checked"
    checked.mkdir()
    (checked / "REC_01.wav.labels.txt").write_text("5\t8\tcapuchin\n20\t23\tcapuchin\n")
    (checked / "REC_02.Table.1.selections.txt").write_text(
        "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n"
    )
    (checked / "notes.txt").write_text("It rained.")
    output = tmp_path / "labels.csv"
    arguments = ["labels", str(tmp_path), "--annotations", str(checked), "--observer", "Ana"]
    assert main([*arguments, "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert "2 recordings; 1 calls confirmed, 2 refuted, 1 missed" in printed.out
    assert "notes.txt: no program known here wrote it" in printed.err
    told = [
        (one.recording, one.start_s, one.label, one.observer) for one in read_labels(str(output))
    ]
    assert told == [
        ("night1/REC_01.wav", 4.0, "yes", "Ana"),
        ("night1/REC_01.wav", 13.0, "no", "Ana"),
        ("night1/REC_01.wav", 20.0, "yes", "Ana"),
        ("night1/REC_02.wav", 7.0, "no", "Ana"),
    ]
    found = read_survey(str(tmp_path), labels=[str(output)])
    assert [(f.is_verified, f.is_refuted) for f in found.findings] == [
        (True, False),
        (False, True),
        (True, False),
        (False, True),
        (False, False),
    ]


@given(
    st.lists(st.floats(0, 900), max_size=5, unique=True),
    st.lists(st.floats(0, 900), max_size=5, unique=True),
)
def test_each_call_has_one_label_and_each_annotation_one_yes(
    called: list[float], marked: list[float]
) -> None:
    row = recording("a.wav", "2024-06-11T05:00:00")
    calls = [call(row, start_s) for start_s in called]
    times = [(start_s, start_s + 3.5) for start_s in marked]
    labels = labels_from_marks(row, calls, times, None, "Ana", "")
    assert sum(label.label == "yes" for label in labels) == len(marked)
    assert {label.start_s for label in labels} >= set(called)
    assert len(labels) == len(called) + sum(label.score is None for label in labels)
