"""Count recordings with known counts afresh.

Run before a night's job. When they come out otherwise, the installation is not what it was: another
model, another decoder, a broken library. Nothing is taken from a ledger.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence

from pipeline import options
from pipeline.inputs.manifests import read_manifest
from pipeline.inputs.sheets import parse_sheet, read_text
from pipeline.options import Parser, UsageError
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


def check_there(manifest: str, canaries: Iterable[str]) -> None:
    """Refuses canaries that are gone: that they are counted otherwise would say too little.

    Raises:
        UsageError: it names them.
    """
    if gone := [name for name in canaries if not files.exists(name)]:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        raise UsageError(f"--manifest {manifest}: no such file: {', '.join(gone[:3])}{more}")


def differences(expected: Mapping[str, int], counted: Mapping[str, int | None]) -> list[str]:
    """A line for each canary that came out otherwise than it should."""
    return [
        f"{name}: {'no' if counted.get(name) is None else counted[name]} calls, should be {count}"
        for name, count in sorted(expected.items())
        if counted.get(name) != count
    ]


def parser() -> Parser:
    """The flags; what it does not know goes to the job."""
    result = Parser(
        prog="capuchinbird canaries",
        example="canaries --manifest canaries.csv",
        description="Count recordings with known counts; exit with 4 when one comes out otherwise. "
        "Other flags go to the job.",
        allow_abbrev=False,
    )
    result.add_argument(
        "--manifest", required=True, metavar="FILE", help="CSV with recording and call_count"
    )
    return result


def main(argv: Sequence[str]) -> int:
    """Counts the canaries. Returns 0, 4 when a count differs, or what the job returned."""
    arguments, job = parser().parse_known_args(argv)
    try:
        expected = read_expected(arguments.manifest)
    except (OSError, ValueError) as error:
        raise UsageError(f"--manifest: {error}") from None
    check_there(arguments.manifest, expected)
    from pipeline.launch import launch
    from pipeline.run import run_of

    with tempfile.TemporaryDirectory() as output:
        where = ["--manifest", arguments.manifest, "--output", output, "--no_report"]
        with contextlib.redirect_stdout(io.StringIO()):  # it would name files that are soon gone
            code = launch(run_of(options.parse([*where, *job])))
        if code not in (0, 3):
            return code
        counted = {row.recording: row.call_count for row in read_counts(output)}
    found = differences(expected, counted)
    for line in found:
        print(f"capuchinbird canaries: {line}", file=sys.stderr)
    print(f"{len(expected) - len(found)} of {len(expected)} canaries came out as they should")
    return EXIT_DIFFERENT if found else 0
