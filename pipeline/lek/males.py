"""How many males calls need at least.

One bird cannot begin a call before it has ended its last one and drawn breath, and its harmonics
lie about as far apart each time. So of calls no two of which one bird can have made, each is of
another male: the largest such set that is looked for is the least number of males.

Two calls cannot be of one bird where

- they begin less than ``repeat_s`` apart, or
- their spacings differ by more than ``sqrt(D^2 + z^2 (e1^2 + e2^2))``: ``D`` is ``spread_hz``,
  ``e1`` and ``e2`` are the errors of measurement, ``z`` is 1.645 (one-sided 95 %).

What was measured or counted once may be a mistake, and of many calls some are. So a spacing takes
part if ``LIKE_SHARE`` of all calls, and one other at least, have it to ``LIKE_HZ``; and no window
counts for more calls than ``TOGETHER_SHARE`` of all windows, and one at least, hold.

The set is looked for from every window of ``repeat_s``: the calls in it, then, of all others, those
of a window that differ from every one of the set, the most at once first.

This is a lower limit, not an estimate: birds that call in turn with voices alike are one bird here,
and birds that do not call are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.calls import Floats


@dataclass(frozen=True)
class OneBird:
    """What one bird can do.

    Attributes:
        repeat_s: the shortest time from one of its calls to the next.
        spread_hz: how far the spacings of two of its calls lie apart at most.
    """

    repeat_s: float
    spread_hz: float


TYPICAL = OneBird(4.5, 4.5)
"""Lead-in of 1 to 2 s, growl of 1 to 1.5 s and moo of 2 s take 4 to 5.5 s. 95 % of pairs of calls
of one recording differ by less than 3.9 Hz (the mean over 17 recordings of real birds); at 4.5 Hz
few choruses of known birds are said to need more males than they have (docs/lek.md)."""
VERSATILE = OneBird(4.0, 6.0)
"""A bird that does more: gives the lower end of the interval."""
LIMITED = OneBird(6.0, 3.0)
"""One that does less: gives the upper end."""
LIKE_HZ = 1.0
LIKE_SHARE = 0.03
TOGETHER_SHARE = 0.01
_Z = 1.645
_STARTS = 300


@dataclass(frozen=True)
class Calls:
    """Calls in order of time.

    Attributes:
        begin_s: when they begin, on one clock, ``[n]``.
        spacing_hz, error_hz: spacing of the harmonics and its error, ``[n]``; NaN where unknown.
    """

    begin_s: Floats
    spacing_hz: Floats
    error_hz: Floats


def least_males(calls: Calls, bird: OneBird = TYPICAL) -> int:
    """The least number of males that calls need; see above.

    >>> unknown = np.full(3, np.nan)
    >>> least_males(Calls(np.array([0.0, 2.0, 9.0]), unknown, unknown))
    2
    """
    if not len(calls.begin_s):
        return 0
    calls = Calls(calls.begin_s, _repeated(calls.spacing_hz), calls.error_hz)
    sizes = _sizes(calls.begin_s, bird.repeat_s)
    most = int(np.sort(sizes)[::-1][int(TOGETHER_SHARE * len(sizes))])
    sizes = np.minimum(sizes, most)
    # All windows; of a long night the fullest, and others evenly over what is left.
    starts = np.argsort(-sizes, kind="stable")
    if len(starts) > _STARTS:
        half = _STARTS // 2
        rest = starts[half:]
        starts = np.concatenate([starts[:half], rest[:: -(-len(rest) // half)]])
    return max(_set_from(int(first), int(sizes[first]), most, calls, bird) for first in starts)


def _sizes(begin_s: Floats, repeat_s: float) -> npt.NDArray[np.int64]:
    """How many calls begin within ``repeat_s`` of each, itself included."""
    return np.searchsorted(begin_s, begin_s + repeat_s - 1e-9) - np.arange(len(begin_s))


def _repeated(spacing_hz: Floats) -> Floats:
    """Spacings that enough other calls have as well; NaN for all others."""
    ordered = np.sort(spacing_hz[~np.isnan(spacing_hz)])
    first = np.searchsorted(ordered, spacing_hz - LIKE_HZ)
    others = np.searchsorted(ordered, spacing_hz + LIKE_HZ, "right") - first - 1
    return np.where(others >= max(1, np.ceil(LIKE_SHARE * len(spacing_hz))), spacing_hz, np.nan)


def _set_from(first: int, size: int, most: int, calls: Calls, bird: OneBird) -> int:
    """How many calls of different males are found from a window on, ``most`` in each window."""
    chosen = np.arange(first, first + size)
    total = 0
    others = np.ones(len(calls.begin_s), bool)
    while len(chosen):
        total += len(chosen)
        for one in chosen:
            others &= _differs(int(one), calls, bird.spread_hz)
        left = np.flatnonzero(others)
        sizes = _sizes(calls.begin_s[left], bird.repeat_s)
        best = int(np.argmax(sizes)) if len(left) else 0
        chosen = left[best : best + min(int(sizes[best]), most)] if len(left) else left
    return total


def _differs(one: int, calls: Calls, spread_hz: float) -> npt.NDArray[np.bool_]:
    """Which calls are of another male than this one, by their spacing."""
    errors = np.square(calls.error_hz) + calls.error_hz[one] ** 2
    most = np.sqrt(spread_hz**2 + _Z**2 * errors)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(calls.spacing_hz - calls.spacing_hz[one]) > most)
