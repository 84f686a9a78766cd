"""Reading labelled audio: layouts, labels, splits, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model.training.clips import (
    NEGATIVE_SHARE,
    POSITIVE_SHARE,
    Annotation,
    DataError,
    Example,
    LabelledRecording,
    Scene,
    cut_examples,
    refuse_leaks,
    window_label,
)
from model.training.folders import clip_sources, labelled, load_scenes, read_data
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES

RATE = SAMPLE_RATE_HZ


def write(path: Path, seconds: float = 4.0, rate: int = RATE, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.05, int(seconds * rate))
    soundfile.write(path, noise, rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "recordings" / "a.wav", 20)
    write(tmp_path / "recordings" / "b.flac", 10, 22_050, 1)
    (tmp_path / "annotations.csv").write_text(
        "recording,start_s,end_s,take\na.wav,5,8.8,A\na.wav,13,16.5,B\n"
    )
    (tmp_path / "recordings.csv").write_text("recording,background\na.wav,river\n")
    return tmp_path


@given(
    start=st.integers(-WINDOW_SAMPLES, 3 * WINDOW_SAMPLES),
    cue=st.integers(1, 2 * RATE),
    place=st.integers(0, 2 * WINDOW_SAMPLES),
)
def test_a_window_is_labelled_by_how_much_of_a_cue_it_holds(
    start: int, cue: int, place: int
) -> None:
    held = np.zeros(6 * WINDOW_SAMPLES, bool)
    offset = 2 * WINDOW_SAMPLES
    held[offset + start : offset + start + WINDOW_SAMPLES] = True
    share = held[offset + place : offset + place + cue].mean()
    expected = 1 if share >= POSITIVE_SHARE else 0 if share <= NEGATIVE_SHARE else None
    assert window_label(start, [(place, place + cue)]) == expected


def test_annotated_recordings_are_read_and_cut(folder: Path) -> None:
    data = read_data([folder])
    assert [(r.path.name, r.group, len(r.annotations)) for r in data.recordings] == [
        ("a.wav", "river", 2),
        ("b.flac", "b", 0),
    ]
    scenes, skipped = load_scenes(data)
    assert not skipped
    examples = [e for s in scenes for e in cut_examples(s)]
    calls = [e for e in examples if e.kind == "call"]
    assert [e.take for e in calls] == ["A", "B"]
    for example, start_s, end_s in zip(calls, (5, 13), (8.8, 16.5), strict=True):
        assert (example.offset + example.call_start) / RATE == pytest.approx(start_s, abs=1e-3)
        assert (example.offset + example.call_end) / RATE == pytest.approx(end_s, abs=1e-3)
        assert example.call_end - example.cue_start == pytest.approx(2.2 * RATE, abs=1)


@given(
    calls_s=st.lists(st.floats(0, 95), max_size=5).map(sorted),
    length_s=st.floats(0.1, 100),
)
def test_background_keeps_away_from_calls_and_inside_the_recording(
    calls_s: list[float], length_s: float
) -> None:
    audio = np.zeros(int(length_s * RATE), np.float32)
    notes = tuple(Annotation(s, s + 3.5) for s in calls_s)
    scene, _ = labelled(LabelledRecording(Path("r.wav"), "g", notes), audio)
    for example in cut_examples(scene):
        assert 0 <= example.offset <= example.offset + len(example.audio) <= len(audio)
        if example.kind == "background":
            begin, end = example.offset, example.offset + len(example.audio)
            assert end - begin >= WINDOW_SAMPLES or (begin == 0 and end == len(audio))
            for note in scene.annotations:
                assert end <= (note.start_s - 1.9) * RATE or begin >= (note.end_s + 0.5) * RATE


def test_raven_tables_count_each_selection_once(folder: Path) -> None:
    (folder / "annotations.csv").unlink()
    table = folder / "recordings" / "a.Table.1.selections.txt"
    table.write_text(
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\n"
        "1\tWaveform 1\t1\t5.0\t8.8\n1\tSpectrogram 1\t1\t5.0\t8.8\n2\tSpectrogram 1\t1\t13\t16\n"
    )
    assert read_data([folder]).calls == 2


def test_the_tutorials_clip_folders_are_read_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "Parsed_Capuchinbird_Clips" / "XC1-0.wav", 3.5)
    write(tmp_path / "Parsed_Capuchinbird_Clips" / "XC1-1.wav", 2.0)
    write(tmp_path / "Parsed_Not_Capuchinbird_Clips" / "crickets-1.wav", 3.0)
    data = read_data([tmp_path])
    assert [r.group for r in data.recordings] == ["clip/XC1", "clip/XC1", "clip/crickets"]
    scenes, _ = load_scenes(data)
    examples = [e for s in scenes for e in cut_examples(s)]
    assert [e.kind for e in examples] == ["call", "call", "background"]
    assert examples[1].cue_start == 0
    assert examples[1].call_end == 2 * RATE


def test_a_table_says_where_calls_of_clips_begin_and_what_they_were_cut_from(
    tmp_path: Path,
) -> None:
    write(tmp_path / "Parsed_Capuchinbird_Clips" / "XC1-0.flac", 4.5)
    write(tmp_path / "Parsed_Not_Capuchinbird_Clips" / "rain-1.flac", 3.5)
    table = tmp_path / "clips.csv"
    table.write_text("clip,source,call,onset_s\nXC1-0.wav,bird 7,1,1.75\nrain-1.wav,rain,0,\n")
    data = read_data([tmp_path])
    call, rain = data.recordings
    assert (call.group, rain.group) == ("clip/bird 7", "clip/rain")
    assert not call.complete
    assert rain.complete
    scenes, skipped = load_scenes(data)
    assert not skipped
    examples = [e for s in scenes for e in cut_examples(s)]
    assert [(e.kind, e.take) for e in examples] == [("call", "bird 7"), ("background", "")]
    assert examples[0].cue_start == 1.75 * RATE
    assert examples[0].call_end == 3.95 * RATE
    table.write_text("clip,source,onset_s\nXC1-0.wav,bird 7,soon\n")
    with pytest.raises(DataError, match=r"XC1-0\.wav: onset_s is no number"):
        read_data([tmp_path])
    table.write_text("clip,onset_s\nXC1-0.wav,1\n")
    with pytest.raises(DataError, match="lacks the column source"):
        read_data([tmp_path])


def test_neighbouring_numbers_of_xeno_canto_are_one_source() -> None:
    stems = ["XC216012-3", "XC216010-0", "XC27881-1", "XC27885-0", "XC216014-0", "robin-7"]
    assert set(clip_sources(stems).items()) == {
        ("XC216010-0", "XC216010"),
        ("XC216012-3", "XC216010"),
        ("XC216014-0", "XC216010"),
        ("XC27881-1", "XC27881"),
        ("XC27885-0", "XC27885"),
        ("robin-7", "robin"),
    }


def test_a_call_without_a_take_is_of_its_backgrounds_own_bird() -> None:
    audio = np.zeros(10 * RATE, np.float32)
    notes = (Annotation(1, 4), Annotation(5, 8, "A"))
    scene, _ = labelled(LabelledRecording(Path("r.wav"), "river", notes), audio)
    assert [a.take for a in scene.annotations] == ["river", "A"]


def test_what_cannot_be_read_is_skipped_and_said(folder: Path) -> None:
    (folder / "recordings" / "c.wav").write_bytes(b"no audio")
    with (folder / "annotations.csv").open("a") as table:
        table.write("a.wav,25,28,A\ngone.wav,1,4,A\n")
    data = read_data([folder])
    scenes, skipped = load_scenes(data)
    assert len(scenes) == 2
    assert sum(len(s.annotations) for s in scenes) == 2
    assert any("c.wav" in line for line in skipped)
    assert any("beyond its end" in line and "25" in line for line in skipped)
    assert any("gone.wav" in line for line in data.skipped)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("recording,start_s,end_s\n", "no call is annotated"),
        ("recording,begin,end\na.wav,1,2\n", "lacks the column end_s, start_s"),
        ("recording,start_s,end_s\na.wav,one,2\n", "line 2"),
        ("recording,start_s,end_s\na.wav,4,2\n", "cannot last from 4 to 2"),
    ],
)
def test_a_wrong_table_is_refused(folder: Path, table: str, message: str) -> None:
    (folder / "annotations.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        read_data([folder])


def test_folders_without_data_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_data([tmp_path / "nowhere"])
    (folder / "annotations.csv").unlink()
    with pytest.raises(DataError, match="holds neither"):
        read_data([folder])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no audio files"):
        read_data([empty])


def test_the_hash_changes_with_audio_and_annotations_only(folder: Path) -> None:
    before = read_data([folder]).sha256()
    assert read_data([folder]).sha256() == before
    table = folder / "annotations.csv"
    table.write_text(table.read_text().replace("8.8", "8.9"))
    changed = read_data([folder]).sha256()
    assert changed != before
    write(folder / "recordings" / "b.flac", 10, 22_050, 2)
    assert read_data([folder]).sha256() != changed


def test_a_split_that_leaks_is_refused_by_name() -> None:
    def example(take: str, group: str) -> Example:
        return Example(np.zeros(1, np.float32), "call", f"{group}.wav", 0, group, take)

    left, right = [example("A", "bg1")], [example("A", "bg2"), example("", "bg3")]
    refuse_leaks(left, right, ("group", "source"))
    with pytest.raises(DataError, match="take A on both sides"):
        refuse_leaks(left, right, ("take",))
    refuse_leaks([example("", "x")], [example("", "y")], ("take",))


def test_scenes_know_no_audio_in_their_name() -> None:
    assert "audio" not in repr(Scene("a", "b", np.zeros(3, np.float32)))
