"""Draws units for a listener: a random sample, stratified by score and by site.

Bins of scores are the same at all sites. Counted calls form three bins of equal size by score:
most false ones are among the weakest. Faint ones have bins with edges at ranks that grow in equal
ratios (the log-binned sample of Navine et al. 2024, Frontiers in Bird Science 3): the strongest,
the most likely missed calls, have a small bin of their own, and the many weak ones a large one.
Each bin gets an equal share of the sample; within it, sites get shares by the square root of their
units (Bankier 1988, The American Statistician 42), so small sites take part, too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

import numpy as np

from model.calls import probabilities
from pipeline.review.frame import Frame, each_recording
from pipeline.review.units import (
    CALL,
    FAINT,
    KINDS,
    N_LEVELS,
    REST,
    Integers,
    edge_at,
    log_odds_of_level,
)
from pipeline.survey.labels import Label
from pipeline.tables.read import RunResults

CALL_BINS = 3
FAINT_BINS = 5
SMALLEST_BIN = 20
"""Number of units in the bin of the strongest faint ones."""


@dataclass(frozen=True, order=True)
class Stratum:
    """A bin of scores: units of one kind whose level is ``first`` to ``end`` - 1."""

    kind: int
    first: int
    end: int

    @property
    def name(self) -> str:
        """Its name in labels.csv: the kind and the range of scores.

        >>> Stratum(CALL, 128, N_LEVELS).name
        'call 0.492188-1.000000'
        """
        if self.first == 0 and self.end == N_LEVELS:
            return KINDS[self.kind]
        low, high = (
            float(probabilities(log_odds_of_level(edge - 0.5))) if 0 < edge < N_LEVELS else over
            for edge, over in ((self.first, 0.0), (self.end, 1.0))
        )
        return f"{KINDS[self.kind]} {low:.6f}-{high:.6f}"

    @classmethod
    def from_name(cls, name: str) -> Stratum:
        """Parses ``name``. Raises ValueError for anything else.

        >>> Stratum.from_name("faint 0.000000-0.492188")
        Stratum(kind=1, first=0, end=128)
        """
        kind, _, scores = name.partition(" ")
        if not scores:
            return cls(KINDS.index(kind), 0, N_LEVELS)
        low, high = map(float, scores.split("-"))
        first = 0 if low <= 0 else edge_at(low)
        return cls(KINDS.index(kind), first, N_LEVELS if high >= 1 else edge_at(high))

    def count(self, units: Integers) -> int:
        """Number of its units among units ``[kinds, levels]``."""
        return int(units[self.kind, self.first : self.end].sum())


@dataclass(frozen=True)
class Sample:
    """A sample to label.

    Attributes:
        clips: without an answer yet; any first part of them covers all strata.
        strata: the bins of scores, with the number of units by site.
        seed: of the random draw.
        visits: of each clip, what one confirmed call settles; of none in a random sample.
    """

    clips: tuple[Label, ...]
    strata: Mapping[Stratum, Mapping[str, int]] = field(default_factory=dict)
    seed: int = 0
    visits: tuple[str, ...] = ()


def draw_sample(output: str, results: RunResults, frame: Frame, n_clips: int, seed: int) -> Sample:
    """Draws a sample, whatever the order of recordings.

    Args:
        output, results: of the run.
        frame: its units.
        n_clips: size of the sample.
        seed: the same seed draws the same sample from the same output.
    """
    strata = strata_of(frame)
    sizes = {bin_: {s: bin_.count(units) for s, units in frame.units.items()} for bin_ in strata}
    per_bin = share_equally(n_clips, [sum(of_site.values()) for of_site in sizes.values()])
    quota = {
        bin_: dict(zip(of_site, share_by_root(n, list(of_site.values())), strict=True))
        for (bin_, of_site), n in zip(sizes.items(), per_bin, strict=True)
    }
    drawn: dict[tuple[Stratum, str], list[tuple[float, Label]]] = {}
    for row, units in each_recording(output, results):
        chance = np.random.default_rng([seed, zlib.crc32(row.recording.encode())])
        keys = chance.random(len(units.kinds))
        # Each unit has its own key, whatever their order.
        order = np.lexsort((units.starts_s, units.kinds))
        for bin_ in strata:
            kinds, levels = units.kinds[order], units.levels[order]
            inside = (kinds == bin_.kind) & (bin_.first <= levels) & (levels < bin_.end)
            most = quota[bin_][row.site]
            best = drawn.setdefault((bin_, row.site), [])
            for at in np.flatnonzero(inside)[np.argsort(keys[inside])[:most]]:
                index = order[at]
                clip = Label(
                    recording=row.recording,
                    start_s=round(float(units.starts_s[index]), 3),
                    end_s=round(float(units.ends_s[index]), 3),
                    score=float(probabilities(log_odds_of_level(units.levels[index]))),
                    site=row.site,
                    stratum=bin_.name,
                    label="unsure",
                )
                best.append((float(keys[at]), clip))
            best.sort(key=lambda pair: (pair[0], pair[1].recording))
            del best[most:]
    return Sample(tuple(_in_turn(drawn, strata, seed)), sizes, seed)


def strata_of(frame: Frame) -> tuple[Stratum, ...]:
    """The bins of scores, each with units in it: calls, faint ones, the rest."""
    together = sum(frame.units.values(), np.zeros((len(KINDS), N_LEVELS), np.int64))
    calls = np.quantile(_levels(together[CALL]), np.arange(1, CALL_BINS) / CALL_BINS)
    faint = _levels(together[FAINT])
    ratio = max(1.0, len(faint) / SMALLEST_BIN) ** (1 / (FAINT_BINS - 1))
    ranks = [len(faint) - round(SMALLEST_BIN * ratio**n) for n in range(FAINT_BINS - 1)]
    edges = {
        CALL: np.ceil(calls).astype(int).tolist() if together[CALL].any() else [],
        FAINT: [int(faint[rank]) for rank in ranks if rank > 0],
        REST: [],
    }
    return tuple(
        stratum
        for kind, inner in edges.items()
        for first, end in pairwise(sorted({0, *inner, N_LEVELS}))
        if (stratum := Stratum(kind, first, end)).count(together)
    )


def _levels(counts: Integers) -> Integers:
    """The level of each unit, ascending; a zero if there is none."""
    levels = np.repeat(np.arange(len(counts)), counts)
    return levels if len(levels) else np.zeros(1, np.int64)


def share_equally(n: int, sizes: Sequence[int]) -> list[int]:
    """Parts of ``n`` as equal as sizes allow.

    >>> share_equally(10, [2, 100, 100]), share_equally(9, [1, 2])
    ([2, 4, 4], [1, 2])
    """
    shares = [0] * len(sizes)
    while (left := n - sum(shares)) > 0:
        open_ = [i for i, size in enumerate(sizes) if shares[i] < size]
        if not open_:
            break
        for i in open_[: left if left < len(open_) else None]:
            shares[i] += min(max(1, left // len(open_)), sizes[i] - shares[i])
    return shares


def share_by_root(n: int, sizes: Sequence[int]) -> list[int]:
    """Parts of ``n`` by the square roots of sizes, and no larger than these.

    >>> share_by_root(9, [100, 400]), share_by_root(5, [1, 100]), share_by_root(1, [0, 3])
    ([3, 6], [0, 5], [0, 1])
    """
    roots, all_ = np.sqrt(sizes), np.asarray(sizes)
    shares = np.zeros(len(sizes), np.int64)
    for _ in range(min(n, int(all_.sum()))):
        shares[np.argmax(np.where(shares < all_, roots / (shares + 0.5), -1))] += 1
    return [int(share) for share in shares]


def _in_turn(
    drawn: Mapping[tuple[Stratum, str], list[tuple[float, Label]]],
    strata: Sequence[Stratum],
    seed: int,
) -> Iterator[Label]:
    """One of each bin in turn, so the first half is a sample as well."""
    chance = np.random.default_rng(seed)
    queues: list[list[Label]] = []
    for bin_ in strata:
        queue = [clip for (b, _), pairs in sorted(drawn.items()) if b == bin_ for _, clip in pairs]
        queues.append([queue[i] for i in chance.permutation(len(queue))])
    for turn in zip_longest(*queues):
        clips = [clip for clip in turn if clip is not None]
        yield from (clips[i] for i in chance.permutation(len(clips)))
