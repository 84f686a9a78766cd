"""Counts calls in archives of recordings: an Apache Beam job and the commands around it.

Directly in this package is what everyone shares or what a run starts with; everything else has a
room. Imports run downwards only, from ``__main__`` to ``records``: pyproject.toml has the order.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]

UNKNOWN = "unknown"
"""Version of a tree that has neither git's history nor been installed."""


@cache
def version(root: Path = _HERE) -> str:
    """The version, which git's tags name, of the source code in a folder or of the installation.

    ``0.2.0`` at the tag ``v0.2.0``, in a clone with the commits since then: ``0.2.0+3.g1a2b3c4``.
    """
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--tags", "--always", "--match", "v[0-9]*"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return UNKNOWN  # no git, or a clone of somebody else
        tag, _, since = done.stdout.strip().partition("-")
        if not tag.startswith("v"):
            return f"0+g{tag}"  # no tag yet: the commit alone
        return tag[1:] + (f"+{since.replace('-', '.')}" if since else "")
    from importlib import metadata  # slow to import

    try:
        return metadata.version("capuchinbird-counter")
    except metadata.PackageNotFoundError:
        return UNKNOWN


def __getattr__(name: str) -> str:
    if name == "__version__":
        return version()
    raise AttributeError(name)
