"""The rows of lek.csv and bouts.csv: what each site's calls say, by period and in all.

Rates and shares have 90 % intervals by resampling blocks (Künsch 1989, Annals of Statistics 17:
1217-1241): 10 minutes within a period, whole periods in the row of a site, since calls come in
bouts and nights differ. What was resampled less than four times has none.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from model.calls import Floats
from pipeline.lek.bouts import Gap, find_gap, rate_in, split
from pipeline.lek.males import LIMITED, TYPICAL, VERSATILE, Calls, least_males
from pipeline.lek.stretches import Stretch
from pipeline.lek.turns import turns
from pipeline.records import column, optional, text

RESAMPLED_S = 600.0
LEAST_BLOCKS = 4
REPLICATES = 500
NO_CALL = 3.0
"""Calls that would have been missed in 5 % of times as long: minus the logarithm of 0.05."""
AIM = 0.2
_Z90 = 1.645


@dataclass(frozen=True, kw_only=True)
class Lek:
    """A row of lek.csv: a site in one period, or in all of them."""

    site: str = text("Name of the place; empty for recordings without one.")
    period: str = text("Night (by its evening), day or half of a day; empty in the row of a site.")
    scope: str = column("period or site.")
    recorded_h: float = column("Hours validly recorded: heard, less silence and dropouts.", 4)
    calls: int = column("Calls, less those that people heard to be none.")
    calls_per_h: float | None = optional("Vocal activity rate: calls by recorded hour.", 3)
    calls_per_h_low: float | None = optional("Its 5 % point.", 3)
    calls_per_h_high: float | None = optional("Its 95 % point.", 3)
    minutes: int = column("Whole minutes recorded.")
    minutes_with_calls: int = column("Of these, minutes in which a call began.")
    detection_rate: float | None = optional("Their share.", 4)
    detection_rate_low: float | None = optional("Its 5 % point.", 4)
    detection_rate_high: float | None = optional("Its 95 % point.", 4)
    max_per_min: int = column("Most calls that began in a minute.")
    max_per_min_low: int | None = optional("Its 5 % point: lower if one minute made it.")
    bouts: int = column("Bouts: calls without a longer gap than `gap_s`; a lone call is one.")
    bouts_low: int | None = optional("Bouts with the longest gap that is likely.")
    bouts_high: int | None = optional("Bouts with the shortest.")
    gap_s: float = column("Gap that ends a bout, in seconds.", 1)
    gap_source: str = column("given, found in the gaps, or default.")
    fastest_per_min: float | None = optional("Calls a minute in the fastest bout of 4 or more.", 2)
    fastest_per_min_low: float | None = optional("Its 5 % point.", 2)
    fastest_per_min_high: float | None = optional("Its 95 % point.", 2)
    least_males: int = column("Males that the calls need at least.")
    least_males_low: int = column("The same if one bird can do more than is usual.")
    least_males_high: int = column("The same if one bird does less.")
    overlaps: int | None = optional("Pairs of overlapping calls of two voices.")
    overlaps_expected: float | None = optional("Such pairs by chance.", 1)
    overlaps_low: float | None = optional("Their 5 % point.", 1)
    overlaps_high: float | None = optional("Their 95 % point.", 1)
    overlaps_p: float | None = optional("Probability of so few by chance.", 3)
    cv: float | None = optional("Coefficient of variation of calls an hour over periods.", 3)
    periods: int | None = optional("Periods with at least half of the usual recording time.")
    periods_needed: int | None = optional("Periods until the site's rate is known to ±20 %.")
    periods_needed_low: int | None = optional("Their 5 % point.")
    periods_needed_high: int | None = optional("Their 95 % point.")


@dataclass(frozen=True, kw_only=True)
class Bout:
    """A row of bouts.csv."""

    site: str = text("Name of the place; empty for recordings without one.")
    period: str = text("Night (by its evening), day or half of a day; empty if unknown.")
    began_local: str = text("Start of its first call by the clock on site.")
    recording: str = column("Recording, or first of those without a break, it lies in.")
    start_s: float = column("Start of its first call, in seconds from that one's start.", 3)
    duration_s: float = column("To the start of its last call.", 3)
    calls: int = column("Calls in it.")
    calls_per_min: float | None = optional("By the mean gap; empty of fewer than 4 calls.", 2)
    calls_per_min_low: float | None = optional("Its 5 % point.", 2)
    calls_per_min_high: float | None = optional("Its 95 % point.", 2)
    least_males: int = column("Males that its calls need at least.")
    is_cut: int = column("1 if recording began or ended within the gap that ends a bout.")


@dataclass(frozen=True)
class Season:
    """Rows by site and time, the gap of each site, and remarks for people."""

    rows: tuple[Lek, ...]
    bouts: tuple[Bout, ...]
    gaps: dict[str, Gap]


def season(stretches: Sequence[Stretch], gap_s: float | None = None) -> Season:
    """All rows.

    Args:
        stretches: by site and time.
        gap_s: that ends a bout; None to find each site's own.
    """
    of_site: dict[str, list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        of_site[stretch.site].append(stretch)
    rows: list[Lek] = []
    bouts: list[Bout] = []
    gaps: dict[str, Gap] = {}
    for site, of in sorted(of_site.items()):
        rng = np.random.default_rng(zlib.crc32(site.encode()))
        gaps_s = np.concatenate([one.gaps_s for one in of])
        gap = Gap(gap_s, None, None, "given") if gap_s else find_gap(gaps_s, rng)
        gaps[site] = gap
        of_period: dict[str, list[Stretch]] = defaultdict(list)
        for one in of:
            of_period[one.period].append(one)
        periods = [_row(site, name, some, gap, rng) for name, some in sorted(of_period.items())]
        rows.append(_site_row(site, of, periods, gap, rng))
        rows += [row for row in periods if row.period]
        bouts += [bout for one in of for bout in _bouts(one, gap.seconds)]
    return Season(tuple(rows), tuple(bouts), gaps)


def _row(site: str, period: str, of: Sequence[Stretch], gap: Gap, rng: np.random.Generator) -> Lek:
    """A site in a period."""
    blocks = np.concatenate([_blocks(one) for one in of])
    return Lek(
        site=site, period=period, scope="period", gap_s=gap.seconds, gap_source=gap.source,
        **_rates(blocks, rng), **_in_bouts(of, gap), **_males(of), **_turns(of, gap, rng),
    )  # fmt: skip


def _site_row(
    site: str, of: Sequence[Stretch], periods: Sequence[Lek], gap: Gap, rng: np.random.Generator
) -> Lek:
    """A site in all periods: its least number of males is that of the second-best one.

    Where there is one period it is that one's: the highest of many numbers that are each right 19
    times in 20 would be wrong more often.
    """
    in_time = [row for row in periods if row.period]
    few = len(in_time) < LEAST_BLOCKS
    blocks = (
        np.concatenate([_blocks(one) for one in of])
        if few
        else np.array(
            [
                (r.recorded_h * 3600, r.calls, r.minutes, r.minutes_with_calls, r.max_per_min)
                for r in in_time
            ]
        )
    )
    males = {}
    for name in ("least_males", "least_males_low", "least_males_high"):
        numbers = sorted((getattr(row, name) for row in periods), reverse=True)
        males[name] = numbers[min(1, len(numbers) - 1)]
    return Lek(
        site=site, scope="site", gap_s=gap.seconds, gap_source=gap.source,
        **_rates(blocks, rng), **_in_bouts(of, gap), **males, **_turns(of, gap, rng),
        **_effort(in_time, rng),
    )  # fmt: skip


def _blocks(stretch: Stretch) -> Floats:
    """Of each 10 minutes: valid seconds, calls, minutes, minutes with calls, most in a minute."""
    n = max(1, round(stretch.length_s / RESAMPLED_S))
    ends = np.linspace(0, stretch.length_s, n + 1)
    calls = np.histogram(stretch.begin_s, ends)[0]
    n_minutes = int(stretch.length_s // 60)
    in_minute = np.bincount((stretch.begin_s // 60).astype(np.int64), minlength=n_minutes)
    in_minute = in_minute[:n_minutes]
    block_of = np.minimum(np.arange(n_minutes) * 60 // (stretch.length_s / n), n - 1).astype(int)
    most = np.zeros(n)
    np.maximum.at(most, block_of, in_minute)
    return np.stack(
        [
            np.full(n, stretch.valid_s / n),
            calls,
            np.bincount(block_of, minlength=n),
            np.bincount(block_of, in_minute > 0, minlength=n),
            most,
        ],
        axis=1,
    ).astype(np.float64)


def _rates(blocks: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Vocal activity rate, detection rate and maximum (Hutschenreiter et al. 2024)."""
    seconds, calls, minutes, with_calls, most = blocks.T
    hours = seconds.sum() / 3600
    figures: dict[str, Any] = {
        "recorded_h": float(hours),
        "calls": int(calls.sum()),
        "calls_per_h": float(calls.sum() / hours) if hours else None,
        "minutes": int(minutes.sum()),
        "minutes_with_calls": int(with_calls.sum()),
        "detection_rate": float(with_calls.sum() / minutes.sum()) if minutes.sum() else None,
        "max_per_min": int(most.max()),
    }
    if not hours:
        return figures
    if not calls.sum():
        return figures | {"calls_per_h_low": 0.0, "calls_per_h_high": NO_CALL / float(hours)}
    if len(blocks) < LEAST_BLOCKS:
        return figures
    drawn = blocks[rng.integers(len(blocks), size=(REPLICATES, len(blocks)))]
    sums = drawn.sum(axis=1)
    low, high = _interval(sums[:, 1], sums[:, 0] / 3600)
    figures |= {"calls_per_h_low": low, "calls_per_h_high": high}
    figures["max_per_min_low"] = int(np.percentile(drawn[:, :, 4].max(axis=1), 5))
    if minutes.sum():
        low, high = _interval(sums[:, 3], sums[:, 2])
        figures |= {"detection_rate_low": low, "detection_rate_high": high}
    return figures


