"""Calls as audio files: which ones, what they sound like, and what is inside."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import get_args

import guano
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.__main__ import main
from pipeline.exports.clips import ClipChoice, choose_findings, cut_clips
from pipeline.inputs.recorder_notes import read_note
from pipeline.records import RecordingCount
from pipeline.survey.findings import Finding, findings_of, verdicts_of
from tests.test_histories import call, label, recording, write_results

RATE = 32_000


def findings(scores: dict[str, list[float]]) -> list[Finding]:
    """Findings of sites with these scores."""
    found = []
    for site, values in scores.items():
        row = recording(f"{site}.wav", "2024-06-11T05:00:00", site=site)
        found += findings_of(
            [row], [call(row, 5.0 * n, score) for n, score in enumerate(values)], {}
        )
    return found


SCORES = st.lists(st.floats(0.5, 1), max_size=30)


@given(
    st.dictionaries(st.sampled_from(["Creek", "Ridge"]), SCORES),
    st.integers(1, 20),
    st.floats(0.01, 1),
    st.sampled_from(get_args(ClipChoice)),
)
def test_no_site_has_more_than_it_should(
    scores: dict[str, list[float]], per_site: int, share: float, choice: ClipChoice
) -> None:
    found = findings(scores)
    chosen = choose_findings(found, per_site, share, choice, np.random.default_rng(0))
    assert len(set(map(id, chosen))) == len(chosen)
    for site, values in scores.items():
        n = sum(one.recording.site == site for one in chosen)
        assert n == min(per_site, int(np.ceil(round(share * len(values), 9))))


def test_balanced_takes_weak_calls_though_strong_ones_are_many() -> None:
    scores = [0.999] * 90 + [0.99] * 5 + [0.97, 0.95, 0.9, 0.8, 0.51]
    found = findings({"Ridge": scores})
    rng = np.random.default_rng(0)
    chosen = {f.score for f in choose_findings(found, 7, 1.0, "balanced", rng)}
    assert chosen == set(scores)
    strongest = choose_findings(found, 8, 1.0, "strongest", rng)
    assert {f.score for f in strongest} == {0.999}


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, RecordingCount]:
    """A stereo recording of 20 s at 32 kHz whose samples say where they are."""
    path = tmp_path / "card" / "REC_01.wav"
    path.parent.mkdir()
    ramp = np.linspace(-0.9, 0.9, 20 * RATE)
    soundfile.write(path, np.stack([ramp, -ramp], axis=1), RATE, subtype="PCM_16")
    row = recording(str(path), "2024-06-11T05:29:50", hours=20 / 3600, site="Saül: nord")
    return path, row


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_a_clip_is_the_recording_itself(
    tmp_path: Path, recorded: tuple[Path, RecordingCount], audio_format: str
) -> None:
    path, row = recorded
    verdicts = verdicts_of([label(replace(row), 0.25, "yes")])
    found = findings_of([row], [call(row, 0.25), call(row, 11.5, 0.72), call(row, 17)], verdicts)
    saved, problems = cut_clips(found, str(tmp_path / "clips"), 1.0, audio_format)  # type: ignore[arg-type]
    assert problems == []
    whole, _ = soundfile.read(path)
    for clip, begin_s, end_s in zip(saved, (0, 10.5, 16), (4.75, 16, 20), strict=True):
        audio, rate = soundfile.read(tmp_path / "clips" / clip.clip)
        assert rate == RATE
        assert clip.begin_s == begin_s
        expected = whole[round(begin_s * RATE) : round(end_s * RATE)]
        np.testing.assert_allclose(audio, expected, atol=1e-4)
    name = f"Saül_ nord/Saül_ nord_20240611_053000_REC_01_10.5s.{audio_format}"
    assert saved[1].clip == name
    assert saved[1].starts_local == "2024-06-11T05:30:00.500"
    with (tmp_path / "clips" / "clips.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == [one.clip for one in saved]
    assert (rows[1]["start_s"], rows[1]["end_s"], rows[1]["score"]) == ("1.000", "4.500", "0.72000")
    assert [row["heard"] for row in rows] == ["yes", "", ""]


def test_guano_reads_what_is_inside(tmp_path: Path, recorded: tuple[Path, RecordingCount]) -> None:
    _, row = recorded
    found = findings_of([row], [call(row, 11.5, 0.72)], verdicts_of([label(row, 11.5, "yes")]))
    (clip,), _ = cut_clips(found, str(tmp_path), 1.0, "wav")
    told = guano.GuanoFile(str(tmp_path / clip.clip))
    assert told["Timestamp"].isoformat() == "2024-06-11T05:30:00.500000-03:00"
    assert told["Loc Position"] == (4.5, -52.5)
    assert told["Original Filename"] == "REC_01.wav"
    assert told["Species Auto ID"] == told["Species Manual ID"] == "capuch1"
    assert told["Capuchinbird|Score"] == "0.72000"
    assert told["Length"] == pytest.approx(5.5)
    assert told["Samplerate"] == RATE
    note = read_note(str(tmp_path / clip.clip), clip.clip)
    assert (note.source, note.clock, note.utc_offset) == (
        "guano",
        "2024-06-11T05:30:00.500000",
        "-03:00",
    )
    (clip,), _ = cut_clips(found, str(tmp_path), 1.0, "flac")
    comment = soundfile.SoundFile(tmp_path / clip.clip).comment
    assert "Loc Position: 4.500000 -52.500000" in comment.splitlines()


def test_clips_of_one_second_and_name_stay_apart(tmp_path: Path) -> None:
    rows = []
    for card in ("one", "two"):
        path = tmp_path / card / "050000.wav"
        path.parent.mkdir()
        soundfile.write(path, np.zeros(10 * RATE), RATE)
        rows.append(recording(str(path), "2024-06-11T05:00:00"))
    found = findings_of(rows, [call(rows[0], 2), call(rows[1], 2)], {})
    saved, _ = cut_clips(found, str(tmp_path / "clips"), 0.0, "flac")
    assert [Path(one.clip).name for one in saved] == [
        "Ridge_20240611_050002_050000_2.0s.flac",
        "Ridge_20240611_050002_050000_2.0s-2.flac",
    ]


def test_the_command(
    tmp_path: Path, recorded: tuple[Path, RecordingCount], capsys: pytest.CaptureFixture[str]
) -> None:
    _, row = recorded
    gone = recording(str(tmp_path / "gone.wav"), "2024-06-11T05:00:00")
    write_results(tmp_path, [row, gone], [call(row, 2), call(row, 9), call(gone, 3)])
    output = tmp_path / "clips"
    assert main(["clips", str(tmp_path), "--output", str(output), "--percent", "50"]) == 0
    printed = capsys.readouterr()
    assert "1 of 3 calls" in printed.out
    assert "gone.wav" in printed.err
    assert len(list(output.rglob("*.flac"))) == 1
    assert main(["clips", str(tmp_path), "--percent", "0"]) == 2


def test_nothing_to_cut_is_refused(
    tmp_path: Path, recorded: tuple[Path, RecordingCount], capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path, [recorded[1]], [])
    assert main(["clips", str(tmp_path), "--output", str(tmp_path / "clips")]) == 2
    assert "holds no call to cut out" in capsys.readouterr().err
    assert not (tmp_path / "clips").exists()
