"""Cut calls out of the recordings of a run: FLAC or WAV as recorded, with the start in the name,
GUANO inside, and a table clips.csv.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.commands import LABELS, Deployments, Results, Seed
from pipeline.options import Command, Flag, UsageError, refusing, say
from pipeline.options.values import above, at_least, not_negative


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: Results
    output: Annotated[str, Flag("folder to make, with one for each site", "DIR")] = "clips"
    per_site: Annotated[int, Flag("at most so many of each site", "N", at_least(1))] = 50
    percent: Annotated[
        float, Flag("of each site's calls, rounded up (default: all)", "P", above(0, 100))
    ] = 100.0
    choose: Annotated[
        Literal["balanced", "strongest", "random"],
        Flag("balanced: as many as possible from each tenth of the scores' range in log odds"),
    ] = "balanced"
    pad_s: Annotated[float, Flag("audio before and after", "SECONDS", not_negative)] = 1.0
    audio: Annotated[Literal["flac", "wav"], Flag("format of the clips")] = "flac"
    labels: Annotated[tuple[str, ...], Flag(LABELS + ": what is no call is left out", "FILE")] = ()
    deployments: Deployments = ""
    seed: Seed = 0


COMMAND = Command(
    "clips",
    Flags,
    __doc__,
    ("clips results --output clips", "clips results --output clips --per_site 20"),
)


def main(argv: Sequence[str]) -> int:
    """Cuts the clips. Returns 0; there is nothing to cut: UsageError."""
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
    return 0
