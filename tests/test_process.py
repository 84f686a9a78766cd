"""The command as a process: how it starts, and how it ends."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from apache_beam.options.pipeline_options import StandardOptions, WorkerOptions

from model.quiet import _UNUSED, without_collecting, without_unused_libraries
from pipeline.beam_options import beam_options
from tests import nights
from tests.conftest import noise_with_bursts


@pytest.mark.parametrize(
    ("main", "code"),
    [
        ("return 3", 3),
        ("sys.exit(2)", 2),
        ("sys.exit()", 0),
        ("sys.exit('why')", 1),
        ("1 / 0", 1),
    ],
)
def test_a_command_ends_with_its_code_and_cleans_up(main: str, code: int) -> None:
    script = f"""
import atexit, sys
import pipeline.__main__ as command

def main():
    atexit.register(print, "cleaned up")  # as Beam and the decoders do
    {main}

command.main = main
command.run_and_leave()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout == "cleaned up\n"
    assert ("why" in done.stderr) == ("why" in main)
    assert ("ZeroDivisionError" in done.stderr) == ("/ 0" in main)


def test_a_scheduler_s_signal_ends_it_as_ctrl_c_does() -> None:
    script = """
import atexit, os, signal, sys, time
import pipeline.commands.count
from pipeline.__main__ import run_and_leave

def main(argv):
    atexit.register(print, "cleaned up")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

pipeline.commands.count.main = main
sys.argv = ["capuchinbird", "count"]
run_and_leave()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=nights.ROOT, timeout=50
    )
    assert (done.returncode, done.stdout) == (143, "cleaned up\n")
    assert done.stderr == ("capuchinbird count: ended by SIGTERM; no file was left half-written\n")


def test_garbage_is_collected_again_after_imports() -> None:
    assert gc.isenabled()
    with without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_unused_libraries_are_not_found_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pymongo_of_a_test.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("model.quiet._UNUSED", ("pymongo_of_a_test",))
    with without_unused_libraries(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("pymongo_of_a_test")
    importlib.import_module("pymongo_of_a_test")


@pytest.mark.slow
def test_a_job_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise_with_bursts(5, 16_000, 1, [1.5]), 16_000)
    script = f"""
import sys
from pipeline.__main__ import main
assert main(["--input", "{tmp_path}/a.wav", "--output", "{tmp_path}/out"]) == 0
print("imported:", {{*{_UNUSED}}} & {{*sys.modules}})
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=nights.ROOT)
    assert done.stdout.splitlines()[-1:] == ["imported: set()"], done.stderr


def test_views_of_options_are_made_once_and_share_their_values() -> None:
    options = beam_options(["--num_workers=3"])
    workers = options.view_as(WorkerOptions)
    assert options.view_as(WorkerOptions) is workers
    assert workers.num_workers == 3
    workers.num_workers = 4
    assert options.get_all_options()["num_workers"] == 4
    assert options.view_as(StandardOptions).view_as(WorkerOptions).num_workers == 4
