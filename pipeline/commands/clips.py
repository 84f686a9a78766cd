"""Cut calls out of the recordings of a run: FLAC or WAV as recorded, with the start in the name,
GUANO inside, and a table clips.csv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.commands import DEPLOYMENTS, LABELS, RESULTS, SEED
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import above, at_least, not_negative


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag("folder to make, with one for each site", "DIR", default="clips")
    per_site: int = flag("at most so many of each site", "N", at_least(1), default=50)
    percent: float = flag(
        "of each site's calls, rounded up (default: all)", "P", above(0, 100), default=100.0
    )
    choose: Literal["balanced", "strongest", "random"] = flag(
        "balanced: as many as possible from each tenth of the scores' range in log odds",
        default="balanced",
    )
    pad_s: float = flag("audio before and after", "SECONDS", not_negative, default=1.0)
    audio: Literal["flac", "wav"] = flag("format of the clips", default="flac")
    labels: tuple[str, ...] = flag(LABELS + ": what is no call is left out", "FILE", default=())
    deployments: str = flag(DEPLOYMENTS, default="")
    seed: int = flag(SEED, default=0)


COMMAND = Command(
    "clips",
    Flags,
    __doc__,
    ("clips results --output clips", "clips results --output clips --per_site 20"),
)


def main(argv: Sequence[str]) -> None:
    """Cuts the clips. UsageError: there is nothing to cut."""
    flags = COMMAND.parse(argv)
    import numpy as np

    from pipeline.exports.clips import choose_findings, cut_clips
    from pipeline.survey.findings import read_survey

    with refusing(OSError, ValueError):
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        findings = [finding for finding in survey.findings if not finding.is_refuted]
        rng = np.random.default_rng(flags.seed)
        amount = flags.per_site, flags.percent / 100
        chosen = choose_findings(findings, *amount, flags.choose, rng)
        if not chosen:
            raise UsageError(f"{flags.run}: holds no call to cut out")
        saved, problems = cut_clips(chosen, flags.output, flags.pad_s, flags.audio)
    COMMAND.remark(*(f"skipped: {problem}" for problem in problems))
    if not saved:
        raise UsageError(f"{flags.run}: none of its recordings can be read from here")
    say(
        f"{flags.output}: {len(saved):,} of {len(findings):,} calls, and clips.csv",
        output=flags.output,
        clips=len(saved),
        calls=len(findings),
    )
