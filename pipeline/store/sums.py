"""Sums over the recordings of a part, a run or an output.

Adding up is the same in every order: durations are whole microseconds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.store.entries import Entry

FAILURES_SHOWN = 3
TENTHS = 10


@dataclass(frozen=True)
class SiteSums:
    """Recordings of a site: how many, their windows by score in tenths, and by quality flag.

    Attributes:
        flagged: how many have each flag, or failed.
    """

    recordings: int = 0
    histogram: tuple[int, ...] = (0,) * TENTHS
    flagged: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, more: SiteSums) -> SiteSums:
        return SiteSums(
            self.recordings + more.recordings,
            tuple(a + b for a, b in zip(self.histogram, more.histogram, strict=True)),
            _added(self.flagged, more.flagged),
        )


@dataclass(frozen=True)
class Sums:
    """Recordings, added up.

    Attributes:
        outcomes: how many came out in each way.
        untimed: of those that were counted, how many have no time.
        failures: the first few that failed, by name, and why.
        ways: how many were counted in each way, see ``Way``.
        sites: by name.
    """

    recordings: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0
    duration_us: int = 0
    heard_us: int = 0
    untimed: int = 0
    failures: tuple[tuple[str, str], ...] = ()
    ways: Mapping[str, int] = field(default_factory=dict)
    sites: Mapping[str, SiteSums] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Sums:
        """Adds up recordings."""
        return cls.total(map(_sums_of, entries))

    @classmethod
    def total(cls, several: Iterable[Sums]) -> Sums:
        """Adds up sums."""
        total = cls()
        for sums in several:
            total += sums
        return total

    def __add__(self, more: Sums) -> Sums:
        sites = dict(self.sites)
        for site, sums in more.sites.items():
            sites[site] = sites[site] + sums if site in sites else sums
        return Sums(
            recordings=self.recordings + more.recordings,
            outcomes=_added(self.outcomes, more.outcomes),
            calls=self.calls + more.calls,
            duration_us=self.duration_us + more.duration_us,
            heard_us=self.heard_us + more.heard_us,
            untimed=self.untimed + more.untimed,
            failures=tuple(sorted({*self.failures, *more.failures})[:FAILURES_SHOWN]),
            ways=_added(self.ways, more.ways),
            sites=sites,
        )

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Sums:
        """Reads what ``asdict`` gave."""
        sites = {
            name: SiteSums(of["recordings"], tuple(of["histogram"]), of["flagged"])
            for name, of in raw["sites"].items()
        }
        failures = tuple((name, error) for name, error in raw["failures"])
        return cls(**{**raw, "failures": failures, "sites": sites})


@dataclass(frozen=True)
class Way:
    """How a recording was counted."""

    failed: bool
    model_version: str
    scoring: str
    counting: str
    threshold: float
    hop_s: float

    def to_text(self) -> str:
        """As a key of ``Sums.ways``."""
        return json.dumps(list(asdict(self).values()))

    @classmethod
    def from_text(cls, text: str) -> Way:
        """Reads what ``to_text`` gave."""
        return cls(*json.loads(text))


def _sums_of(entry: Entry) -> Sums:
    row = entry.row
    flagged = [*row.quality_flags.split(), *(["failed"] if entry.failed else [])]
    is_copy = not (entry.is_counted or entry.failed)
    way = Way(
        entry.failed, row.model_version, entry.scoring, row.counting, row.threshold, row.hop_s
    )
    return Sums(
        recordings=1,
        outcomes={row.outcome: 1},
        calls=row.call_count or 0,
        duration_us=round((row.duration_s or 0) * 1e6),
        heard_us=round((row.heard_s or 0) * 1e6),
        untimed=int(entry.is_counted and not row.recorded_local),
        failures=((row.recording, row.error),) if entry.failed else (),
        ways={} if is_copy else {way.to_text(): 1},
        sites={row.site: SiteSums(int(not is_copy), entry.histogram, dict(Counter(flagged)))},
    )


def _added(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(a) + Counter(b)).items()))
