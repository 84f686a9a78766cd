"""The whole job against a plain loop over the same functions."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model.audio.decoders import AudioError
from model.audio.recording import Recording, read_all
from model.calls import find_calls
from model.windows import window_starts, windows_every
from pipeline import launch, options
from pipeline.beam_options import beam_options
from pipeline.inference.transforms import SegmentHandler
from pipeline.preflight import Checked
from pipeline.records import Listed
from pipeline.run import Run, run_of
from tests import plain_runner
from tests.conftest import Recordings, noise_with_bursts
from tests.fakes import CountedLoader, PeakScorer, contract, cut_windows, peak_handler, write_model

Row = dict[str, str]

MODEL = contract()


def run(
    tmp_path: Path, *arguments: str, handler: SegmentHandler | None = None
) -> tuple[list[Row], list[Row]]:
    """The tables of a run with the stand-in network, rows as dictionaries."""
    output = tmp_path / "output"
    config = options.parse([*arguments, "--output", str(output)])
    asked = Run.of(config, MODEL, run_id="run")
    checked = Checked(beam_options(config.beam_args), 1)
    launch.run_job(asked, handler or peak_handler(), checked)
    return read(output / "counts.csv"), read(output / "calls.csv")


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other tests' jobs are Beam's runner's."""
    plain_runner.use(monkeypatch)


def read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def plain_loop(
    names: Iterable[str], hop: int = 16_000
) -> tuple[dict[str, int | None], list[tuple[str, ...]]]:
    """Counts and calls without Beam, segments or files between the steps."""
    scorer = PeakScorer()
    counts: dict[str, int | None] = {}
    calls: list[tuple[str, ...]] = []
    for name in sorted(names):
        try:
            samples = read_all(name)
        except AudioError:
            counts[name] = None
            continue
        starts = window_starts(len(samples), hop)
        scores = scorer.score(cut_windows(samples, starts))
        found = find_calls(starts, scores, MODEL.rule, len(samples))
        counts[name] = len(found)
        positive_s = starts[scores >= MODEL.rule.threshold] / 16_000
        for c in found:
            holding = sum(s <= c.peak_s <= s + 3 for s in positive_s)
            cells = (f"{c.start_s:.3f}", f"{c.end_s:.3f}", f"{c.score:.5f}", str(max(1, holding)))
            calls.append((name, *cells))
    return counts, calls


def test_the_job_equals_a_plain_loop(recordings: Recordings, tmp_path: Path) -> None:
    folder, truth = recordings
    rows, calls = run(tmp_path, "--input", str(folder))
    expected_counts, expected_calls = plain_loop(truth)
    assert expected_counts == truth
    assert {r["recording"]: r["call_count"] for r in rows} == {
        name: "" if count is None else str(count) for name, count in expected_counts.items()
    }
    assert [
        (c["recording"], c["start_s"], c["end_s"], c["score"], c["windows"]) for c in calls
    ] == expected_calls
    assert Counter(r["outcome"] for r in rows) == {"ok": 4, "no_calls": 2, "failed": 1}


@pytest.mark.slow
def test_the_runner_of_other_tests_writes_the_same(recordings: Recordings, tmp_path: Path) -> None:
    """Their jobs run as a plain loop, see ``plain_runner``; here beside one on Beam's runner."""

    def tables(output: Path) -> dict[str, bytes]:
        return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*.csv")}

    flags = ("--input", str(recordings[0]), "--segment_s", "7", "--format", "raven")
    rows, _ = run(tmp_path / "beam", *flags)
    with pytest.MonkeyPatch.context() as patch:
        plain_runner.use(patch)
        run(tmp_path / "plain", *flags)
    assert len(rows) == len(recordings[1])
    assert tables(tmp_path / "plain") == tables(tmp_path / "beam")


@pytest.fixture(scope="module")
def several_formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for extension, rate in (("wav", 22_050), ("flac", 44_100), ("mp3", 48_000)):
        audio = noise_with_bursts(83, rate, 2, [3, 21.3, 58.8, 79])
        soundfile.write(folder / f"{rate}.{extension}", audio, rate)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("plainly")
def test_segments_change_nothing(several_formats: Path, tmp_path: Path) -> None:
    tables = [
        run(tmp_path / name, "--input", str(several_formats), "--hop_s", "0.7", "--segment_s", name)
        for name in ("3600", "60", "7")
    ]
    assert tables[0] == tables[1] == tables[2]
    assert [row["call_count"] for row in tables[0][0]] == ["4"] * 3


@pytest.mark.slow
def test_windows_and_scores_are_the_same_for_all_segments(several_formats: Path) -> None:
    from pipeline.inference.decode import decode_segment, plan_segments, read_header
    from pipeline.inference.score import score_segment

    grid = windows_every(11_200)
    for path in sorted(several_formats.iterdir()):
        found = []
        for segment_samples in (10**9, 960_000, 112_000):
            header = read_header(Listed(str(path)), grid, segment_samples)
            starts: list[int] = []
            scores: list[float] = []
            heard = 0
            for plan in plan_segments(Listed(str(path)), header, grid, segment_samples):
                with Recording(path) as recording:
                    audio = decode_segment(recording, plan, grid)
                part = score_segment(audio, PeakScorer(), grid, "end")
                starts.extend(part.starts)
                scores.extend(part.scores)
                heard += part.decoded_samples
            found.append((starts, scores, heard))
        assert found[0] == found[1] == found[2]
        assert found[0][2] == header.n_samples