def _interval(above: Floats, below: Floats) -> tuple[float, float]:
    low, high = np.percentile(above[below > 0] / below[below > 0], [5, 95])
    return float(low), float(high)


def _in_bouts(of: Sequence[Stretch], gap: Gap) -> dict[str, Any]:
    def count(gap_s: float | None) -> int | None:
        return sum(len(split(one.begin_s, gap_s)) for one in of) if gap_s else None

    rates = [
        rate
        for one in of
        for bout in split(one.begin_s, gap.seconds)
        if (rate := rate_in(one.begin_s[bout]))
    ]
    fastest = max(rates, default=(None, None, None))
    return {
        "bouts": count(gap.seconds) or 0,
        "bouts_low": count(gap.high),
        "bouts_high": count(gap.low),
        "fastest_per_min": fastest[0],
        "fastest_per_min_low": fastest[1],
        "fastest_per_min_high": fastest[2],
    }


def calls_together(of: Sequence[Stretch]) -> Calls:
    """Calls of several stretches on one clock; stretches never overlap on it."""
    first_s, begins = 0.0, []
    for one in of:
        begins.append(one.begin_s + first_s)
        first_s += one.length_s + RESAMPLED_S
    return Calls(
        np.concatenate(begins) if begins else np.zeros(0),
        np.concatenate([one.spacing_hz for one in of]) if of else np.zeros(0),
        np.concatenate([one.error_hz for one in of]) if of else np.zeros(0),
    )


