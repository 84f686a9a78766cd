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
    """One file of the demo.

    Attributes:
        call_starts_s: when a call begins, in seconds.
        sounds_per_minute: other voices; none at all in digital silence.
        is_damaged: a FLAC whose first kilobyte, with the stream's description, was overwritten.
    """

    name: str
    note: str
    call_starts_s: tuple[float, ...] = ()
    sample_rate_hz: int = 48_000
    channels: int = 1
    duration_s: float = 60.0
    call_level: float = 0.35
    sounds_per_minute: float = 30.0
    comment: str = ""
    is_damaged: bool = False

    @property
    def call_count(self) -> int | None:
        """Calls in it; None where the file cannot be opened."""
        return None if self.is_damaged else len(self.call_starts_s)


_LEK_S = (2.4, 9.0, 15.6, 22.1, 28.8, 35.2, 41.9, 48.4, 55.0)
_DAWN_S = (3.5, 10.0, 16.5, 40.0, 46.8)
_QUIET = "no call but many other voices"
_DEMO = (
    DemoRecording("lek_at_dawn.mp3", "a call every 6.5 s", _LEK_S, channels=2),
    DemoRecording("river_trail.flac", "two calls, far apart", (8.3, 31.7), 44_100, 1, 45.0, 0.25),
    DemoRecording(
        "canopy_walk.wav", "three calls, one near the end", (5.0, 12.5, 33.6), 48_000, 2, 40.0, 0.3
    ),
    DemoRecording(
        "SITE01_20240611_053000.wav", "five calls; a Song Meter's name and rate", _DAWN_S, 22_050
    ),
    DemoRecording(
        "20240612_180000.WAV",
        f"{_QUIET}; an AudioMoth's name and comment",
        sample_rate_hz=32_000,
        duration_s=45.0,
        sounds_per_minute=60.0,
        comment=AUDIOMOTH_COMMENT,
    ),
    DemoRecording("rain_and_doves.mp3", _QUIET, (), 44_100, 2, 45.0, sounds_per_minute=60.0),
    DemoRecording(
        "silent.wav",
        "digital silence, as from an unplugged microphone",
        sample_rate_hz=16_000,
        duration_s=30.0,
        sounds_per_minute=0,
    ),
    DemoRecording(
        "damaged.flac",
        "damaged, cannot be opened",
        sample_rate_hz=44_100,
        duration_s=1.0,
        sounds_per_minute=0,
        is_damaged=True,
    ),
)


def make_demo(directory: Path) -> Sequence[DemoRecording]:
    """Write the recordings and ``truth.csv`` (recording,call_count) into ``directory``.

    The samples are the same in every run; so are the files for one version of the
    encoders. A damaged file has an empty count in ``truth.csv``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for seed, recording in enumerate(_DEMO):
        _write(directory / recording.name, recording, seed)
    with open(directory / TRUTH_FILE, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("recording", "call_count"))
        rows.writerows((r.name, "" if r.call_count is None else r.call_count) for r in _DEMO)
    return _DEMO


def _write(path: Path, recording: DemoRecording, seed: int) -> None:
    rate_hz, channels = recording.sample_rate_hz, recording.channels
    samples: Samples = np.zeros((round(recording.duration_s * rate_hz), channels), np.float32)
    if recording.sounds_per_minute:
        samples = synthesise_recording(
            *(recording.duration_s, recording.call_starts_s, rate_hz, channels, seed),
            call_level=recording.call_level,
            sounds_per_minute=recording.sounds_per_minute,
        )
    with soundfile.SoundFile(path, "w", rate_hz, channels, format=path.suffix[1:].upper()) as file:
        if recording.comment:
            file.comment = recording.comment
        file.write(samples)
    if recording.is_damaged:
        path.write_bytes(b"fLaC" + b"\xff" * 1020 + path.read_bytes()[1024:])


def comparison(
    made: Sequence[DemoRecording], counts: Mapping[str, RecordingCount]
) -> tuple[str, bool]:
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