@pytest.mark.slow
def test_the_model_is_loaded_once_in_a_process(recordings: Recordings, tmp_path: Path) -> None:
    folder, _ = recordings
    CountedLoader.loads = 0
    run(tmp_path, "--input", str(folder), "--segment_s", "5", "--direct_num_workers=2")
    assert CountedLoader.loads == 1


@pytest.mark.slow
@pytest.mark.usefixtures("plainly")
def test_recorder_files_each_get_a_row(field: Path, tmp_path: Path) -> None:
    rows, _ = run(tmp_path, "--input", str(field))
    outcomes = {r["recording"].rsplit("/", 1)[1]: r["outcome"] for r in rows}
    assert sorted(outcomes) == sorted(p.name for p in field.iterdir())
    assert outcomes.pop("empty_2c.wav") == "failed"
    assert set(outcomes.values()) <= {"ok", "no_calls"}


@pytest.mark.slow
@pytest.mark.usefixtures("plainly")
def test_a_truncated_recording_is_counted_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "night.wav"
    soundfile.write(path, noise_with_bursts(60, 16_000, 1, [5, 50]), 16_000)
    path.write_bytes(path.read_bytes()[: 16_000 * 2 * 30])
    [row], calls = run(tmp_path, "--input", str(path))
    assert (row["outcome"], row["call_count"], row["duration_s"]) == ("truncated", "1", "60.000")
    assert float(row["heard_s"]) == pytest.approx(30, abs=0.01)
    assert "30.0 s of 60.0 s" in row["error"]
    assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("plainly")
def test_a_name_that_is_no_text_fails_alone(recordings: Recordings, tmp_path: Path) -> None:
    folder, _ = recordings
    good = (Path(folder) / "c.mp3").read_bytes()
    (tmp_path / "c.mp3").write_bytes(good)
    with open(os.fsencode(tmp_path) + b"/caf\xe9.mp3", "wb") as file:
        file.write(good)
    rows, _ = run(tmp_path, "--input", str(tmp_path))
    assert [(r["outcome"], r["recording"][-11:]) for r in rows] == [
        ("ok", f"{tmp_path}/c.mp3"[-11:]),
        ("failed", r"f\udce9.mp3"),
    ]
    assert "not valid UTF-8; rename" in rows[1]["error"]


@pytest.mark.slow
@pytest.mark.usefixtures("plainly")
def test_counting_windows_steps_by_whole_windows(recordings: Recordings, tmp_path: Path) -> None:
    folder, _ = recordings
    [row], calls = run(tmp_path, "--input", f"{folder}/a.wav", "--counting", "windows")
    samples = read_all(f"{folder}/a.wav")
    scores = PeakScorer().score(cut_windows(samples, window_starts(len(samples), 48_000)))
    assert row["hop_s"] == "3.000"
    assert int(row["windows"]) == len(scores) == 11
    assert int(row["call_count"]) == np.count_nonzero(scores >= 0.5) == len(calls)


@pytest.mark.slow
@pytest.mark.usefixtures("plainly")
def test_launch_reports_and_leaves_nothing_stale(
    recordings: Recordings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, truth = recordings
    output = tmp_path / "output"
    output.mkdir()
    (output / "run.json").write_text("from an earlier run")
    monkeypatch.setattr(launch, "ModelLoader", lambda directory: CountedLoader())
    config = options.parse(
        f"--input={folder} --model={write_model(tmp_path / 'm')} --output={output} "
        "--format=tutorial --max_failed_fraction=0.1".split()
    )
    assert launch.launch(run_of(config)) == 3  # one of seven failed
    report = json.loads((output / "run.json").read_text())
    assert report["totals"]["inputs"] == len(truth)
    assert report["totals"]["calls"] == sum(n for n in truth.values() if n)
    assert report["totals"]["outcomes"]["failed"] == 1
    assert report["model"]["version"] == "peak-1"
    printed = " ".join(capsys.readouterr().out.split())
    summed_up = "7 recordings, 9 calls (4 with calls, 2 without calls, 1 failed)"
    assert printed.startswith(f"this run {summed_up} ")
    assert f"threshold 0.5 (the model's own) results hold {summed_up} " in printed
    assert {r["recording"]: r["capuchin_calls"] for r in read(output / "tutorial.csv")} == {
        name: "" if n is None else str(n) for name, n in truth.items()
    }
    [failure] = read(output / "failures.csv")
    assert "broken.flac" in failure["error"]
    assert sorted(p.name for p in output.iterdir()) == [
        "activity.csv",
        "calls.csv",
        "counts.csv",
        "failures.csv",
        "ledger",
        "report.html",
        "run.json",
        "scores",
        "tutorial.csv",
    ]
