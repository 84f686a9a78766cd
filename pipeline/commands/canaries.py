"""``python -m pipeline.commands.canaries``: recordings with known counts, counted afresh.

Run before a night's job. When they come out otherwise, the installation is not what it was: another
model, another decoder, a broken library. Nothing is taken from a ledger.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline import launch, options
from pipeline.inputs import manifests as match
from pipeline.storage import files

EXIT_DIFFERENT = 4


def read_expected(manifest: str) -> dict[str, int]:
    """Counts that a manifest states in a column ``call_count``, by recording.

    Raises:
        ValueError: a row without a count.
    """
    text = files.read_bytes(manifest).decode("utf-8-sig")
    counts = [row.get("call_count") for row in csv.DictReader(text.splitlines())]
    names = list(match.read_manifest(manifest))
    if len(names) != len(counts) or not all(counts):
        raise ValueError(f"{manifest}: needs the columns recording and call_count, filled")
    return {name: int(count or 0) for name, count in zip(names, counts, strict=True)}


def differences(expected: Mapping[str, int], counted: Mapping[str, str]) -> list[str]:
    """A line for each canary that came out otherwise than it should."""
    return [
        f"{name}: {counted.get(name) or 'no'} calls, should be {count}"
        for name, count in sorted(expected.items())
        if counted.get(name) != str(count)
    ]


def main(argv: list[str] | None = None) -> int:
    """Counts the canaries. Returns 0, 4 when a count differs, or what the job returned."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.commands.canaries",
        description="Count recordings with known counts; exit with 4 when one comes out otherwise. "
        "Other flags go to the job.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--manifest", required=True, metavar="FILE", help="CSV with recording and call_count"
    )
    arguments, job = parser.parse_known_args(argv)
    try:
        expected = read_expected(arguments.manifest)
    except (OSError, ValueError) as error:
        print(f"pipeline.commands.canaries: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as output:
        where = ["--manifest", arguments.manifest, "--output", output]
        try:
            code = launch.launch(options.parse([*where, *job]))
        except options.UsageError as error:
            print(f"pipeline.commands.canaries: {error}", file=sys.stderr)
            return 2
        if code not in (0, 3):
            return code
        with Path(output, "counts.csv").open(newline="", encoding="utf-8") as file:
            counted = {row["recording"]: row["call_count"] for row in csv.DictReader(file)}
    found = differences(expected, counted)
    for line in found:
        print(f"pipeline.commands.canaries: {line}", file=sys.stderr)
    return EXIT_DIFFERENT if found else 0


if __name__ == "__main__":
    sys.exit(main())
