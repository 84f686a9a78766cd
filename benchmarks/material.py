"""What accuracy is measured on: forest recordings, clips and leks, and who left out what.

A *take* is the source clip that a call in a forest recording is a copy of, or the source of a clip;
a *group* is the background that forest recordings share, or the source of a clip.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.judge import Span
from model.training.clips import DataError, LabelledRecording
from model.training.mixtures import LEK_BIRDS, LEK_LEVEL_DB, lek_calls
from model.training.trials import LEK_CALLS_A_MINUTE
from model.windows import Samples

CLIPS = "clips"
"""The set of recordings that are clips."""

N_LEKS = 12
"""Of each rate."""
FADE_S = 0.1
LEK_RATE_HZ = 48_000
LEK_VERSION = 1
"""Of the way leks are made: those of another version are made again."""


@dataclass(frozen=True)
class Fold:
    """A network, and what it was trained without.

    Attributes:
        model: folder of the exported network.
        left_out: takes, and groups of recordings.
    """

    name: str
    model: Path
    left_out: frozenset[str]


@dataclass(frozen=True)
class Task:
    """One recording for one network to score.

    Attributes:
        of: the set of recordings that it belongs to; of ``CLIPS`` the highest detection counts.
        name, source, path: of the recording.
        fold: index of the network that has left it out.
        calls: that should be detected.
        overlooked: calls that the network was trained on.
    """

    of: str
    name: str
    source: str
    path: Path
    fold: int
    calls: tuple[Span, ...]
    overlooked: tuple[Span, ...] = ()


def read_folds(folder: Path) -> list[Fold]:
    """``folds.json``, as ``capuchinbird train`` leaves it beside its folds' networks.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    path = folder / "folds.json"
    try:
        return [
            Fold(raw["name"], folder / raw["model"], frozenset((*raw["takes"], *raw["sources"])))
            for raw in json.loads(path.read_text(encoding="utf-8"))
        ]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not what train writes ({error!r})") from None


def fold_of_all(model: Path, recordings: Iterable[LabelledRecording]) -> Fold:
    """One network for everything, whatever it was trained on."""
    names = {name for recording in recordings for name in (recording.group, *takes_of(recording))}
    return Fold("all", model, frozenset(names))


def takes_of(recording: LabelledRecording) -> set[str]:
    """The takes of its calls."""
    return {call.take for call in recording.annotations}


def fold_without(folds: Sequence[Fold], name: str) -> int:
    """The first fold that left out a take or a group.

    Raises:
        DataError: none did.
    """
    for index, fold in enumerate(folds):
        if name in fold.left_out:
            return index
    raise DataError(f"{name} is left out by no fold")


def tasks_of(
    of: str, recordings: Iterable[LabelledRecording], folds: Sequence[Fold]
) -> Iterator[Task]:
    """Each recording of a set for the folds that left out its takes, or else its group."""
    for recording in recordings:
        owner = {take: fold_without(folds, take) for take in takes_of(recording)}
        for fold in sorted(set(owner.values())) or [fold_without(folds, recording.group)]:
            calls, overlooked = (
                tuple(
                    Span(call.start_s, call.end_s)
                    for call in recording.annotations
                    if (owner[call.take] == fold) is own
                )
                for own in (True, False)
            )
            name, source = recording.path.name, recording.group.removeprefix("clip/")
            yield Task(of, name, source, recording.path, fold, calls, overlooked)


@dataclass(frozen=True)
class Lek:
    """Birds that call independently of each other over a recording without calls.

    Attributes:
        fold: that left out the birds.
        birds: takes of their calls.
        left_out: whether the fold left out the background, too.
    """

    a_minute: int
    number: int
    fold: int
    birds: tuple[str, ...]
    background: LabelledRecording
    left_out: bool


