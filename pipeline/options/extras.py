"""Packages that only some commands need, and the extra of the installation that brings each."""

from __future__ import annotations

import shlex
import sys

EXTRAS = {
    "google": "gcp",
    "apitools": "gcp",
    "crowsetta": "train",
    "scipy": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "tensorflow_io": "train",
    "tfx_bsl": "train",
    "pandas": "python",
    "shtab": "completion",
}
"""Extras of pyproject.toml by the package that they bring, as one imports it."""


def remedy_for(error: ImportError) -> str:
    """What to install, where a package is missing that an extra brings; else nothing.

    >>> remedy_for(ImportError(name="google.cloud")).partition(";")[0]
    'needs the extra gcp'
    """
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    if not extra:
        return ""
    python = shlex.quote(sys.executable)
    return f"needs the extra {extra}; run: {python} -m pip install 'capuchinbird-counter[{extra}]'"
