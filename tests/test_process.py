"""The command as a process: how it starts, and how it ends."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from model.quiet import without_collecting


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


def test_garbage_is_collected_again_after_imports() -> None:
    assert gc.isenabled()
    with without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
