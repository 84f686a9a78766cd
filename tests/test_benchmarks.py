import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.cores import make_archive
from benchmarks.harness import ROOT, Usage, run_child
from benchmarks.run import BEAM, DECODE, PLAIN, TUTORIAL, Run, Speed, speed, table
from benchmarks.tutorial import FOLDERS, leave_out_third, read_clips


def took(wall_s: float, cpu_s: float, audio_s: float, calls: int = 3) -> Run:
    return Run(Usage(wall_s, cpu_s, peak_rss_bytes=500_000_000, last_line=""), audio_s, calls)


def test_start_up_is_not_counted_as_speed() -> None:
    short = [took(5.0, 6.0, 10.0, calls=0)]
    whole = [took(15.0, 26.0, 3610.0), took(17.0, 28.0, 3610.0), took(25.0, 30.0, 3610.0)]
    result = speed(short * 3, whole, n_recordings=20)
    assert result.startup_s == 5.0
    assert result.times_real_time == 3600 / 12
    assert result.cpu_s_per_hour == 22.0
    assert result.whole_s == 17.0
    assert result.spread == 10 / 12
    assert result.peak_rss_mb == 500


def test_runs_that_count_differently_are_no_benchmark() -> None:
    with pytest.raises(RuntimeError, match=r"\[3, 4\] calls"):
        speed([took(1, 1, 0)] * 2, [took(2, 2, 60), took(2, 2, 60, calls=4)], n_recordings=1)


def test_the_table_holds_the_ratios() -> None:
    def way(wall_s: float) -> Speed:
        return speed([took(1, 1, 0)], [took(1 + wall_s, 1 + wall_s, 3600)], n_recordings=20)

    speeds = {TUTORIAL: way(60), DECODE: way(2), PLAIN: way(4), BEAM: way(5)}
    text = table(speeds)
    assert "| Beam job | 20 | 1.0 | 720 | 12.00 | 5.0 | 0% | 12.00 | 0.40 | 500 |" in text
    assert "Beam job against plain loop: 1.25 × the time, 1.25 × the CPU time" in text
    del speeds[TUTORIAL]
    assert "| Beam job | 20 | 1.0 | 720 | 12.00 | 5.0 | 0% |  | 0.40 | 500 |" in table(speeds)


def test_a_child_is_seen_from_outside() -> None:
    script = "x = bytearray(200_000_000); print('first'); print('last')"
    usage = run_child([sys.executable, "-c", script])
    assert usage.last_line == "last"
    assert usage.peak_rss_bytes > 200_000_000
    assert usage.cpu_s > 0
    with pytest.raises(RuntimeError, match="ended with 3"):
        run_child([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_the_benchmark_of_scale_runs_the_real_job_over_made_up_recordings(tmp_path: Path) -> None:
    written = tmp_path / "scale.json"
    command = [sys.executable, "-m", "benchmarks.scale", "40", "--night=10", f"--json={written}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    first, night = json.loads(written.read_text())
    assert (first["recordings"], first["held"]) == (40, 0)
    assert (night["recordings"], night["held"]) == (10, 40)
    assert first["operations"]["archive read"] == 2 * 40
    sampled = 3  # of a part that is new, to tell whether they were counted elsewhere before
    assert night["operations"]["archive read"] == 2 * 10 + sampled
    assert first["elements"]
    assert first["peak_bytes"]["job"] > 100_000_000
    assert done.stdout.count("\n| ") == 3  # a head and two runs


def test_left_out_sources_have_no_clip_in_training() -> None:
    sources = [f"s{n // 3}" for n in range(90)]
    labels = np.array([[float(n < 45)] for n in range(90)], np.float32)
    out = leave_out_third(sources, labels, seed=0)
    inside = {source for source, is_out in zip(sources, out, strict=True) if not is_out}
    outside = {source for source, is_out in zip(sources, out, strict=True) if is_out}
    assert not inside & outside
    assert (out[:45].sum(), out[45:].sum()) == (15, 15)
    assert (leave_out_third(sources, labels, seed=1) != out).any()


def test_clips_are_padded_in_front_as_published(tmp_path: Path) -> None:
    for label, (folder, length) in enumerate(zip(FOLDERS, (32_000, 80_000), strict=True)):
        (tmp_path / folder).mkdir()
        tone = np.full(length, 0.5 - label, np.float32)
        soundfile.write(tmp_path / folder / f"{label}.flac", tone, 16_000)
    (tmp_path / "clips.csv").write_text("clip,source\n0.wav,rain\n1.wav,XC1\n")
    windows, labels, sources = read_clips(tmp_path)
    assert windows.shape == (2, 48_000)
    assert labels.tolist() == [[0.0], [1.0]]
    assert sources == ["rain", "XC1"]
    assert not windows[0, :16_000].any()
    assert np.allclose(windows[0, 16_000:], 0.5, atol=1e-3)
    assert np.allclose(windows[1], -0.5, atol=1e-3)


def test_the_recordings_of_the_benchmark_of_cores_are_as_large_as_real_ones_and_no_copies(
    tmp_path: Path,
) -> None:
    make_archive(tmp_path, ".mp3", 26)
    made = sorted(tmp_path.rglob("*.mp3"))
    assert len({path.read_bytes()[:16] for path in made}) == len(made) == 26
    assert {path.stat().st_size for path in made} == {1_440_000}
    assert len({path.name[:12] for path in made}) == 2
