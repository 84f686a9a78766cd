import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.inputs.manifests import read_manifest
from pipeline.storage import files
from tests.conftest import Recordings


def test_a_folder_is_searched_for_audio_whatever_the_case(
    recordings: Recordings,
) -> None:
    folder, truth = recordings
    assert files.expand(str(folder)) == sorted(truth)


def test_patterns_reach_through_levels_and_match_nothing_else(
    recordings: Recordings,
) -> None:
    folder, _ = recordings
    assert [os.path.basename(p) for p in files.expand(f"{folder}/*.wav")] == [
        "a.wav",
        "quiet.wav",
        "short.wav",
    ]
    assert len(files.expand(f"{folder}/**/*.WAV")) == 1
    assert files.expand(f"{folder}/*.ogg") == []


def test_a_relative_pattern_starts_where_the_caller_stands(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = recordings
    monkeypatch.chdir(folder)
    assert files.expand("*.mp3") == ["c.mp3"]


def test_a_name_with_brackets_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "site[1].wav"
    path.touch()
    assert files.expand(str(path)) == [str(path)]


def test_two_ways_to_write_a_path_are_one_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.identity("night/../a.wav") == files.identity(f"{tmp_path}/a.wav")


def test_a_write_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    files.write_atomically(str(path), [b"old"])

    def chunks() -> Iterator[bytes]:
        yield b"new, but"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write_atomically(str(path), chunks())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["counts.csv"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.wav\nsub/b.wav\n\n", ["a.wav", "sub/b.wav"]),
        ("site,recording\nnorth,a.wav\nsouth,b.wav\n", ["a.wav", "b.wav"]),
        ("uri\ngs://bucket/a.wav\n", ["gs://bucket/a.wav"]),
        ('\ufeffrecording,note\n"a, b.wav",x\n', ["a, b.wav"]),
        ("", []),
    ],
)
def test_manifests_as_people_write_them(tmp_path: Path, text: str, expected: list[str]) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(text, encoding="utf-8")
    expected = [n if "://" in n else str(tmp_path / n) for n in expected]
    assert list(read_manifest(str(manifest))) == expected


def test_a_table_without_recordings_is_refused(tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text("site,temperature\nnorth,21\n")
    with pytest.raises(ValueError, match="no column named recording or uri"):
        list(read_manifest(str(manifest)))
