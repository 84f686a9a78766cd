"""Cut calls out of the recordings of a run, each as an audio file of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.commands import add_labels
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird clips",
        example="clips results --output clips",
        description="Cut calls out of the recordings of a run: FLAC or WAV as recorded, with the "
        "start in the name, GUANO inside, and a table clips.csv. For example:"
        "\n  capuchinbird clips results --output clips --per_site 20",
    )
    add = result.add_argument
    add("run", metavar="RESULTS", help="output folder of a run, here or in a bucket (gs://)")
    add("--output", default="clips", metavar="DIR", help="folder to make, with one for each site")
    add("--per_site", type=int, default=50, metavar="N", help="at most so many of each site")
    add(
        "--percent",
        type=float,
        default=100.0,
        metavar="P",
        help="of each site's calls, rounded up (default: all)",
    )
    add(
        "--choose",
        choices=("balanced", "strongest", "random"),
        default="balanced",
        help="balanced: as many as possible from each tenth of the scores' range in log odds",
    )
    add("--pad_s", type=float, default=1.0, metavar="SECONDS", help="audio before and after")
    add("--audio", choices=("flac", "wav"), default="flac", help="format of the clips")
    add_labels(add, ": what is no call is left out")
    add("--deployments", default="", metavar="FILE", help="sites and zones, as count takes them")
    add("--seed", type=int, default=0, help="decides what is drawn (default: 0)")
    return result


def main(argv: Sequence[str]) -> int:
    """Cuts the clips. Returns 0; there is nothing to cut: UsageError."""
    flags = parser().parse_args(argv)
    if flags.per_site < 1 or not 0 < flags.percent <= 100 or flags.pad_s < 0:
        raise UsageError(
            "--per_site must be at least 1, --percent above 0 up to 100, --pad_s not negative"
        )
    import numpy as np

    from pipeline.exports.clips import choose_findings, cut_clips
    from pipeline.survey.findings import read_survey

    try:
        survey = read_survey(flags.run, flags.deployments, flags.labels)
        found = [finding for finding in survey.findings if not finding.is_refuted]
        rng = np.random.default_rng(flags.seed)
        amount = flags.per_site, flags.percent / 100
        chosen = choose_findings(found, *amount, flags.choose, rng)
        if not chosen:
            raise UsageError(f"{flags.run}: holds no call to cut out")
        saved, problems = cut_clips(chosen, flags.output, flags.pad_s, flags.audio)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    for problem in problems:
        print(f"capuchinbird clips: skipped: {problem}", file=sys.stderr)
    if not saved:
        raise UsageError(f"{flags.run}: none of its recordings can be read from here")
    print(f"{flags.output}: {len(saved):,} of {len(found):,} calls, and clips.csv")
    return 0
