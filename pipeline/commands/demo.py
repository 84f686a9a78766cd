"""Make recordings with calls at known times in ./demo, count them, compare."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from model.training.synth import synthesise_recording
from model.windows import Samples
from pipeline.options import Command, Config, say
from pipeline.records import Outcome, RecordingCount
from pipeline.tables.read import read_counts

TRUTH_FILE = "truth.csv"
# As an AudioMoth writes it into its files.
AUDIOMOTH_COMMENT = (
    "Recorded at 18:00:00 12/06/2024 (UTC) by AudioMoth 0000000000000000 at medium gain "
    "while battery was 4.2V and temperature was 24.5C."
)


@dataclass(frozen=True)
class DemoRecording:
    """One file of the demo. ``call_count`` is None where the file cannot be opened."""

    name: str
    call_count: int | None
    call_starts_s: tuple[float, ...]
    note: str


@dataclass(frozen=True)
class _Sketch:
    name: str
    sample_rate_hz: int
    channels: int
    duration_s: float
    note: str
    call_starts_s: tuple[float, ...] = ()
    call_level: float = 0.35
    sounds_per_minute: float = 30.0
    comment: str = ""


_LEK_S = (2.4, 9.0, 15.6, 22.1, 28.8, 35.2, 41.9, 48.4, 55.0)
_DAWN_S = (3.5, 10.0, 16.5, 40.0, 46.8)
_QUIET = "no call but many other voices"
_SKETCHES = (
    _Sketch("lek_at_dawn.mp3", 48_000, 2, 60.0, "a call every 6.5 s", _LEK_S),
    _Sketch("river_trail.flac", 44_100, 1, 45.0, "two calls, far apart", (8.3, 31.7), 0.25),
    _Sketch(
        "canopy_walk.wav", 48_000, 2, 40.0, "three calls, one near the end", (5.0, 12.5, 33.6), 0.3
    ),
    _Sketch(
        "SITE01_20240611_053000.wav",
        *(22_050, 1, 60.0),
        "five calls; a Song Meter's name and rate",
        _DAWN_S,
    ),
    _Sketch(
        "20240612_180000.WAV",
        *(32_000, 1, 45.0),
        f"{_QUIET}; an AudioMoth's name and comment",
        sounds_per_minute=60.0,
        comment=AUDIOMOTH_COMMENT,
    ),
    _Sketch("rain_and_doves.mp3", 44_100, 2, 45.0, _QUIET, sounds_per_minute=60.0),
)


def make_demo(directory: Path) -> list[DemoRecording]:
    """Write the recordings and ``truth.csv`` (recording,call_count) into ``directory``.

    The samples are the same in every run; so are the files for one version of the
    encoders. A damaged file has an empty count in ``truth.csv``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for seed, sketch in enumerate(_SKETCHES):
        _write(directory / sketch.name, _synthesise(sketch, seed), sketch)
        made.append(
            DemoRecording(sketch.name, len(sketch.call_starts_s), sketch.call_starts_s, sketch.note)
        )
    made.append(_write_silent(directory))
    made.append(_write_damaged(directory))
    with open(directory / TRUTH_FILE, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("recording", "call_count"))
        rows.writerows((r.name, "" if r.call_count is None else r.call_count) for r in made)
    return made


def _synthesise(sketch: _Sketch, seed: int) -> Samples:
    return synthesise_recording(
        sketch.duration_s,
        sketch.call_starts_s,
        sketch.sample_rate_hz,
        sketch.channels,
        seed,
        call_level=sketch.call_level,
        sounds_per_minute=sketch.sounds_per_minute,
    )


def _write(path: Path, samples: Samples, sketch: _Sketch) -> None:
    with soundfile.SoundFile(
        path, "w", sketch.sample_rate_hz, sketch.channels, format=path.suffix[1:].upper()
    ) as file:
        if sketch.comment:
            file.comment = sketch.comment
        file.write(samples)


def _write_silent(directory: Path) -> DemoRecording:
    name = "silent.wav"
    soundfile.write(directory / name, np.zeros(30 * 16_000, np.int16), 16_000, format="WAV")
    return DemoRecording(name, 0, (), "digital silence, as from an unplugged microphone")


def _write_damaged(directory: Path) -> DemoRecording:
    """A FLAC whose first kilobyte, with the stream's description, was overwritten."""
    name = "damaged.flac"
    path = directory / name
    sketch = _SKETCHES[1]
    _write(path, np.zeros((sketch.sample_rate_hz, 1), np.float32), sketch)
    intact = path.read_bytes()
    path.write_bytes(b"fLaC" + b"\xff" * 1020 + intact[1024:])
    return DemoRecording(name, None, (), "damaged, cannot be opened")


def comparison(made: list[DemoRecording], counts: Mapping[str, RecordingCount]) -> tuple[str, bool]:
    """Counts beside the truth as a table for the terminal, and whether all of them agree.

    Args:
        made: the recordings and what they hold.
        counts: rows of counts.csv by base name.
    """
    width = max(len(recording.name) for recording in made)
    lines = [f"{'recording':{width}}  {'truth':>5}  {'counted':>7}  outcome   what it is"]
    agree = True
    for recording in made:
        row = counts[recording.name]
        agree = agree and row.call_count == recording.call_count
        truth, counted = (
            "-" if n is None else str(n) for n in (recording.call_count, row.call_count)
        )
        lines.append(
            f"{recording.name:{width}}  {truth:>5}  {counted:>7}  {row.outcome:8}  {recording.note}"
        )
    return "\n".join(lines), agree


@dataclass(frozen=True)
class Flags:
    """The flags: none."""


COMMAND = Command("demo", Flags, __doc__, ("demo",))


def main(argv: Sequence[str]) -> int:
    """Makes the demo's recordings, counts them with the released model, compares.

    Returns:
        0 when every count equals the truth and the damaged file is reported, else 1.
    """
    COMMAND.parse(argv)
    from pipeline.launch import launch  # imports Beam
    from pipeline.run import run_of

    recordings, output = Path("demo", "recordings"), Path("demo", "results")
    say(f"Making recordings in {recordings} ...")
    made = make_demo(recordings)
    say(f"capuchinbird count {recordings} --output {output}")
    asked = Config(inputs=(str(recordings),), output=str(output), states_counting=False)
    code = launch(run_of(asked))
    if code:
        return code
    counts = {Path(row.recording).name: row for row in read_counts(str(output))}
    table, agree = comparison(made, counts)
    failures = [row.error for row in counts.values() if row.outcome == Outcome.FAILED.value]
    say(
        f"\n{table}\n\nnot counted: {'; '.join(failures)}\n"
        f"Every count equals the truth: {'yes' if agree else 'NO'}",
        agree=agree,
    )
    return 0 if agree else 1
