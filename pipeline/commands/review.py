"""Draw clips of a run, and make a page on which a person labels them by ear."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pipeline.commands import Results, Seed, Speech, check_speech
from pipeline.options import Command, Flag, UsageError, say
from pipeline.options.values import at_least


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: Results
    output: Annotated[
        str, Flag("folder for review.html and clips.csv (default: RESULTS/review)", "DIR")
    ] = ""
    clips: Annotated[int, Flag("how many to draw", "N", at_least(1))] = 200
    seed: Seed = 0
    speech: Speech = ""


COMMAND = Command(
    "review",
    Flags,
    "Draw a random sample of a run, stratified by score and site and partly from below the "
    "threshold, and make a page on which a person labels it by ear. Nothing is scored again, and "
    "only the clips are decoded.",
    ("review results", "review results --clips 120"),
)


def main(argv: Sequence[str]) -> int:
    """Makes the review. Returns 0; no tables or scores of a run there: UsageError."""
    flags = COMMAND.parse(argv)
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
    say("bin (kind and scores)             stretches   clips")
    for bin_, of_site in sample.strata.items():
        n = sum(clip.stratum == bin_.name for clip in sample.clips)
        say(f"{bin_.name:32} {sum(of_site.values()):>10,} {n:>7,}")
    n = len(sample.clips) - len(problems)
    say(
        f"{n} clips, seed {flags.seed}: open {page}\n"
        f"next: capuchinbird verify {flags.run} --labels labels.csv",
        page=page,
        clips=n,
    )
    return 0