def _males(of: Sequence[Stretch]) -> dict[str, int]:
    calls = calls_together(of)
    return {
        "least_males": least_males(calls, TYPICAL),
        "least_males_low": least_males(calls, VERSATILE),
        "least_males_high": least_males(calls, LIMITED),
    }


def _turns(of: Sequence[Stretch], gap: Gap, rng: np.random.Generator) -> dict[str, Any]:
    cut = [(one, bout) for one in of for bout in split(one.begin_s, gap.seconds)]
    result = turns(((one.begin_s[bout], one.spacing_hz[bout]) for one, bout in cut), rng)
    if result is None:
        return {}
    return {
        "overlaps": result.overlaps,
        "overlaps_expected": result.expected,
        "overlaps_low": result.low,
        "overlaps_high": result.high,
        "overlaps_p": result.p,
    }


def _effort(rows: Sequence[Lek], rng: np.random.Generator) -> dict[str, Any]:
    """How many periods a rate needs: ``(1.645 cv / 0.2)^2``, from at least four of them.

    Periods with less than half of the usual recording time are left out: they vary more.
    """
    hours = np.array([row.recorded_h for row in rows])
    if not len(hours) or not np.median(hours):
        return {}
    kept = hours >= 0.5 * np.median(hours)
    rates = np.array([row.calls_per_h or 0.0 for row in rows])[kept]
    if len(rates) < LEAST_BLOCKS or not rates.any():
        return {"periods": len(rates)}
    drawn = rates[rng.integers(len(rates), size=(REPLICATES, len(rates)))]
    drawn = drawn[drawn.mean(axis=1) > 0]
    low, high = np.percentile(drawn.std(axis=1, ddof=1) / drawn.mean(axis=1), [5, 95])
    cv = float(rates.std(ddof=1) / rates.mean())

    def needed(of: float) -> int:
        return max(1, int(np.ceil((_Z90 * of / AIM) ** 2)))

    return {
        "cv": cv,
        "periods": len(rates),
        "periods_needed": needed(cv),
        "periods_needed_low": needed(float(low)),
        "periods_needed_high": needed(float(high)),
    }


def _bouts(stretch: Stretch, gap_s: float) -> Iterator[Bout]:
    for bout in split(stretch.begin_s, gap_s):
        begin_s = stretch.begin_s[bout]
        first_s, last_s = float(begin_s[0]), float(begin_s[-1])
        rate = rate_in(begin_s) or (None, None, None)
        began = stretch.began and stretch.began + timedelta(seconds=first_s)
        yield Bout(
            site=stretch.site,
            period=stretch.period,
            began_local=began.isoformat(timespec="milliseconds") if began else "",
            recording=stretch.recording,
            start_s=stretch.offset_s + first_s,
            duration_s=last_s - first_s,
            calls=len(begin_s),
            calls_per_min=rate[0],
            calls_per_min_low=rate[1],
            calls_per_min_high=rate[2],
            least_males=least_males(
                Calls(begin_s, stretch.spacing_hz[bout], stretch.error_hz[bout])
            ),
            is_cut=int(first_s < gap_s or stretch.length_s - last_s < gap_s),
        )