def plan_leks(
    forest: Sequence[LabelledRecording],
    clips: Sequence[LabelledRecording],
    folds: Sequence[Fold],
    n: int = N_LEKS,
) -> Iterator[Lek]:
    """Leks of every rate, folds in turns: each of birds that one fold left out.

    Backgrounds are those that the fold left out, in turns, or any where it left out none without
    calls.
    """
    quiet = [recording for recording in forest if not recording.annotations]
    takes = {take for clip in clips for take in takes_of(clip)}
    birds = [sorted(takes & fold.left_out) for fold in folds]
    dealt = [index for index, some in enumerate(birds) if some]
    for a_minute in LEK_CALLS_A_MINUTE:
        for number in range(n):
            fold = dealt[number % len(dealt)]
            own = [r for r in quiet if r.group in folds[fold].left_out]
            choice = np.random.default_rng((a_minute, number)).permutation(len(birds[fold]))
            yield Lek(
                a_minute,
                number,
                fold,
                tuple(birds[fold][i] for i in choice[:LEK_BIRDS]),
                (own or quiet)[number // len(dealt) % len(own or quiet)],
                bool(own),
            )


def load(path: Path, rate_hz: int) -> Samples:
    """A file as float32 ``[n]`` at a rate: the mean of its channels."""
    audio, given_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(audio.mean(axis=1), given_hz, rate_hz), np.float32)


def make_lek(
    lek: Lek, background: Samples, sounds: Mapping[str, Sequence[Samples]], rate_hz: int
) -> tuple[Samples, tuple[Span, ...]]:
    """A lek and where its calls lie. The same lek is the same each time.

    Args:
        lek: what to make.
        background: float32 ``[n]``.
        sounds: of every bird, its calls, float32 ``[m]``.
        rate_hz: of all of these.
    """
    rng = np.random.default_rng((lek.a_minute, lek.number, len(lek.birds)))
    audio, spans = background.copy(), []
    loudest = _rms(background) * 10 ** (LEK_LEVEL_DB / 20)
    birds = [sounds[bird] for bird in lek.birds]
    duration_s = len(audio) / rate_hz
    for start_s, call, fainter_db in lek_calls(
        rng, birds, lek.a_minute, duration_s, lambda call: len(call) / rate_hz
    ):
        sound, first = faded(call, round(FADE_S * rate_hz)), round(start_s * rate_hz)
        level = loudest * 10 ** (-fainter_db / 20)
        audio[first : first + len(sound)] += sound * np.float32(level / _rms(sound))
        spans.append(Span(start_s, start_s + len(sound) / rate_hz))
    return audio / max(1.0, 1.02 * float(np.abs(audio).max())), tuple(spans)


def faded(sound: Samples, n: int) -> Samples:
    """A sound without the hard edges of a clip: ``n`` samples of fade at both ends."""
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    return np.concatenate([sound[:n] * ramp, sound[n:-n], sound[-n:] * ramp[::-1]])


def _rms(audio: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) or 1.0


def write_leks(
    leks: Iterable[Lek], clips: Iterable[LabelledRecording], folder: Path
) -> Iterator[Task]:
    """Makes leks as FLAC files at 48 kHz, unless the folder has them from the same material."""
    folder.mkdir(parents=True, exist_ok=True)
    of_bird: dict[str, list[Path]] = {}
    for clip in clips:
        for take in takes_of(clip):
            of_bird.setdefault(take, []).append(clip.path)
    sounds: dict[str, list[Samples]] = {}
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
            background = load(lek.background.path, LEK_RATE_HZ)
            audio, calls = make_lek(lek, background, sounds, LEK_RATE_HZ)
            soundfile.write(path, audio, LEK_RATE_HZ, subtype="PCM_16")
            table.write_text(json.dumps(calls), encoding="utf-8")
        spans = tuple(Span(*call) for call in json.loads(table.read_text(encoding="utf-8")))
        name = f"lek {lek.a_minute:02} {lek.number:02}"
        of = f"leks, {lek.a_minute} calls a minute"
        yield Task(of, name, "+".join(lek.birds), path, lek.fold, spans)
