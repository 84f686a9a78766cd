"""Draw a random sample of a run, stratified by score and site and partly from below the threshold,
and make a page on which a person labels it by ear. Or, with --presence, find out with few clips at
which visits the species was there. Nothing is scored again, and only the clips are decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.commands import DEPLOYMENTS, LABELS, RESULTS, SEED, SPEECH, Speech, check_speech
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import at_least

if TYPE_CHECKING:
    from pipeline.records import DetectedCall
    from pipeline.review.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    output: str = flag(
        "folder for review.html and clips.csv (default: RESULTS/review, or RESULTS/presence)",
        "DIR",
        default="",
    )
    clips: int = flag("how many to draw", "N", at_least(1), default=200)
    seed: int = flag(SEED, default=0)
    speech: Speech = flag(SPEECH, default="")
    presence: bool = flag(
        "no random sample: for each site and visit the calls of the highest scores, until one is "
        "confirmed; for histories",
        default=False,
    )
    visit: Literal["night", "day", "week"] = flag(
        "with --presence: what a confirmed call settles", default="night"
    )
    labels: tuple[str, ...] = flag(
        f"with --presence: {LABELS}: what is settled is left out", "FILE", default=()
    )
    deployments: str = flag(DEPLOYMENTS, default="")


COMMAND = Command(
    "review",
    Flags,
    __doc__,
    ("review results", "review results --clips 120", "review results --presence --visit night"),
)


def main(argv: Sequence[str]) -> None:
    """Makes the review. UsageError: no tables or scores of a run there."""
    flags = COMMAND.parse(argv)
    check_speech(flags.speech)
    if not flags.presence and (flags.labels or flags.deployments):
        raise UsageError("--labels and --deployments: only with --presence")
    with refusing(OSError):
        (_review_visits if flags.presence else _review_sample)(flags)


def _review_sample(flags: Flags) -> None:
    from pipeline.review.frame import read_frame
    from pipeline.review.sample import draw_sample
    from pipeline.tables.read import read_results

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
    page, n = _write(flags, sample, results.calls, "review")
    if frame.without_scores:
        COMMAND.remark(
            f"{frame.without_scores:,} counted recordings have no kept scores and are left out"
        )
    say("bin (kind and scores)             stretches   clips")
    for bin_, of_site in sample.strata.items():
        n_drawn = sum(clip.stratum == bin_.name for clip in sample.clips)
        say(f"{bin_.name:32} {sum(of_site.values()):>10,} {n_drawn:>7,}")
    say(
        f"{n} clips, seed {flags.seed}: open {page}\n"
        f"next: capuchinbird verify {flags.run} --labels labels.csv",
        page=page,
        clips=n,
    )


def _review_visits(flags: Flags) -> None:
    from pipeline.review.presence import next_round
    from pipeline.survey.findings import read_survey
    from pipeline.survey.histories import left_out

    with refusing(ValueError):
        survey = read_survey(flags.run, flags.deployments, flags.labels)
    round_ = next_round(survey, flags.visit, flags.clips)
    COMMAND.remark(*left_out(survey))
    if not round_.visits:
        raise UsageError(f"{flags.run}: no call there at a site and time that are known")
    say(
        f"{round_.visits:,} {flags.visit}s with calls at their sites: {round_.confirmed:,} "
        f"confirmed, {round_.refuted:,} without a call after all",
        visits=round_.visits,
        confirmed=round_.confirmed,
        refuted=round_.refuted,
        waiting=round_.waiting,
    )
    labels = "".join(f" --labels {name}" for name in (*flags.labels, "labels.csv"))
    if not round_.sample.clips:
        say(f"nothing is left to hear\nnext: capuchinbird histories {flags.run}{labels}", clips=0)
        return
    calls = [finding.call for finding in survey.findings if finding.call]
    page, n = _write(flags, round_.sample, calls, "presence")
    say(
        f"{n} clips, {round_.waiting:,} more wait: open {page}\n"
        f"next: capuchinbird review {flags.run} --presence{labels}",
        page=page,
        clips=n,
    )


def _write(
    flags: Flags, sample: Sample, calls: Sequence[DetectedCall], folder: str
) -> tuple[str, int]:
    """Writes the page. Returns its name and how many clips it has."""
    from pipeline.review.page import write_review
    from pipeline.storage import files

    folder = flags.output or files.join(flags.run, folder)
    page, problems = write_review(sample, calls, folder, flags.speech)
    COMMAND.remark(*(f"skipped: {problem}" for problem in problems))
    if len(problems) == len(sample.clips):
        raise UsageError(f"{flags.run}: none of its recordings can be read from here")
    return page, len(sample.clips) - len(problems)
