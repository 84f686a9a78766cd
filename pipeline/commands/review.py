"""Draw clips of a run, and make a page on which a person labels them by ear."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipeline.commands import add_speech, check_speech
from pipeline.options import Parser, UsageError


def parser() -> Parser:
    """The flags."""
    result = Parser(
        prog="capuchinbird review",
        example="review results",
        description="Draw a random sample of a run, stratified by score and site and partly from "
        "below the threshold, and make a page on which a person labels it by ear. Nothing is "
        "scored again, and only the clips are decoded.",
    )
    result.add_argument(
        "run", metavar="RESULTS", help="output folder of a run, here or in a bucket (gs://)"
    )
    result.add_argument(
        "--output",
        metavar="DIR",
        help="folder for review.html and clips.csv (default: RESULTS/review)",
    )
    result.add_argument("--clips", type=int, default=200, metavar="N", help="(default: 200)")
    result.add_argument(
        "--seed", type=int, default=0, help="decides which clips are drawn (default: 0)"
    )
    add_speech(result)
    return result


def main(argv: Sequence[str]) -> int:
    """Makes the review. Returns 0; no tables or scores of a run there: UsageError."""
    command = parser()
    flags = command.parse_args(argv)
    if flags.clips < 1:
        command.error(f"--clips {flags.clips}: it must be 1 or more")
    check_speech(flags.speech)
    from pipeline.review.frame import read_frame
    from pipeline.review.page import write_review
    from pipeline.review.sample import draw_sample
    from pipeline.storage import files
    from pipeline.tables.read import read_results

    try:
        results = read_results(flags.run)
        frame = read_frame(flags.run, results)
        if not frame.recordings:
            raise UsageError(
                f"{flags.run}: no scores of counted recordings were kept there; count once more "
                "into a new folder"
            )
        sample = draw_sample(flags.run, results, frame, flags.clips, flags.seed)
        if not sample.clips:
            raise UsageError(f"{flags.run}: its recordings are too short to draw a clip from")
        folder = flags.output or files.join(flags.run, "review")
        page, problems = write_review(sample, results.calls, folder, flags.speech)
    except OSError as error:
        raise UsageError(str(error)) from None
    for problem in problems:
        print(f"capuchinbird review: skipped: {problem}", file=sys.stderr)
    if len(problems) == len(sample.clips):
        raise UsageError(f"{flags.run}: none of its recordings can be read from here")
    if frame.without_scores:
        print(
            f"capuchinbird review: {frame.without_scores:,} counted recordings have no kept scores "
            "and are left out",
            file=sys.stderr,
        )
    print("bin (kind and scores)             stretches   clips")
    for bin_, of_site in sample.strata.items():
        n = sum(clip.stratum == bin_.name for clip in sample.clips)
        print(f"{bin_.name:32} {sum(of_site.values()):>10,} {n:>7,}")
    print(f"{len(sample.clips) - len(problems)} clips, seed {flags.seed}: open {page}")
    print(f"next: capuchinbird verify {flags.run} --labels labels.csv")
    return 0
