"""One module for each command: its flags, one call, and what is printed.

May import everything below it. Nothing imports a command but ``pipeline.__main__``. Each has
``parser()`` and ``main(argv)``; heavy libraries are imported in ``main``, so that ``--help``
answers at once. What the user must change is raised as ``UsageError``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path

STEPS = 160
"""Of an epoch of training, 12 stretches of 20 s each."""


def add_training_data(parser: ArgumentParser, n: str = "+") -> None:
    """The flags that name labelled recordings."""
    parser.add_argument(
        "data",
        nargs=n,
        type=Path,
        help="folders of labelled audio: recordings/ with annotations.csv or files of Raven, "
        "Audacity, BirdNET, Kaleidoscope, soundevent or whatever crowsetta reads, or the "
        "tutorial's clip folders; or TFRecord files made by capuchinbird examples",
    )
    parser.add_argument(
        "--negatives", nargs="*", type=Path, default=[], help="folders without any call"
    )
    parser.add_argument("--annotations", type=Path, help="a table used in place of the data's own")
    parser.add_argument(
        "--annotated_as",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels of annotations that mean a call (default: those that name the Capuchinbird)",
    )


def verdict(f1: float | None, f1_at_db: Mapping[int, float]) -> str:
    """What figures of a model mean for whoever would count with it.

    Args:
        f1: of calls that it was not trained on, in recordings as they are; None if none was tried.
        f1_at_db: the same under noise, by the call's level above it.

    >>> verdict(0.95, {10: 0.93, 0: 0.1})
    'finds calls well above the noise, reliably down to 10 dB; misses nearly all at 0 dB and below'
    """
    if f1 is None:
        return "no call was left out to try it on: count some of your own recordings to judge it"
    good = [db for db, value in sorted(f1_at_db.items()) if value >= 0.8]
    deaf = [db for db, value in sorted(f1_at_db.items()) if value < 0.2]
    if f1 >= 0.9:
        said = "finds calls well above the noise"
    elif f1 >= 0.6:
        said = "finds many calls, but misses or invents too many to be counted on unchecked"
    else:
        said = "cannot be counted on: it misses or invents most calls"
    if good and f1 >= 0.6:
        said += f", reliably down to {good[0]} dB"
    return said + (f"; misses nearly all at {deaf[-1]} dB and below" if deaf else "")
