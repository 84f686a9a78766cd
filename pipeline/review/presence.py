"""Which calls to listen to until each site and visit has a confirmed call, or none that can be one.

One confirmed call settles a visit, so people listen to its calls from the highest score down and
stop at the first one that is right. This leaves no false presence, for a fraction of the listening.
It is no random sample: it says which visits have the species, not how many calls there are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest

from pipeline.review.sample import Sample
from pipeline.survey.findings import Finding, Survey
from pipeline.survey.histories import VisitKind, visit_of_finding
from pipeline.survey.labels import PRESENCE, Label


@dataclass(frozen=True)
class Round:
    """Clips to listen to, with what earlier labels have settled.

    Attributes:
        sample: the clips, by site, visit and falling score.
        visits: sites and visits with a call of the model.
        confirmed: those with a confirmed call.
        refuted: those whose calls somebody has listened to and denied, all of them.
        waiting: clips of other visits that did not fit.
    """

    sample: Sample
    visits: int
    confirmed: int
    refuted: int
    waiting: int


def next_round(survey: Survey, kind: VisitKind, most: int) -> Round:
    """The clips to listen to next: the best of each open visit, then the second best, and so on.

    Args:
        survey: an output's recordings and findings, with the labels so far.
        kind: of visits.
        most: clips at once.
    """
    of_visit: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in survey.findings:
        if visit := visit_of_finding(finding, kind):
            of_visit[finding.recording.site, visit.isoformat()].append(finding)
    confirmed = {key for key, some in of_visit.items() if any(one.is_verified for one in some)}
    queues = {
        key: sorted(
            (one for one in some if one.verdict is None),
            key=lambda one: (-(one.score or 0.0), one.recording.recording, one.start_s),
        )
        for key, some in sorted(of_visit.items())
        if key not in confirmed
    }
    by_rank = zip_longest(*([(key, one) for one in queue] for key, queue in queues.items()))
    ranked = [pair for same_rank in by_rank for pair in same_rank if pair]
    drawn = sorted(ranked[:most], key=lambda pair: pair[0])  # stable: scores go on falling
    return Round(
        Sample(
            clips=tuple(_clip(finding) for _, finding in drawn),
            visits=tuple(f"{kind} of {visit}" for (_, visit), _ in drawn),
        ),
        visits=len(of_visit),
        confirmed=len(confirmed),
        refuted=sum(all(one.is_refuted for one in some) for key, some in of_visit.items()),
        waiting=len(ranked) - len(drawn),
    )


def _clip(finding: Finding) -> Label:
    return Label(
        recording=finding.recording.recording,
        start_s=finding.start_s,
        end_s=finding.end_s,
        score=finding.score,
        site=finding.recording.site,
        stratum=PRESENCE,
        label="unsure",
    )
