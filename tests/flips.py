"""Single bits that are wrong in the files of an output: ``python -m tests.flips --flips 3000``.

An output with all that one can hold (other programs' tables, a folder that was moved, a threshold
that was chosen, a night, names relative to a folder) is copied, one bit of one file is flipped, and
the same recordings are counted again. All tables must then be those of an output without damage,
but for ``run_id``, and a further run must find nothing to do. Scores are read when another
threshold is asked for: after damage to them this is done, too, in two ways. Files take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import options
from pipeline.options import FORMATS, Config
from tests import fakes, nights, plainly

CHOSEN, OTHER = 0.6, 0.8
"""Thresholds: that of the output, and one that no recording reaches."""
_RUN_ID = re.compile(rb"\d{8}T\d{6}\.\d+Z-[0-9a-f]{6}")


def make_output(folder: Path) -> Config:
    """Recordings and an output over them. Returns what is asked of each further run."""
    card, archive = folder / "card", folder / "archive"
    for day, bursts in ((1, 1), (1, 0), (2, 2), (2, 1)):
        n = len(list(card.rglob("*.wav"))) if card.exists() else 0
        nights.write_recording(card / f"S1_2024060{day}_{n:02d}0000.wav", bursts, seed=n)
    (card / "S1_20240602_090000.wav").write_text("no audio")
    nights.write_recording(folder / "extra" / "x.wav", 1, seed=9)
    model = fakes.write_model(folder / "model")
    always = ["--model", str(model), "--output", str(folder / "out"), "--no_report"]
    more = [word for name in FORMATS for word in ("--format", name)]
    plainly.count(options.parse(["--input", str(card), *always]), night="2024-06-01")
    card.rename(archive)
    moved = ["--moved", f"{card}={archive}"]
    plainly.count(options.parse(["--input", str(archive), "extra", *always, *moved, *more]))
    config = options.parse(["--input", str(archive), "extra", *always])
    plainly.count_again(config, CHOSEN)
    plainly.count(config)
    assert not plainly.count(config)
    return config


def tables_of(output: Path) -> dict[str, Any]:
    """All tables, and what run.json says of the output, without names of runs."""
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        if path.is_dir() or name.startswith(("ledger", "scores")):
            continue
        if name == "run.json":
            found[name] = json.loads(path.read_text())["output"]
        elif path.suffix == ".parquet":
            try:
                table = pq.read_table(io.BytesIO(path.read_bytes()))
                found[name] = table.drop_columns(["run_id"]).to_pylist()
            except (OSError, pa.ArrowException) as error:
                found[name] = str(error)
        else:
            found[name] = _RUN_ID.sub(b"", path.read_bytes())
    return found


def files_with_content(output: Path) -> list[Path]:
    return sorted(p for p in output.rglob("*") if p.is_file() and p.stat().st_size)


def flip(path: Path, dice: random.Random) -> int:
    """Flips one bit of a file. Returns which."""
    content = bytearray(path.read_bytes())
    bit = dice.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return bit


class Flips:
    """An output, and what it must come to after damage."""

    def __init__(self, folder: Path, seed: int, of: str) -> None:
        self._dice = random.Random(seed)
        self._config = make_output(folder)
        self._out, self._whole = folder / "out", folder / "whole"
        self._out.rename(self._whole)
        self.files = [name for name in files_with_content(self._whole) if of in str(name)]
        self._dice.shuffle(self.files)
        self._expected = tables_of(self._whole)
        self._restore()
        self._count_otherwise(0)
        self._otherwise = tables_of(self._out)
        assert self._otherwise["calls.csv"] != self._expected["calls.csv"]

    def _restore(self) -> None:
        shutil.rmtree(self._out, ignore_errors=True)
        shutil.copytree(self._whole, self._out)

    def _count_otherwise(self, way: int) -> None:
        if way == 0:
            plainly.count_again(self._config, OTHER)
        asked = replace(self._config, threshold=OTHER, states_counting=True)
        plainly.count(asked)

    def one(self, number: int) -> str:
        """One flip. Returns what it came to; empty if the tables are not right."""
        whole = self.files[number % len(self.files)]
        name = whole.relative_to(self._whole)
        self._restore()
        bit = flip(self._out / name, self._dice)
        if name.parts[:2] == ("ledger", "tables"):
            (self._out / "counts.csv").unlink()  # so that tables are joined once more
        worked = plainly.count(self._config)
        right = tables_of(self._out) == self._expected and not plainly.count(self._config)
        if right and name.parts[0] == "scores":
            self._count_otherwise(number // len(self.files) % 2)
            right = tables_of(self._out) == self._otherwise
        if not right:
            print(f"bit {bit} of {name}: the tables are not right", file=sys.stderr)
            return ""
        return "done again" if worked else "nothing to do"


@contextlib.contextmanager
def prepared(seed: int, of: str = "") -> Iterator[Flips]:
    """An output in a folder of its own, which is the working folder meanwhile.

    Args:
        seed: of what is drawn.
        of: part of the names of the files to damage.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("os.fsync", lambda handle: None)  # no machine goes down meanwhile
        with contextlib.redirect_stdout(io.StringIO()):
            flips = Flips(Path(folder), seed, of)
        yield flips


def kind_of(name: Path) -> str:
    """What a file of an output is, for the summary."""
    top = name.parts[0]
    if top == "ledger":
        return "/".join(name.parts[:2]) if len(name.parts) > 2 else f"ledger/*{name.suffix}"
    return top


def main() -> int:
    """Flips, and tells what it came to. Returns 0 if all tables were right."""
    parser = argparse.ArgumentParser(prog="python -m tests.flips", description=__doc__)
    parser.add_argument("--flips", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--of", default="", help="only files with this in their names")
    asked = parser.parse_args()
    logging.getLogger("pipeline").setLevel(logging.CRITICAL)
    came_to: Counter[tuple[str, str]] = Counter()
    started = time.monotonic()
    with prepared(asked.seed, asked.of) as flips:
        for number in range(asked.flips):
            name = flips.files[number % len(flips.files)].relative_to(flips._whole)
            with contextlib.redirect_stdout(io.StringIO()):
                result = flips.one(number)
            came_to[kind_of(name), result or "WRONG"] += 1
            if number % 20 == 19:
                print(f"{number + 1} flips, {time.monotonic() - started:.0f} s", file=sys.stderr)
        print(f"{asked.flips} flips in {len(flips.files)} files")
    for (kind, result), n in sorted(came_to.items()):
        print(f"{kind:24} {result:16} {n}")
    return int(any(result == "WRONG" for _, result in came_to))


if __name__ == "__main__":
    sys.exit(main())
