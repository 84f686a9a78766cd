"""Match the calls that neighbouring recorders caught, and write capture histories for spatial
capture-recapture (R's secr and ascr): a call that three recorders heard is one call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import DEPLOYMENTS, LABELS, RESULTS
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import above, not_negative


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag("folder to make", "DIR", default="captures")
    range_m: float = flag(
        "no call is heard at two places further apart", "METRES", above(0), default=1000.0
    )
    clock_error_s: float = flag(
        "how much two recorders' clocks may differ", "SECONDS", not_negative, default=1.0
    )
    deployments: str = flag(DEPLOYMENTS, default="")
    labels: tuple[str, ...] = flag(LABELS, "FILE", default=())


COMMAND = Command("captures", Flags, __doc__, ("captures results --clock_error_s 0.1",))


def main(argv: Sequence[str]) -> None:
    """Writes the histories. UsageError: no two recorders with positions are near enough."""
    flags = COMMAND.parse(argv)
    from pipeline.storage import files
    from pipeline.survey.captures import captures, tables_of_captures, traps_of
    from pipeline.survey.findings import read_survey
    from pipeline.survey.histories import left_out

    with refusing(OSError, ValueError):
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        traps = traps_of(survey, flags.range_m)
        if max(Counter(trap.array for trap in traps).values(), default=0) < 2:
            raise UsageError(
                f"{flags.run}: no two sites with positions lie within {flags.range_m:g} m of each "
                "other; give positions with --deployments, or a larger --range_m"
            )
        caught = captures(survey, traps, flags.range_m, flags.clock_error_s)
        for name, content in tables_of_captures(traps, caught):
            files.write_atomically(files.join(flags.output, name), [content])
    COMMAND.remark(*left_out(survey))
    heard_by = Counter(Counter((one.session, one.call) for one in caught).values())
    n_calls = sum(heard_by.values())
    n_ambiguous = len({(one.session, one.call) for one in caught if one.is_ambiguous})
    by_recorders = ", ".join(f"{calls:,} by {n}" for n, calls in sorted(heard_by.items()))
    say(
        f"{files.join(flags.output, 'captures.csv')}: {len(caught):,} detections of {n_calls:,} "
        f"calls ({by_recorders or 'none'} recorders); {n_ambiguous:,} may be put together wrongly",
        output=flags.output,
        detections=len(caught),
        calls=n_calls,
        ambiguous=n_ambiguous,
    )
