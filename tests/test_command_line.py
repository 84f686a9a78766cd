"""The command line as a process: pipes, logs and what scripts read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main

ROOT = Path(__file__).resolve().parents[1]


def test_nobody_reads_on() -> None:
    """As behind ``| head -1``: no trace of an error, whatever was still to be printed."""
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (["columns"], ["--help"], ["count", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.stderr == "", arguments
    os.close(writer)


def test_a_log_line_is_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count(argv: object) -> int:
        logging.getLogger("pipeline.tables.transforms").error("failures: 3 of 4")
        logging.getLogger("urllib3").warning("slow")
        return 0

    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr("pipeline.commands.count.main", count)
    assert main(["count"]) == 0
    assert capsys.readouterr().err == "capuchinbird: failures: 3 of 4\nurllib3: slow\n"
