"""Which recorders caught the same call: capture histories for spatial capture-recapture.

A bird that several recorders hear is one bird. Two detections can be of one call where sound could
have come from it to both recorders in time: they differ by no more than the distance between the
recorders over the speed of sound, and what clocks and onsets are wrong by (Dawson and Efford 2009,
Journal of Applied Ecology 46; Stevenson et al. 2015, Methods in Ecology and Evolution 6).

Times are good to ``ONSET_ERROR_S``, in which sound travels 50 m. So the histories say who heard a
call; they do not say from where it came.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.records import SCORE_DIGITS
from pipeline.survey.findings import Finding, Survey
from pipeline.survey.histories import visit_of_finding
from pipeline.tables.cell_text import encode, guard_path, guard_text
from pipeline.tables.csv_text import csv_line

SOUND_M_PER_S = 346.0
"""Speed of sound in air at 25 °C."""

ONSET_ERROR_S = 0.15
"""How far a detection may lie from the call's beginning: onsets are 0.128 s apart."""

METRES_A_DEGREE = 111_195
"""Of latitude, on a sphere of the earth's mean radius."""


@dataclass(frozen=True)
class Trap:
    """A recorder's place.

    Attributes:
        number: among those of its array, from 1.
        x_m, y_m: metres east and north of the array's first recorder.
    """

    array: int
    number: int
    site: str
    x_m: float
    y_m: float


@dataclass(frozen=True)
class Capture:
    """A call, as one recorder caught it.

    Attributes:
        session: an array and night, from 1.
        call: number of the call in its session, from 1; equal where recorders caught the same.
        moment_s: when it began there, seconds since 1970, UTC.
        is_ambiguous: whether it could as well be part of another call.
    """

    session: int
    night: str
    call: int
    trap: Trap
    moment_s: float
    finding: Finding
    is_ambiguous: bool


def traps_of(survey: Survey, range_m: float) -> list[Trap]:
    """The places of a survey, by array: each within ``range_m`` of another one of it.

    Sites without a position are left out.
    """
    at = {
        row.site: (row.latitude, row.longitude)
        for row in survey.recordings
        if row.site and row.latitude is not None and row.longitude is not None
    }
    traps: list[Trap] = []
    waiting = dict(sorted(at.items()))
    n_arrays = 0
    while waiting:
        n_arrays += 1
        first, origin = next(iter(waiting.items()))
        reached = [first]
        for site in reached:  # grows as it goes
            near = [s for s in waiting if s not in reached and _apart_m(at[s], at[site]) <= range_m]
            reached += near
        for number, site in enumerate(sorted(reached), start=1):
            x_m, y_m = _metres(origin, waiting.pop(site))
            traps.append(Trap(n_arrays, number, site, x_m, y_m))
    return traps


def _metres(origin: tuple[float, float], place: tuple[float, float]) -> tuple[float, float]:
    """East and north of an origin: good to a metre over some kilometres."""
    scale = METRES_A_DEGREE * math.cos(math.radians(origin[0]))
    return (place[1] - origin[1]) * scale, (place[0] - origin[0]) * METRES_A_DEGREE


def _apart_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    return math.hypot(*_metres(one, other))


def captures(
    survey: Survey, traps: Sequence[Trap], range_m: float, clock_error_s: float
) -> list[Capture]:
    """All calls that nobody denied, at a known place and time, by session and call.

    Args:
        survey: recordings and findings.
        traps: from ``traps_of``.
        range_m: no call is heard at two places further apart.
        clock_error_s: how much two clocks may differ.
    """
    of_site = {trap.site: trap for trap in traps}
    sessions: dict[tuple[int, str], list[tuple[float, Trap, Finding]]] = defaultdict(list)
    for finding in survey.findings:
        trap = of_site.get(finding.recording.site)
        evening = visit_of_finding(finding, "night")
        if trap and evening and finding.moment and not finding.is_refuted:
            key = trap.array, evening.isoformat()
            sessions[key].append((finding.moment.timestamp(), trap, finding))
    found = []
    for session, ((_, night), some) in enumerate(sorted(sessions.items()), start=1):
        some.sort(key=lambda one: (one[0], one[1].number))
        groups = match([(moment_s, trap) for moment_s, trap, _ in some], range_m, clock_error_s)
        for call, (members, is_ambiguous) in enumerate(groups, start=1):
            found += [
                Capture(session, night, call, trap, moment_s, finding, is_ambiguous)
                for moment_s, trap, finding in (some[member] for member in members)
            ]
    return found


