"""One module for each command: its flags, one call, and what is printed.

May import everything below it. Nothing imports a command but ``pipeline.__main__``. Each has
``parser()`` and ``main(argv)``; heavy libraries are imported in ``main``, so that ``--help``
answers at once. What the user must change is raised as ``UsageError``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

STEPS = 350
"""Of an epoch of training, 12 stretches of 20 s each."""


def add_training_data(parser: ArgumentParser, n: str = "+") -> None:
    """The flags that name labelled recordings."""
    parser.add_argument(
        "data",
        nargs=n,
        type=Path,
        help="folders of labelled audio: recordings/ with annotations.csv or Raven tables, or the "
        "tutorial's clip folders; or TFRecord files made by capuchinbird examples",
    )
    parser.add_argument(
        "--negatives",
        nargs="*",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders without any call",
    )
    parser.add_argument(
        "--annotations",
        type=Path,
        metavar="FILE",
        help="a table used in place of the data's own",
    )
