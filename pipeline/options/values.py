"""Values of flags: from a word to a value, or a ValueError that says what is wrong with it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import NamedTuple

from model.audio.channels import BEST, MIX, MOST_CHANNELS
from pipeline.options.paths import slashed


def number(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        hint = f"; write {text.replace(',', '.')}" if text.count(",") == 1 else ""
        raise ValueError(f"{text} is no number{hint}") from None


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text} is no whole number") from None


def at_least(low: int) -> Callable[[str], int]:
    """A whole number that is no smaller."""

    def parse(text: str) -> int:
        if (value := whole(text)) < low:
            raise ValueError(f"{text}: it must be at least {low}")
        return value

    return parse


def _number_that(holds: Callable[[float], bool], must: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not holds(value := number(text)):
            raise ValueError(f"{text} must {must}")
        return value

    return parse


def above(low: float, highest: float = math.inf) -> Callable[[str], float]:
    """A number above ``low``, at most ``highest``."""
    top = "" if highest == math.inf else f", up to {highest:g}"
    return _number_that(lambda value: low < value <= highest, f"lie above {low:g}{top}")


not_negative = _number_that(lambda value: value >= 0, "not be negative")
share = _number_that(lambda value: 0 <= value <= 1, "lie between 0 and 1")
inner_share = _number_that(lambda value: 0 < value < 1, "lie between 0 and 1, and be neither")


class Shift(float):
    """What the model's own threshold is raised by, in log odds."""


def threshold(text: str) -> float:
    """A score, or with a sign a ``Shift``."""
    return Shift(above(-16, 16)(text)) if text[:1] in ("+", "-") else inner_share(text)


def channel(text: str) -> str:
    """``mix``, ``best`` or the number of a channel."""
    if text in (MIX, BEST):
        return text
    if not text.isdecimal() or not 1 <= int(text) <= MOST_CHANNELS:
        raise ValueError(f"{text}: write mix, best or the number of a channel, from 1")
    return str(int(text))


def dataset(text: str) -> str:
    """A data set in BigQuery."""
    if text.count(".") != 1:
        raise ValueError(f"{text}: write it as PROJECT.DATASET")
    return text


def move(text: str) -> tuple[str, str]:
    """Two folders, as FROM=TO."""
    places = text.split("=")
    if len(places) != 2 or not all(places):
        raise ValueError(f"{text}: write it as FROM=TO, two folders")
    old, new = (p.rstrip("/") if "://" in p else slashed(os.path.abspath(p)) for p in places)
    return old, new


MOST_SHARES = 10_000


class Share(NamedTuple):
    """One of the shares that recordings are cut into. The first is number 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def one_share(text: str) -> Share:
    """Which share, of how many: ``3/16``."""
    number, _, of = text.partition("/")
    if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST_SHARES:
        return Share(int(number), int(of))
    raise ValueError(f"{text}: write it as 3/16, the third of sixteen shares")