def match(
    detections: Sequence[tuple[float, Trap]], range_m: float, clock_error_s: float
) -> list[tuple[list[int], bool]]:
    """Detections that can be of one call: indices in order of time, and whether others could be.

    In a group each two detections fit each other, and no recorder has two. Detections that are
    nearest in time are joined first.

    Args:
        detections: when each began, in seconds, in order, and where.
        range_m, clock_error_s: see ``captures``.
    """
    slack_s = clock_error_s + 2 * ONSET_ERROR_S
    longest_s = range_m / SOUND_M_PER_S + slack_s
    fitting: set[tuple[int, int]] = set()
    for index, (moment_s, trap) in enumerate(detections):
        for later, (later_s, elsewhere) in enumerate(detections[index + 1 :], start=index + 1):
            if later_s - moment_s > longest_s:
                break
            apart_m = math.hypot(trap.x_m - elsewhere.x_m, trap.y_m - elsewhere.y_m)
            in_time = later_s - moment_s <= apart_m / SOUND_M_PER_S + slack_s
            if in_time and apart_m <= range_m and trap.number != elsewhere.number:
                fitting.add((index, later))
    group_of = {index: [index] for index in range(len(detections))}
    ambiguous: set[int] = set()
    for one, other in sorted(fitting, key=lambda p: (detections[p[1]][0] - detections[p[0]][0], p)):
        mine, yours = group_of[one], group_of[other]
        if mine is yours:
            continue
        if all((min(a, b), max(a, b)) in fitting for a in mine for b in yours):
            mine += yours
            group_of.update(dict.fromkeys(yours, mine))
        else:
            ambiguous |= {one, other}
    groups = {id(group): sorted(group) for group in group_of.values()}
    return [(members, not ambiguous.isdisjoint(members)) for members in sorted(groups.values())]


CAPTURE_COLUMNS = (
    "Session", "ID", "Occasion", "Detector",
    "night", "site", "called_at", "score", "confirmed", "ambiguous", "recording", "start_s",
)  # fmt: skip
"""The first four are those that ``make.capthist`` of R's secr and ``create.capt`` of ascr take."""


def tables_of_captures(
    traps: Sequence[Trap], caught: Sequence[Capture]
) -> Iterator[tuple[str, bytes]]:
    """Every file of a folder of captures: its name and its content."""
    lines = [csv_line(CAPTURE_COLUMNS)]
    for one in caught:
        finding = one.finding
        score = "" if finding.score is None else f"{finding.score:.{SCORE_DIGITS}f}"
        lines.append(
            csv_line(
                [
                    *(str(n) for n in (one.session, one.call, 1, one.trap.number)),
                    one.night,
                    guard_text(one.trap.site),
                    finding.moment.isoformat(timespec="milliseconds") if finding.moment else "",
                    score,
                    str(int(finding.is_verified)),
                    str(int(one.is_ambiguous)),
                    guard_path(finding.recording.recording),
                    f"{finding.start_s:.3f}",
                ]
            )
        )
    yield "captures.csv", encode("".join(lines))
    sessions = sorted({(one.session, one.trap.array, one.night) for one in caught})
    lines = [csv_line(["Session", "array", "night", "Detector", "site", "x_m", "y_m"])]
    for session, array, night in sessions:
        for trap in traps:
            if trap.array == array:
                place = [f"{trap.x_m:.1f}", f"{trap.y_m:.1f}"]
                cells = [str(session), str(array), night, str(trap.number), guard_text(trap.site)]
                lines.append(csv_line([*cells, *place]))
    yield "traps.csv", encode("".join(lines))
