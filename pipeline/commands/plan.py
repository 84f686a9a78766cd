"""Say how many files and hours of audio there are, what is done already, and what counting the rest
would take here, or take and cost on Dataflow. Starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.options import count_command, parse

COMMAND = count_command("plan", __doc__, "plan recordings/ --output results", plan=True)


def main(argv: Sequence[str]) -> int:
    """Takes the flags of ``count``. Returns an exit code, see ``options.EXIT_CODES``."""
    config = parse(argv, command=COMMAND)
    from pipeline.launch import launch
    from pipeline.run import run_of

    return launch(run_of(config), argv)
