"""Files that say something else than they hold: ``python -m tests.accounts --files 10000``.

Short recordings of every container are cut, joined, padded and given other lengths in their
headers, at random places. What is decoded, what the header promises beyond it and what is flagged
must together be the file: none is ``ok`` without a flag while it holds a byte that nothing accounts
for, or sound that was not heard.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import soundfile

from model.audio.decoders import AudioError
from model.audio.recording import Recording
from pipeline.inference.count import unheard
from pipeline.inference.decode import header_of
from tests.conftest import noise_with_bursts
from tests.fuzz import ENCODINGS, aac

LONGEST_HEADER_BYTES = 4500
LENGTHS_S = (1.0, 1.7, 3.1)
TOLERANCE_S = 0.13
"""Encoders fill their last frames, and a loss of a tenth of a second passes for none."""


@dataclass(frozen=True)
class Part:
    """A recording in a file: where it begins and ends, and how long it is at least."""

    begin: int
    end: int
    seconds: float

    def until(self, at: int) -> Part:
        """What a cut leaves of it."""
        if at >= self.end:
            return self
        share = max(0, at - self.begin - LONGEST_HEADER_BYTES) / (self.end - self.begin)
        return Part(self.begin, at, self.seconds * share)

    def moved(self, at: int, n: int) -> Part:
        """The same with bytes put into the file."""
        return Part(
            self.begin + n * (at <= self.begin), self.end + n * (at < self.end), self.seconds
        )


@dataclass(frozen=True)
class Made:
    """A file, and what was put into it.

    Attributes:
        content: its bytes.
        sound_s: length of the recordings it was made from.
        parts: where these recordings lie, and how much of their sound does at least.
        junk_bytes: what was added that is no recording.
        how: what was done, in words.
    """

    content: bytes
    sound_s: float
    parts: tuple[Part, ...]
    junk_bytes: int
    how: tuple[str, ...]
    encoding: str

    @property
    def remains_s(self) -> float:
        """So much of the sound has not been cut off, at least."""
        return sum(part.seconds for part in self.parts)

    @property
    def name(self) -> str:
        """As its encoding has it."""
        return "a" + next(e for k, s, e in ENCODINGS if f"{k} {s}" == self.encoding)


@cache
def whole(number: int, rate: int, seconds: float) -> bytes:
    """A recording in an encoding, by its number."""
    kind, subtype, _ = ENCODINGS[number]
    audio = noise_with_bursts(seconds, rate, 1, [0.2], seed=number)
    if kind == "M4A":
        return aac(audio.T.astype(np.float32), rate)
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=kind, subtype=subtype)
    return file.getvalue()


def take(dice: random.Random, number: int | None = None) -> Made:
    """A whole recording."""
    number = dice.randrange(len(ENCODINGS)) if number is None else number
    seconds = dice.choice(LENGTHS_S)
    content = whole(number, 16_000, seconds)
    parts = (Part(0, len(content), seconds),)
    return Made(content, seconds, parts, 0, (), " ".join(ENCODINGS[number][:2]))


def cut(made: Made, dice: random.Random) -> Made:
    """Without its end."""
    at = dice.randrange(len(made.content) // 20, len(made.content))
    parts = tuple(part.until(at) for part in made.parts if part.begin < at)
    return replace(made, content=made.content[:at], parts=parts, how=(*made.how, "cut"))


def joined(made: Made, dice: random.Random) -> Made:
    """With another recording behind it, mostly of the same encoding."""
    numbers = [k for k, e in enumerate(ENCODINGS) if " ".join(e[:2]) == made.encoding]
    more = take(dice, dice.choice(numbers) if dice.random() < 0.7 else None)
    return replace(
        made,
        content=made.content + more.content,
        sound_s=made.sound_s + more.sound_s,
        parts=(*made.parts, *(part.moved(0, len(made.content)) for part in more.parts)),
        how=(*made.how, "joined"),
    )


def padded(made: Made, dice: random.Random) -> Made:
    """With bytes in it, or behind it, that belong to nothing."""
    n = dice.choice([1, 2, 13, 300, 5000])
    junk = dice.choice([bytes(n), dice.randbytes(n), (b"Dear diary. " * n)[:n]])
    at = len(made.content) if dice.random() < 0.6 else dice.randrange(len(made.content))
    content = made.content[:at] + junk + made.content[at:]
    return replace(made, content=content, junk_bytes=made.junk_bytes + n, how=(*made.how, "padded"))


def reheaded(made: Made, dice: random.Random) -> Made:
    """With another length in its header."""
    data = bytearray(made.content)
    factor = dice.choice([0, 0.001, 0.25, 0.5, 0.9, 1.5, 2])
    for mark, place, kind in (
        (b"data", 4, "<I"),
        (b"SSND", 4, ">I"),
        (b".snd", 8, ">I"),
        (b"data", 4, ">q"),
        (b"data", 16, "<Q"),
        (b"Xing", 8, ">I"),
        (b"Info", 8, ">I"),
        (b"ds64", 16, "<Q"),
        (b"fLaC", 18, ">Q"),
    ):
        if mark not in data[:2000]:
            continue
        is_w64, is_caf = data[:4] == b"riff", data[:4] == b"caff"
        if mark == b"data" and kind != {(1, 0): "<Q", (0, 1): ">q"}.get((is_w64, is_caf), "<I"):
            continue
        at = data.index(mark) + place
        [value] = struct.unpack_from(kind, data, at)
        if mark == b"fLaC":
            low = value & (1 << 36) - 1
            struct.pack_into(kind, data, at, value - low + min(int(low * factor), (1 << 36) - 1))
        elif value <= 0xFFFF_FFFE:
            struct.pack_into(kind, data, at, int(value * factor))
    return replace(made, content=bytes(data), how=(*made.how, "header"))


CHANGES: tuple[Callable[[Made, random.Random], Made], ...] = (cut, joined, padded, reheaded)


def make(dice: random.Random) -> Made:
    """A file with up to three changes."""
    made = take(dice)
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
        made = dice.choice(CHANGES)(made, dice)
    return made


@dataclass(frozen=True)
class Verdict:
    """What comes of a file: its outcome, its flags, and what is wrong with them."""

    outcome: str
    flags: tuple[str, ...]
    wrong: str = ""


def judge(made: Made) -> Verdict:
    """Decodes a file as a job does, and compares what is said of it with what was put into it."""
    try:
        with Recording(io.BytesIO(made.content), made.name) as recording:
            info = recording.info
            header = header_of(info)
            segment = recording.read(0, info.n_samples)
    except AudioError:
        return Verdict("failed", ())
    missing = sum(end - first for first, end in segment.missing)
    heard_s = (len(segment.samples) - missing) / 16_000
    lost_s = header.duration_s - min(heard_s, header.duration_s)
    problems = list(unheard(len(made.content), header, lost_s))
    flags = tuple(header.remarks.split())
    outcome = "truncated" if problems else "ok"
    is_short = header.duration_s < made.sound_s - TOLERANCE_S
    # Junk where sound was cut off passes for it; a FLAC's checksum may end in zeros.
    is_spoilt = "cut" in made.how or (
        made.junk_bytes <= 2 and made.content[-made.junk_bytes :] == bytes(made.junk_bytes)
    )
    wrong = ""
    if not heard_s:
        return Verdict("failed", flags)
    if outcome == "ok" and header.unaccounted_bytes:
        wrong = f"ok with {header.unaccounted_bytes} bytes unaccounted for"
    elif outcome == "ok" and not flags and made.junk_bytes and not is_spoilt:
        wrong = f"ok without a flag with {made.junk_bytes} bytes of junk"
    elif outcome == "ok" and header.duration_s < made.remains_s - TOLERANCE_S:
        wrong = f"ok with {header.duration_s:.2f} of {made.remains_s:.2f} s"
    elif outcome == "ok" and made.how == ("cut",) and is_short:
        wrong = f"ok, and cut from {made.sound_s:.2f} to {header.duration_s:.2f} s"
    elif not made.how and outcome != "ok":
        wrong = f"a whole file is {outcome}: {problems}"
    elif not made.how and abs(header.duration_s - made.sound_s) > TOLERANCE_S:
        wrong = f"{header.duration_s:.2f} of {made.sound_s:.2f} s"
    return Verdict(outcome, flags, wrong)


def main() -> int:
    """Judges files. Returns how many were judged wrongly, at most 100."""
    parser = argparse.ArgumentParser(prog="python -m tests.accounts", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    came_to: Counter[tuple[str, str]] = Counter()
    n_wrong, started = 0, time.monotonic()
    for number in range(asked.files):
        seed = asked.seed * 1_000_000 + number
        made = make(random.Random(seed))
        verdict = judge(made)
        came_to[" + ".join(made.how) or "whole", verdict.outcome] += 1
        if verdict.wrong:
            n_wrong += 1
            print(f"{seed}: {made.encoding}, {made.how}: {verdict.wrong}", file=sys.stderr)
        if number % 500 == 499:
            print(f"{number + 1} files, {time.monotonic() - started:.0f} s", file=sys.stderr)
    for (how, outcome), n in sorted(came_to.items()):
        print(f"{how:36} {outcome:12} {n}")
    print(f"{asked.files} files, {n_wrong} wrong")
    return min(n_wrong, 100)


if __name__ == "__main__":
    sys.exit(main())
