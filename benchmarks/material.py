"""What accuracy is measured on: forest recordings, clips and leks, and who left out what.

A *take* is the source clip that a call in a forest recording is a copy of, a *background* what
forest recordings share besides calls, a *source* the bird and place, or the sound, that clips are
cut from.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from benchmarks.judge import Span

Audio = npt.NDArray[np.float32]

LEK_RATES = (2, 8, 16)
"""Calls a minute."""
N_LEKS = 12
"""Of each rate."""
N_BIRDS = 3
LEAST_GAP_S = 1.0
FADE_S = 0.1
LOUDEST_DB, SPREAD_DB = 12.0, 12.0
"""Of a call over the background, and how much fainter others are at most."""
LEK_RATE_HZ = 48_000
LEK_VERSION = 1
"""Of the way leks are made: those of another version are made again."""


class MaterialError(ValueError):
    """Tables that cannot be read, or something that no fold left out."""


@dataclass(frozen=True)
class Recording:
    """A forest recording with its calls and the take of each."""

    name: str
    path: Path
    background: str
    calls: tuple[tuple[Span, str], ...]


@dataclass(frozen=True)
class Clip:
    """A clip of one call or of another sound."""

    name: str
    path: Path
    source: str
    is_call: bool
    duration_s: float


@dataclass(frozen=True)
class Fold:
    """A network, and what it was trained without.

    Attributes:
        model: folder of the exported network.
        left_out: takes of forest calls, sources of clips, backgrounds of forest recordings.
    """

    name: str
    model: Path
    left_out: frozenset[str]


@dataclass(frozen=True)
class Task:
    """One recording for one network to score.

    Attributes:
        of: the set of recordings that it belongs to.
        name, source, path: of the recording.
        fold: index of the network that has left it out.
        calls: that should be detected.
        overlooked: calls that the network was trained on.
        is_clip: its highest detection alone counts, for all of it.
        duration_s: of a clip.
    """

    of: str
    name: str
    source: str
    path: Path
    fold: int
    calls: tuple[Span, ...]
    overlooked: tuple[Span, ...] = ()
    is_clip: bool = False
    duration_s: float = 0.0


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise MaterialError(f"{path}: cannot be read ({error.strerror})") from None


def read_forest(folder: Path) -> list[Recording]:
    """``recordings.csv`` (``recording,background``) and ``annotations.csv`` of a folder."""
    calls: dict[str, list[tuple[Span, str]]] = {}
    for row in _rows(folder / "annotations.csv"):
        span = Span(float(row["start_s"]), float(row["end_s"]))
        calls.setdefault(row["recording"], []).append((span, row["take"]))
    return [
        Recording(
            row["recording"],
            folder / "recordings" / row["recording"],
            row["background"],
            tuple(calls.get(row["recording"], ())),
        )
        for row in _rows(folder / "recordings.csv")
    ]


def read_clips(folder: Path) -> list[Clip]:
    """``clips.csv`` (``clip,source,call,duration_s``) of a folder; files may have another suffix.

    Raises:
        MaterialError: the table cannot be read, or a clip of it is not there.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*/*"))}
    clips = []
    for row in _rows(folder / "clips.csv"):
        path = paths.get(Path(row["clip"]).stem)
        if path is None:
            raise MaterialError(f"{folder}: {row['clip']} of clips.csv is not there")
        is_call = row["call"] == "1"
        clips.append(Clip(path.stem, path, row["source"], is_call, float(row["duration_s"])))
    return clips


def read_folds(folder: Path) -> list[Fold]:
    """``folds.json``, as ``capuchinbird train`` leaves it beside its folds' networks."""
    path = folder / "folds.json"
    try:
        return [
            Fold(
                raw["name"],
                folder / raw["model"],
                frozenset(name.removeprefix("clip/") for name in (*raw["takes"], *raw["sources"])),
            )
            for raw in json.loads(path.read_text(encoding="utf-8"))
        ]
    except OSError as error:
        raise MaterialError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise MaterialError(f"{path}: not what train writes ({error!r})") from None


def fold_of_all(model: Path, forest: Iterable[Recording], clips: Iterable[Clip]) -> Fold:
    """One network for everything, whatever it was trained on."""
    names = {clip.source for clip in clips}
    for recording in forest:
        names |= {recording.background, *(take for _, take in recording.calls)}
    return Fold("all", model, frozenset(names))


def fold_without(folds: Sequence[Fold], name: str) -> int:
    """The first fold that left out a take, a source or a background.

    Raises:
        MaterialError: none did.
    """
    for index, fold in enumerate(folds):
        if name in fold.left_out:
            return index
    raise MaterialError(f"{name} is left out by no fold")


def forest_tasks(forest: Iterable[Recording], folds: Sequence[Fold]) -> Iterator[Task]:
    """Each recording for the folds that left out its takes, or else its background."""
    for recording in forest:
        takes = {take for _, take in recording.calls}
        owner = {take: fold_without(folds, take) for take in takes}
        for fold in sorted(set(owner.values())) or [fold_without(folds, recording.background)]:
            yield Task(
                "forest",
                recording.name,
                recording.background,
                recording.path,
                fold,
                tuple(span for span, take in recording.calls if owner[take] == fold),
                tuple(span for span, take in recording.calls if owner[take] != fold),
            )


def clip_tasks(clips: Iterable[Clip], folds: Sequence[Fold]) -> Iterator[Task]:
    """Each clip for the fold that left out its source."""
    for clip in clips:
        calls = (Span(0.0, clip.duration_s),) if clip.is_call else ()
        yield Task(
            "clips",
            clip.name,
            clip.source,
            clip.path,
            fold_without(folds, clip.source),
            calls,
            is_clip=True,
            duration_s=clip.duration_s,
        )


@dataclass(frozen=True)
class Lek:
    """Birds that call independently of each other over a recording without calls.

    Attributes:
        fold: that left out the birds.
        birds: sources of their calls.
        left_out: whether the fold left out the background, too.
    """

    a_minute: int
    number: int
    fold: int
    birds: tuple[str, ...]
    background: Recording
    left_out: bool


def plan_leks(
    forest: Sequence[Recording], clips: Sequence[Clip], folds: Sequence[Fold], n: int = N_LEKS
) -> Iterator[Lek]:
    """Leks of every rate, folds in turns: each of birds that one fold left out.

    Backgrounds are those that the fold left out, in turns, or any where it left out none without
    calls.
    """
    quiet = [recording for recording in forest if not recording.calls]
    birds = [sorted({c.source for c in clips if c.is_call} & fold.left_out) for fold in folds]
    dealt = [index for index, some in enumerate(birds) if some]
    for a_minute in LEK_RATES:
        for number in range(n):
            fold = dealt[number % len(dealt)]
            own = [r for r in quiet if r.background in folds[fold].left_out]
            choice = np.random.default_rng((a_minute, number)).permutation(len(birds[fold]))
            yield Lek(
                a_minute,
                number,
                fold,
                tuple(birds[fold][i] for i in choice[:N_BIRDS]),
                (own or quiet)[number // len(dealt) % len(own or quiet)],
                bool(own),
            )


def load(path: Path, rate_hz: int) -> Audio:
    """A file as float32 ``[n]`` at a rate: the mean of its channels."""
    audio, given_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(audio.mean(axis=1), given_hz, rate_hz), np.float32)


def make_lek(
    lek: Lek, background: Audio, sounds: dict[str, list[Audio]], rate_hz: int
) -> tuple[Audio, tuple[Span, ...]]:
    """A lek and where its calls lie. The same lek is the same each time.

    Args:
        lek: what to make.
        background: float32 ``[n]``.
        sounds: of every bird, its calls, float32 ``[m]``.
        rate_hz: of all of these.
    """
    generator = np.random.default_rng((lek.a_minute, lek.number, len(lek.birds)))
    audio, calls, start_s = background.copy(), [], 2.0
    loudest = _rms(background) * 10 ** (LOUDEST_DB / 20)
    while True:
        start_s += max(LEAST_GAP_S, generator.exponential(60 / lek.a_minute))
        own = sounds[lek.birds[generator.integers(len(lek.birds))]]
        sound = faded(own[generator.integers(len(own))], round(FADE_S * rate_hz))
        first = round(start_s * rate_hz)
        if first + len(sound) > len(audio) - rate_hz:
            break
        level = loudest * 10 ** (-generator.uniform(0, SPREAD_DB) / 20)
        audio[first : first + len(sound)] += sound * np.float32(level / _rms(sound))
        calls.append(Span(start_s, start_s + len(sound) / rate_hz))
    return audio / max(1.0, 1.02 * float(np.abs(audio).max())), tuple(calls)


def faded(sound: Audio, n: int) -> Audio:
    """A sound without the hard edges of a clip: ``n`` samples of fade at both ends."""
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    return np.concatenate([sound[:n] * ramp, sound[n:-n], sound[-n:] * ramp[::-1]])


def _rms(audio: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) or 1.0


def write_leks(leks: Iterable[Lek], clips: Iterable[Clip], folder: Path) -> Iterator[Task]:
    """Makes leks as FLAC files at 48 kHz, unless the folder has them from the same material."""
    folder.mkdir(parents=True, exist_ok=True)
    of_bird: dict[str, list[Path]] = {}
    for clip in clips:
        if clip.is_call:
            of_bird.setdefault(clip.source, []).append(clip.path)
    sounds: dict[str, list[Audio]] = {}
    for lek in leks:
        parts = [lek.background.path, *(path for bird in lek.birds for path in of_bird[bird])]
        key = hashlib.sha256(f"{LEK_VERSION} {lek.a_minute} {lek.number} {lek.birds}".encode())
        for part in parts:
            key.update(hashlib.sha256(part.read_bytes()).digest())
        path = folder / f"{key.hexdigest()[:32]}.flac"
        table = path.with_suffix(".json")
        if not table.exists():
            for bird in set(lek.birds) - sounds.keys():
                sounds[bird] = [load(clip, LEK_RATE_HZ) for clip in of_bird[bird]]
            audio, calls = make_lek(
                lek, load(lek.background.path, LEK_RATE_HZ), sounds, LEK_RATE_HZ
            )
            soundfile.write(path, audio, LEK_RATE_HZ, subtype="PCM_16")
            table.write_text(json.dumps(calls), encoding="utf-8")
        spans = tuple(Span(*call) for call in json.loads(table.read_text(encoding="utf-8")))
        name = f"lek {lek.a_minute:02} {lek.number:02}"
        of = f"leks, {lek.a_minute} calls a minute"
        yield Task(of, name, "+".join(lek.birds), path, lek.fold, spans)
