"""Say where an output stands: shares that have ended, are counted now or are missing; recordings
done, failed and left; speed and time left. It reads what runs note every ten seconds, changes
nothing, and may be asked at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pipeline.commands import OutputFlags
from pipeline.options import Command, UsageError, say

COMMAND = Command("status", OutputFlags, __doc__, ("status results", "status results --json"))


def main(argv: Sequence[str]) -> None:
    """Prints it. UsageError: no run has written."""
    flags = COMMAND.parse(argv)
    from pipeline.sharing.status import state_in_words, state_of

    state = state_of(flags.output)
    if state is None:
        raise UsageError(f"--output {flags.output}: no run has written there")
    say(state_in_words(state), **asdict(state))
