"""Fills in templates. They escape all text but ``Markup``."""

from __future__ import annotations

import base64
import tomllib
from functools import cache
from importlib.resources import files as resources
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from model.pages import page_environment
from pipeline.report.activity import shade
from pipeline.tables.score_scale import score_place, score_text


def clock(seconds: float) -> str:
    """A time within a recording: ``m:ss``, or ``h:mm:ss`` from an hour on.

    >>> clock(59.6), clock(3725)
    ('1:00', '1:02:05')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def counted_noun(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted_noun(1, "call"), counted_noun(2000, "call")
    ('1 call', '2,000 calls')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def how_long(hours: float) -> str:
    """An amount of audio in the unit that suits it.

    >>> how_long(0.0125), how_long(0.25), how_long(1234.56)
    ('45 s', '15 min', '1,234.6 h')
    """
    if hours < 2 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:,.1f} h"


def plain(value: Any) -> str:
    """A setting as people read it.

    >>> plain([1, 2]), plain(0.1 + 0.2)
    ('1 2', '0.3')
    """
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that a page can carry within itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def percent_of(moment_s: float, begin_s: float, end_s: float) -> float:
    """Where a moment lies between two others, 0 to 100.

    >>> percent_of(3, 2, 6), percent_of(9, 2, 6)
    (25.0, 100.0)
    """
    return 100 * min(max((moment_s - begin_s) / (end_s - begin_s), 0.0), 1.0)


@cache
def _environment() -> Environment:
    environment = page_environment("pipeline.report")
    for use in (
        clock,
        counted_noun,
        how_long,
        plain,
        data_uri,
        percent_of,
        shade,
        score_place,
        score_text,
    ):
        environment.filters[use.__name__] = use
    return environment


def examples(template: str) -> dict[str, Any]:
    """The examples beside a template, from its TOML file."""
    file = resources("pipeline.report") / "templates" / f"{template}.toml"
    return tomllib.loads(file.read_text("utf-8"))


def fill_in(template: str, **values: Any) -> Markup:
    """A template with its values."""
    return Markup(_environment().get_template(template).render(**values))
