"""Count recordings with known counts; exit with 4 when one comes out otherwise.

Run before a night's job. When they come out otherwise, the installation is not what it was: another
model, another decoder, a broken library. Nothing is taken from a ledger.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipeline.inputs.manifests import read_manifest
from pipeline.inputs.sheets import parse_sheet, read_text
from pipeline.options import Flag, UsageError, count_command, parse, refusing, say
from pipeline.storage import files
from pipeline.tables.read import read_counts

EXIT_DIFFERENT = 4


def read_expected(manifest: str) -> dict[str, int]:
    """Counts that a manifest states in a column ``call_count``, by recording.

    Raises:
        ValueError: a row without a count.
    """
    sheet = parse_sheet(manifest, read_text(manifest))
    counts = [row.read("call_count", int, None) for row in sheet.rows] if sheet else []
    names = list(read_manifest(manifest))
    if not names or len(names) != len(counts) or None in counts:
        raise ValueError(f"{manifest}: needs the columns recording and call_count, filled")
    return {name: count or 0 for name, count in zip(names, counts, strict=True)}


def check_there(canaries: Iterable[str]) -> None:
    """Refuses canaries that are gone: a difference in their counts would say too little.

    Raises:
        UsageError: it names them.
    """
    if gone := [name for name in canaries if not files.exists(name)]:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        raise UsageError(f"--manifest: no such file: {', '.join(gone[:3])}{more}")


def differences(expected: Mapping[str, int], counted: Mapping[str, int | None]) -> list[str]:
    """A line for each canary that came out otherwise than it should."""
    return [
        f"{name}: {'no' if counted.get(name) is None else counted[name]} calls, should be {count}"
        for name, count in sorted(expected.items())
        if counted.get(name) != count
    ]


COMMAND = count_command(
    "canaries",
    __doc__,
    "canaries --manifest canaries.csv --model my_model",
    only=("manifests", "model", "hop_s", "segment_s", "threshold", "counting"),
    changed={"manifests": Flag("CSV with recording and call_count", "FILE", name="manifest")},
    output="",
    report=False,
    max_failed_fraction=1.0,
)


def main(argv: Sequence[str]) -> int:
    """Counts the canaries. Returns 0, 4 when a count differs, or what the job returned."""
    config = parse(argv, command=COMMAND)
    expected: dict[str, int] = {}
    with refusing(OSError, ValueError, about="--manifest: "):
        for manifest in config.manifests:
            expected |= read_expected(manifest)
    check_there(expected)
    from pipeline.launch import launch
    from pipeline.run import run_of

    with tempfile.TemporaryDirectory() as output:
        with contextlib.redirect_stdout(io.StringIO()):  # it would name files that are soon gone
            if code := launch(run_of(replace(config, output=output))):
                return code
        counted = {row.recording: row.call_count for row in read_counts(output)}
    different = differences(expected, counted)
    COMMAND.remark(*different)
    say(
        f"{len(expected) - len(different)} of {len(expected)} canaries came out as they should",
        canaries=len(expected),
        different=different,
    )
    return EXIT_DIFFERENT if different else 0
