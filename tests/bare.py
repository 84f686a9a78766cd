"""An environment with what counting needs and nothing more, made of this one by refusing the rest.

``python -m tests.bare COMMAND ...`` runs a command of ``capuchinbird`` in it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))[
    "project"
]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirements: Iterable[str]) -> set[str]:
    """Distributions that an installation of these brings, by normal names."""
    extras: dict[str, set[str]] = {}
    todo = [Requirement(line) for line in requirements]
    while todo:
        one = todo.pop()
        name, asked = normal(one.name), {"", *one.extras}
        if one.marker and not one.marker.evaluate({"extra": ""}):
            continue
        if asked <= extras.get(name, set()):
            continue
        extras.setdefault(name, set()).update(asked)
        for line in metadata.requires(name) or ():
            other = Requirement(line)
            if other.marker and any(other.marker.evaluate({"extra": e}) for e in extras[name]):
                other.marker = None
            todo.append(other)
    return set(extras)


def packages_of(distribution: metadata.Distribution) -> set[str]:
    """What it lets be imported; of names that several share, such as google, one level more."""
    files = distribution.files or ()
    parts = [file.parts for file in files if file.suffix in (".py", ".so", ".pyd")]
    first = {p[0].partition(".")[0] for p in parts}
    inner = {f"google.{p[1].partition('.')[0]}" for p in parts if p[0] == "google"}
    return first - {"google"} | inner


class Refused(MetaPathFinder):
    """Finds nothing that a bare installation lacks."""

    def __init__(self) -> None:
        present: set[str] = set()
        others: set[str] = set()
        bare = needed(PROJECT["dependencies"]) | {PROJECT["name"]}
        for distribution in metadata.distributions():
            is_present = normal(distribution.metadata["Name"]) in bare
            (present if is_present else others).update(packages_of(distribution))
        self.names = others - present - {"", "tests"}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        parts = name.split(".")
        if {parts[0], ".".join(parts[:2])} & self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main() -> None:
    finder = Refused()
    assert {"tfx_bsl", "tensorflow_io", "google.cloud", "sklearn", "scipy"} <= finder.names
    sys.meta_path.insert(0, finder)
    from pipeline.__main__ import run_and_leave

    run_and_leave()


if __name__ == "__main__":
    main()
