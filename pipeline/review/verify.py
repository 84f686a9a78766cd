"""From labels to figures: verified.csv, verified.json."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from model.calls import Floats, probabilities
from pipeline.records import SCHEMA_VERSION, VerifiedCount
from pipeline.review.density import (
    DRAWS,
    Curve,
    Draws,
    Flags,
    Labelled,
    cohens_kappa,
    curve_of,
    estimate,
    estimate_sites,
    interval,
    shifted_shares,
)
from pipeline.review.frame import Frame, read_frame
from pipeline.review.sample import Stratum
from pipeline.review.units import CALL, KINDS, N_LEVELS, REST, Integers, level_of, log_odds_of_level
from pipeline.storage import files
from pipeline.survey.labels import BROWSED, PRESENCE, STRATUM, Label, named_today, read_labels
from pipeline.tables.cell_text import encode
from pipeline.tables.csv_text import csv_line
from pipeline.tables.read import VERIFIED, RunResults, read_results
from pipeline.tables.schema import cells, columns_of

DRAW_SEED = 0
"""Seed of the draws: the same labels give the same figures."""

_SAME_S = 0.01


class LabelError(ValueError):
    """Labels of other results. The message names them and a remedy."""


@dataclass(frozen=True)
class AnsweredUnit:
    """A unit with the observers' answers.

    Attributes:
        unit: as drawn, without a label.
        label: yes, no or unsure, by observer.
        birds: number of calls, by observers with a yes.
    """

    unit: Label
    label: Mapping[str, str]
    birds: Mapping[str, int]

    @property
    def decided(self) -> list[str]:
        """Labels other than unsure."""
        return [label for label in self.label.values() if label != "unsure"]

    @property
    def yes(self) -> float:
        """Share of yes among the decided labels."""
        return self.decided.count("yes") / len(self.decided)

    @property
    def extra(self) -> float:
        """Mean number of calls beyond the first over the decided labels."""
        return sum(n - 1 for n in self.birds.values()) / len(self.decided)


_NO_SAMPLES = {
    STRATUM: "annotations of whole recordings",
    PRESENCE: "labels of a review for presence",
    BROWSED: "labels given while browsing",
}


@dataclass(frozen=True)
class Verification:
    """Estimates for an output.

    Attributes:
        rows: all sites together, then each.
        document: the content of verified.json: curve, bins, agreement.
        warnings: for the user, a line each.
    """

    rows: tuple[VerifiedCount, ...]
    document: Mapping[str, Any]
    warnings: tuple[str, ...]


def verify(output: str, tables: Sequence[str], min_precision: float) -> Verification:
    """Estimates the calls of an output from labels of its clips.

    Args:
        output: the folder of a run.
        tables: labels.csv, or those of several observers or samples.
        min_precision: goal of the suggested threshold, 0 to 1.

    Raises:
        ValueError: unreadable labels, or labels of other results.
        OSError: no tables of a run, or an unreadable table.
    """
    labels = [label for name in tables for label in read_labels(name)]
    for stratum, what in _NO_SAMPLES.items():
        if any(label.stratum == stratum for label in labels):
            raise LabelError(
                f"{', '.join(tables)}: {what} are no random sample; give the labels of a plain "
                "review only"
            )
    results = read_results(output)
    answered = combine(named_today(labels, {r.recording for r in results.recordings}, output))
    if not any(unit.decided for unit in answered):
        raise LabelError(f"{', '.join(tables)}: no clip is labelled yes or no")
    answered = of_these_results(answered, results, output)
    frame = read_frame(output, results)
    if not frame.recordings:
        raise LabelError(f"{output}: no scores were kept there; count once more into a new folder")
    sites = list(frame.units)
    strata = strata_in(answered)
    sample = tabulate(answered, strata, frame, results)
    rng = np.random.default_rng(DRAW_SEED)
    both, by_site = estimate(sample, rng), estimate_sites(sample, rng)
    curve = curve_of(sample)
    shares = shifted_shares(sample.units, both.rates.mean(0))
    birds = float(both.calls.sum() / max(both.yes.sum(), 1e-9))
    common: dict[str, Any] = {
        "threshold": _threshold(results),
        "wanted_precision": min_precision,
        "model_version": next((r.model_version for r in results.recordings), ""),
        "run_id": max((r.run_id for r in results.recordings), default=""),
        "schema_version": SCHEMA_VERSION,
    }
    scopes = [(sites, both)]
    if any(sites):
        scopes += [([site], draws) for site, draws in zip(sites, by_site, strict=True)]
    rows = []
    for some, draws in scopes:
        is_site = draws is not both
        at = [sites.index(site) for site in some]
        units = sum((frame.units[site] for site in some), np.zeros((len(KINDS), N_LEVELS), int))
        here = [unit for unit in answered if unit.unit.site == some[0] or not is_site]
        candidates = sample.units[at].sum(0)
        recorded_s = sum(frame.recorded_s[site] for site in some)
        by_scores = float(shares[at[0]]) * int(candidates.sum()) * birds
        rows.append(
            VerifiedCount(
                scope="site" if is_site else "all",
                site=some[0] if is_site else "",
                recorded_h=recorded_s / 3600,
                counted_calls=int(units[CALL].sum()),
                labelled=sum(bool(unit.decided) for unit in here),
                unsure=sum(not unit.decided for unit in here),
                **_figures(draws, sample.counted, candidates, recorded_s),
                calls_by_scores=by_scores if is_site and len(sites) > 1 else None,
                threshold_wanted=threshold_for(
                    min_precision, units, curve, draws.yes.mean(0), strata, common["threshold"]
                ),
                **common,
            )
        )
    document = {
        "method": "call density (Navine et al. 2024), see docs/verifying.md",
        "seed": DRAW_SEED,
        "draws": DRAWS,
        "threshold": common["threshold"],
        "labels": list(tables),
        "agreement": agreement_of(answered),
        "curve": {
            "says": "probability of a call = 1 / (1 + exp(-(offset + slope * log_odds(score))))",
            "offset": round(curve.offset, 4),
            "slope": round(curve.slope, 4),
            "applied": False,
        },
        "bins": [
            {
                "bin": bin_.name,
                "units": int(sample.units[:, b].sum()),
                "labelled": float(sample.labelled[:, b].sum()),
                "yes": float(sample.yes[:, b].sum()),
                "calls": [round(value, 1) for value in interval(both.calls[:, b])],
            }
            for b, bin_ in enumerate(strata)
        ],
    }
    return Verification(tuple(rows), document, tuple(_warnings(answered, sample, frame, sites)))


def combine(labels: Sequence[Label]) -> list[AnsweredUnit]:
    """One entry for each unit; of one observer's labels for it, the last one's."""
    units: dict[tuple[str, float, float], list[Label]] = defaultdict(list)
    for label in labels:
        units[label.recording, round(label.start_s, 2), round(label.end_s, 2)].append(label)
    answered = []
    for given in units.values():
        last = {label.observer: label for label in sorted(given, key=lambda g: g.labelled_at)}
        answered.append(
            AnsweredUnit(
                given[0],
                {observer: label.label for observer, label in last.items()},
                {o: label.n_birds or 1 for o, label in last.items() if label.label == "yes"},
            )
        )
    return answered


def of_these_results(
    answered: Sequence[AnsweredUnit], results: RunResults, output: str
) -> list[AnsweredUnit]:
    """Checks that labels belong to these results, and adds the results' sites.

    Raises:
        LabelError: an unknown recording, or calls of another count.
    """
    sites = {row.recording: row.site for row in results.recordings}
    calls: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for call in results.calls:
        calls[call.recording].append((call.start_s, call.end_s))
    placed = []
    for entry in answered:
        unit = entry.unit
        if unit.recording not in sites:
            raise LabelError(
                f"{unit.recording} is labelled but not in {output}; give the results that the "
                "clips were drawn from"
            )
        is_call = any(
            abs(start_s - unit.start_s) < _SAME_S and abs(end_s - unit.end_s) < _SAME_S
            for start_s, end_s in calls[unit.recording]
        )
        if is_call != unit.stratum.startswith(KINDS[CALL]):
            raise LabelError(
                f"{unit.recording} at {unit.start_s:g} s was {'no' if is_call else 'a'} counted "
                f"call when the clips were drawn; bring {output} back to that threshold with "
                "capuchinbird rescore, or draw new clips"
            )
        placed.append(replace(entry, unit=replace(unit, site=sites[unit.recording])))
    return placed


def strata_in(answered: Sequence[AnsweredUnit]) -> tuple[Stratum, ...]:
    """Bins that cover all scores, those of the sample with most labels.

    A bin without any label joins the next lower one.
    """
    n_of: dict[Stratum, int] = defaultdict(int)
    for entry in answered:
        n_of[_stratum(entry.unit)] += 1
    covering: list[Stratum] = []
    for bin_ in sorted(n_of, key=lambda b: -n_of[b]):
        if not any(
            b.kind == bin_.kind and b.first < bin_.end and bin_.first < b.end for b in covering
        ):
            covering.append(bin_)
    result = []
    for kind in range(len(KINDS)):
        firsts = sorted(bin_.first for bin_ in covering if bin_.kind == kind)
        edges = [0, *firsts[1:], N_LEVELS]
        result += [Stratum(kind, first, end) for first, end in pairwise(edges)]
    return tuple(result)


def _stratum(unit: Label) -> Stratum:
    try:
        return Stratum.from_name(unit.stratum)
    except ValueError:
        raise LabelError(
            f"{unit.recording} at {unit.start_s:g} s: stratum {unit.stratum!r} is none of a review"
        ) from None


def tabulate(
    answered: Sequence[AnsweredUnit], strata: Sequence[Stratum], frame: Frame, results: RunResults
) -> Labelled:
    """Labels and units by site and bin."""
    sites = list(frame.units)
    shape = len(sites), len(strata)
    units = np.array([[bin_.count(frame.units[site]) for bin_ in strata] for site in sites])
    labelled, yes, extra = (np.zeros(shape) for _ in range(3))
    for entry in answered:
        unit = entry.unit
        if not entry.decided or unit.site not in frame.units:
            continue
        drawn = _stratum(unit)
        middle = (
            (drawn.first + drawn.end) // 2 if drawn in strata else int(level_of(unit.score or 0.0))
        )
        b = next(
            i for i, bin_ in enumerate(strata)
            if bin_.kind == drawn.kind and bin_.first <= middle < bin_.end
        )  # fmt: skip
        at = sites.index(unit.site), b
        labelled[at] += 1
        yes[at] += entry.yes
        extra[at] += entry.extra
    together = sum(frame.units.values(), np.zeros((len(KINDS), N_LEVELS), np.int64))
    levels = log_odds_of_level(np.arange(N_LEVELS))
    means = []
    for bin_ in strata:
        of_bin = together[bin_.kind, bin_.first : bin_.end]
        inside = levels[bin_.first : bin_.end]
        means.append(np.average(inside, weights=of_bin) if of_bin.any() else inside.mean())
    return Labelled(
        units=units,
        labelled=labelled,
        yes=yes,
        extra=extra,
        evidence=np.array(means),
        counted=np.array([bin_.kind == CALL for bin_ in strata]),
    )


def _figures(draws: Draws, counted: Flags, units: Integers, recorded_s: float) -> dict[str, Any]:
    """Precision, recall and verified calls, in all and for each hour, with their intervals."""
    calls = draws.calls.sum(1)
    n_counted = int(units[counted].sum())
    right = draws.yes[:, counted].sum(1)
    of_all = draws.calls[:, counted].sum(1)
    some = calls > 0
    middle, low, high = interval(calls)
    return {
        **_with_bounds("precision", right / n_counted if n_counted else None),
        **_with_bounds("recall", of_all[some] / calls[some] if some.mean() > 0.5 else None),
        **_with_bounds("calls_per_h", calls / recorded_s * 3600 if recorded_s else None),
        "verified_calls": middle,
        "verified_low": low,
        "verified_high": high,
    }


def _with_bounds(name: str, draws: Floats | None) -> dict[str, Any]:
    """A figure with its 5 % and 95 % points."""
    values = (None, None, None) if draws is None else interval(draws)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def threshold_for(
    min_precision: float,
    units: Integers,
    curve: Curve,
    yes: Floats,
    strata: Sequence[Stratum],
    used: float,
) -> float | None:
    """The lowest threshold with a minimum precision; None if no threshold has it.

    A shift of the curve makes its expected number of units with a call equal to the estimate.

    Args:
        min_precision: 0 to 1.
        units: int64 ``[kinds, levels]``.
        curve: from log odds of a score to the probability of a call.
        yes: units with a call in each bin.
        strata: the bins.
        used: the threshold in use; the result if no score lies between it and a higher one.
    """
    alike = units[:REST].sum(0)
    if not alike.any():
        return None
    levels = log_odds_of_level(np.arange(N_LEVELS))
    target = sum(n for n, bin_ in zip(yes, strata, strict=True) if bin_.kind < REST)
    shifts = np.linspace(-8, 8, 321)
    chances = Curve(curve.offset, curve.slope)(levels + shifts[:, None] / curve.slope)
    chance = chances[np.argmin(np.abs((chances * alike).sum(1) - target))]
    n_above = np.cumsum(alike[::-1])[::-1]
    right = np.cumsum((alike * chance)[::-1])[::-1]
    precision = np.divide(right, n_above, out=np.zeros(N_LEVELS), where=n_above > 0)
    good = np.flatnonzero((precision >= min_precision) & (alike > 0))
    if not len(good):
        return None
    least = float(probabilities(log_odds_of_level(good[0] - 0.5)))
    return least if alike[int(level_of(used)) : good[0]].any() else min(used, least)


def _threshold(results: RunResults) -> float:
    used = results.run.get("counting", {}).get("rule", {}).get("threshold")
    return float(used or next((r.threshold for r in results.recordings), 0.5))


def agreement_of(answered: Sequence[AnsweredUnit]) -> dict[str, Any]:
    """Observers, and the agreement of each pair on the clips of both."""
    observers = sorted({observer for entry in answered for observer in entry.label})
    result: dict[str, Any] = {"observers": observers, "pairs": []}
    for pair in combinations(observers, 2):
        both = [entry.label for entry in answered if entry.label.keys() >= {*pair}]
        if both:
            first, second = ([labels[observer] for labels in both] for observer in pair)
            kappa = cohens_kappa(first, second)
            result["pairs"].append(
                {
                    "observers": list(pair),
                    "clips": len(both),
                    "same": sum(one == other for one, other in zip(first, second, strict=True)),
                    "kappa": None if kappa is None else round(kappa, 3),
                }
            )
    return result


def _warnings(
    answered: Sequence[AnsweredUnit], sample: Labelled, frame: Frame, sites: Sequence[str]
) -> list[str]:
    lines = []
    if frame.without_scores:
        lines.append(
            f"{frame.without_scores:,} counted recordings have no kept scores and are left out"
        )
    few = [site for site, n in zip(sites, sample.labelled.sum(1), strict=True) if n < 20]
    if few and len(sites) > 1:
        some = ", ".join(site or "(no site)" for site in few[:5])
        lines.append(f"fewer than 20 labels at {some}: their figures lean on other sites")
    if (n := sample.labelled.sum()) < 100:
        lines.append(f"{n:g} labels: with 100 and more the intervals are known to hold (docs)")
    return lines


def write_verified(verification: Verification, output: str) -> str:
    """Writes verified.json, then verified.csv. Returns the name of the latter."""
    text = json.dumps(verification.document, indent=2, ensure_ascii=False) + "\n"
    files.write_atomically(files.join(output, "verified.json"), [encode(text)])
    header = csv_line([column.name for column in columns_of(VerifiedCount)])
    lines = [csv_line(cells(row)) for row in verification.rows]
    name = files.join(output, VERIFIED)
    files.write_atomically(name, [encode(header + "".join(lines))])
    return name
