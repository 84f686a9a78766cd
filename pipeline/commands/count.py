"""Count the calls in recordings."""

from __future__ import annotations

from collections.abc import Sequence

from model.quiet import without_collecting, without_unused_libraries
from pipeline.options import COUNT, parse

COMMAND = COUNT


def main(argv: Sequence[str]) -> int:
    """Runs the job. Returns an exit code, see ``options.EXIT_CODES``."""
    config = parse(argv)
    from pipeline.rerun import done_already
    from pipeline.run import run_of

    run = run_of(config)
    if not config.share and (code := done_already(run)) is not None:
        return code
    with without_collecting(), without_unused_libraries():
        import pyarrow as pa

        from pipeline.launch import launch  # imports Beam, for which no one else need wait
        from pipeline.sharing.processes import command_of

        pa.array([])  # PyArrow looks for pandas when it first makes an array, and never again

    return launch(run, command_of(argv))
