import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import progress
from pipeline import progress as watch
from pipeline.progress import Progress, progress_line
from tests.nights import wait_until


def test_a_line_says_how_far_how_fast_and_how_long() -> None:
    line = progress_line(Progress(12.2, 2160, 7200), 40, 15)
    assert line == "12 of 40 files, 0.60 of 2.00 h audio, 144 × real time, 0:00:35 left"
    assert progress_line(Progress(1, 3, 360), 5, 10) == "1 of 5 files, 0.00 of 0.10 h audio"


@given(*[st.floats(0, 1e9)] * 3, st.integers(0, 10**9), st.floats(0, 1e6))
def test_no_state_breaks_the_line(
    files: float, audio_s: float, expected_s: float, n_inputs: int, elapsed_s: float
) -> None:
    assert "files" in progress_line(Progress(files, audio_s, expected_s), n_inputs, elapsed_s)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(watch, "TERMINAL_INTERVAL_S", 0.02)
    monkeypatch.setattr(watch, "pause_s", lambda elapsed_s: 0.02)
    monkeypatch.setenv("COLUMNS", "60")
    progress.reset()
    with watch.watch(3, enabled=True):
        progress.advance(expected_audio_s=7200)
        progress.advance(files=1, audio_s=3600)
        wait_until(lambda: "1 of 3" in stream.getvalue())
    return stream.getvalue()


def test_a_log_has_whole_lines_with_times_and_no_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TERM", raising=False)
    text = watched(monkeypatch, io.StringIO())
    lines = text.splitlines()
    assert lines
    assert text.endswith("\n")
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d 1 of 3 files, 1.00 of 2.00 h audio", line)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_a_terminal_has_one_line_that_fits_and_is_wiped_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = watched(monkeypatch, Terminal())
    assert "\n" not in text
    written = text.split("\r\033[K")
    assert written[0] == written[-1] == ""
    assert written[1].startswith("1 of 3 files")
    assert all(len(line) < 60 for line in written)


def test_lines_of_a_log_become_rarer() -> None:
    elapsed_s, lines = 0.0, 0
    while elapsed_s < 12 * 3600:
        elapsed_s += watch.pause_s(elapsed_s)
        lines += 1
    assert 20 < lines < 100
    assert watch.pause_s(0) == 10


def test_what_worker_processes_did_is_added_up() -> None:
    progress.reset()
    progress.advance(expected_audio_s=60)
    work = (
        "from pipeline.progress import advance; advance(expected_audio_s=100, files=1, audio_s=40)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", work], check=True)
    assert progress.now() == Progress(2, 80, 260)
    progress.close()
    assert progress.now() == Progress(0, 0, 60)


def test_a_worker_without_a_launcher_works_on(tmp_path: Path) -> None:
    work = "from pipeline import progress; progress.advance(files=1, audio_s=40)"
    environment = {**os.environ, progress.FOLDER_VARIABLE: str(tmp_path / "gone")}
    subprocess.run([sys.executable, "-c", work], check=True, env=environment)
