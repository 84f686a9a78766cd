"""Cut the clips of a run that a person should check.

The folder that it makes is itself training data. ``annotations.csv`` there holds what the model
says: correct it while looking at ``review.html`` or, clip by clip, at the Raven tables. Then train
with both: ``capuchinbird train DATA REVIEW``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird review",
        example="review results --output check",
        description="Cut the clips of a run that a person should check, ready to correct: doubtful "
        "ones, the strongest, and some drawn at random. Nothing is scored again.",
    )
    result.add_argument(
        "run", metavar="RUN", help="output folder of a run, here or in a bucket (gs://)"
    )
    result.add_argument(
        "--output", default="review", metavar="DIR", help="folder to make (default: review)"
    )
    result.add_argument(
        "--clips",
        type=int,
        default=20,
        metavar="N",
        help="of each of the three kinds (default: 20)",
    )
    result.add_argument(
        "--seed", type=int, default=0, help="decides the clips drawn at random (default: 0)"
    )
    return result


def main(argv: Sequence[str]) -> int:
    """Makes the review. Returns 0; no tables of a run there: UsageError."""
    flags = parser().parse_args(argv)
    import numpy as np

    from pipeline.report.review import choose_clips, peaks_below, write_review
    from pipeline.tables.read import read_results

    try:
        results = read_results(flags.run)
        below = peaks_below(flags.run, results, flags.clips)
        clips = choose_clips(results, below, flags.clips, np.random.default_rng(flags.seed))
        page, problems = write_review(clips, flags.output)
    except OSError as error:
        raise UsageError(str(error)) from None
    for problem in problems:
        print(f"capuchinbird review: skipped: {problem}", file=sys.stderr)
    n = len(clips) - len(problems)
    print(f"{n} clips: look at {page}, correct annotations.csv there")
    return 0
