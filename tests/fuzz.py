"""Damaged recordings by the thousand, counted by the real command: ``python -m tests.fuzz``.

Each round writes a folder of short recordings of every format, damaged at random but by a seed,
under names that names can be, with the minimal files among them that once broke something. The
command counts them, counts them again, and counts them once more after its ledger was damaged. What
must hold is in ``check``. A round that fails leaves its folder and prints its seed.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import io
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

from tests.conftest import noise_with_bursts

ROOT = Path(__file__).resolve().parents[1]
MOST_MEMORY_MB = 1500
LONGEST_RUN_S = 900
"""Bounds for one run over a folder: of the process and its children together, and in all."""

ENCODINGS = (
    ("WAV", "PCM_U8", ".wav"),
    ("WAV", "PCM_16", ".WAV"),
    ("WAV", "PCM_24", ".wav"),
    ("WAV", "FLOAT", ".wav"),
    ("WAV", "DOUBLE", ".wav"),
    ("WAV", "IMA_ADPCM", ".wav"),
    ("WAV", "ULAW", ".wav"),
    ("WAVEX", "PCM_16", ".wav"),
    ("W64", "PCM_16", ".w64"),
    ("RF64", "PCM_16", ".wav"),
    ("FLAC", "PCM_16", ".flac"),
    ("FLAC", "PCM_24", ".flac"),
    ("AIFF", "PCM_16", ".aiff"),
    ("OGG", "VORBIS", ".ogg"),
    ("OGG", "OPUS", ".opus"),
    ("MP3", "MPEG_LAYER_III", ".mp3"),
    ("CAF", "PCM_16", ".caf"),
    ("AU", "PCM_16", ".au"),
    ("M4A", "AAC", ".m4a"),
)
OUR_LINES = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [\d,]+ of [\d,]+ files|capuchinbird: "
    r"|(WARNING|ERROR):pipeline\."
)
"""What may stand on standard error: progress, our own words, warnings of ours."""
OUR_MISTAKES = re.compile(
    r"\b(Index|Key|Type|Attribute|Name|UnboundLocal|ZeroDivision|Overflow|Assertion|Recursion)Error"
    r"|struct\.error"
)
"""What no file can be blamed for."""


@cache
def sound(kind: str, subtype: str, rate: int, channels: int, seconds: float) -> bytes:
    """A short recording with a call or two, encoded."""
    file = io.BytesIO()
    audio = noise_with_bursts(seconds, rate, channels, [0.5, 3.5])
    if kind == "M4A":
        return aac(audio.T.astype(np.float32), rate)
    soundfile.write(file, audio, rate, format=kind, subtype=subtype)
    return file.getvalue()


def aac(audio: npt.NDArray[np.float32], rate: int) -> bytes:
    """Channels of sound as M4A."""
    file, layout = io.BytesIO(), "mono" if len(audio) == 1 else "stereo"
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        planes = np.ascontiguousarray(audio)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def intact(dice: random.Random) -> tuple[bytes, str]:
    """A recording before the damage, and its extension."""
    kind, subtype, extension = dice.choice(ENCODINGS)
    rate = dice.choice([8_000, 16_000, 48_000] if subtype == "OPUS" else [16_000, 44_100, 48_000])
    channels, seconds = dice.choice([1, 2]), dice.choice([1, 2.5, 6])
    return sound(kind, subtype, rate, channels, seconds), extension


EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


def damage(content: bytes, dice: random.Random) -> bytes:
    """The same with a few bits, numbers or stretches of it changed; headers more often."""
    data = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 4, 16])):
        at = dice.randrange(min(len(data), dice.choice([64, 512, len(data)])) or 1)
        match dice.randrange(9):
            case 0:
                data[at : at + 1] = bytes([data[at] ^ 1 << dice.randrange(8)] if data else [])
            case 1:
                number = dice.choice(EXTREMES)
                data[at : at + 4] = struct.pack(dice.choice("<>") + "I", number)
            case 2:
                data[at : at + 8] = struct.pack("<Q", dice.getrandbits(dice.choice([16, 40, 64])))
            case 3:
                del data[dice.randrange(len(data) or 1) :]
            case 4:
                del data[at : at + dice.choice([1, 4, 100, 5000])]
            case 5:
                data[at:at] = dice.randbytes(dice.choice([1, 4, 100]))
            case 6:
                data[at : at + 2000] = bytes(min(2000, len(data) - at))
            case 7:
                end = at + dice.choice([16, 400, 10_000])
                data[at:at] = data[at:end]
            case 8:
                data += b"TAG".ljust(dice.choice([3, 127]), b"\0") + dice.choice([b"\xff", b""])
    return bytes(data)


TIMES = ("2024-06-11T05:30:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59", "2024-02-30T25:61:00")
OFFSETS = ("", "Z", "+00:00:30", "+00:00:00999999", "-23:59", "+99:00", "−03:00")
NUMBERS = ("nan", "inf", "-1e400", "91", "0", "5.1", "1" * 5000, "", "٣")


def riff_note(dice: random.Random) -> bytes:
    """A chunk in which a recorder says impossible things."""
    moment = dice.choice(TIMES) + dice.choice(OFFSETS)
    place = f"{dice.choice(NUMBERS)} {dice.choice(NUMBERS)}"
    kind, text = dice.choice(
        [
            ("guan", f"GUANO|Version: 1.0\nTimestamp: {moment}\nLoc Position: {place}\n"),
            ("LIST", f"INFOICMT\0\0\0\0Recorded at 99:61:00 31/02/0000 (UTC{place}) by AudioMoth"),
            ("wamd", ""),
        ]
    )
    content = text.encode()
    if kind == "wamd":
        for entry, value in ((5, moment), (6, place.replace(" ", ",N,") + ",W")):
            content += struct.pack("<HI", entry, len(value.encode())) + value.encode()
    content += b"\0" * (len(content) % 2)
    return kind.encode() + struct.pack("<I", len(content)) + content


STRANGE = ("\x85", "\u2028", "\r", "\n", "'", '"', ",", "=1+1", "../", "%41", "é", "e\u0301", "🐦")


def name(dice: random.Random, extension: str) -> bytes:
    """A file's name: mostly a recorder's, sometimes whatever a disk allows."""
    match dice.randrange(8):
        case 0:
            middle = dice.choice(STRANGE).replace("/", "∕")
            return f"{dice.getrandbits(32):x}{middle}x{extension}".encode()
        case 1:
            stamp = dice.choice(["00010101_000000Z", "99991231_235959", "20240230_256199+9999"])
            return f"REC{dice.getrandbits(32):x}_{stamp}{extension}".encode()
        case 2:
            return f"{dice.getrandbits(32):x}".encode() + b"\xff\xfe" + extension.encode()
        case 3:
            return f"{dice.getrandbits(32):X}".zfill(8).encode() + extension.encode()
        case _:
            return f"S{dice.getrandbits(40):x}_20240611_053000{extension}".encode()


def wav(channels: int = 1, rate: int = 16_000, stated: int = 1000, samples: bytes = b"") -> bytes:
    """A WAV with a header of choice over 1,000 bytes of audio."""
    block = min(channels * 2, 0xFFFF)
    fields = (16, 1, channels, rate, min(rate * block, 0xFFFF_FFFF), block, 16)
    head = b"RIFF" + struct.pack("<I", min(stated + 36, 0xFFFF_FFFF)) + b"WAVEfmt "
    return (
        head
        + struct.pack("<IHHIIHH", *fields)
        + b"data"
        + struct.pack("<I", stated)
        + (samples or bytes(1000))
    )


def flac(frames: int) -> bytes:
    """A FLAC whose header states another length."""
    data = bytearray(sound("FLAC", "PCM_16", 16_000, 1, 6))
    data[21] = data[21] & 0xF0 | frames >> 32
    data[22:26] = (frames & 0xFFFF_FFFF).to_bytes(4, "big")
    return bytes(data)


def ogg(granule: int) -> bytes:
    """An Ogg file whose last page states another position; its checksum is wrong then."""
    data = bytearray(sound("OGG", "VORBIS", 16_000, 1, 6))
    at = data.rindex(b"OggS")
    data[at + 6 : at + 14] = struct.pack("<Q", granule)
    return bytes(data)


def rf64(frames: int) -> bytes:
    """An RF64 whose ds64 chunk states another length."""
    data = bytearray(sound("RF64", "PCM_16", 16_000, 1, 2.5))
    at = data.index(b"ds64")
    data[at + 16 : at + 32] = struct.pack("<QQ", min(frames * 2, 2**63), frames)
    return bytes(data)


def xing(frames: int) -> bytes:
    """An MP3 whose Xing header states another number of frames."""
    data = bytearray(sound("MP3", "MPEG_LAYER_III", 16_000, 1, 6))
    for mark in (b"Xing", b"Info"):
        if mark in data[:2000]:
            at = data.index(mark)
            data[at + 8 : at + 12] = struct.pack(">I", frames)
    return bytes(data)


def floats(value: float) -> bytes:
    """A recording of one and the same sample."""
    file = io.BytesIO()
    soundfile.write(file, np.full(32_000, value, np.float32), 16_000, "FLOAT", format="WAV")
    return file.getvalue()


def noted(key: bytes, content: bytes) -> bytes:
    """A sound recording with a chunk behind it."""
    content += b"\0" * (len(content) % 2)
    data = sound("WAV", "PCM_16", 16_000, 1, 2.5) + key + struct.pack("<I", len(content)) + content
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


CORPUS: dict[str, Callable[[], bytes]] = {
    "empty.wav": lambda: b"",
    "header_only.wav": lambda: wav()[:44],
    "40_MHz.wav": lambda: wav(rate=40_000_000),
    "1_Hz_for_ever.wav": lambda: wav(rate=1, stated=0x7FFE_FFFF),
    "64_channels_at_1_MHz.wav": lambda: wav(channels=64, rate=1_000_000),
    "65535_channels.wav": lambda: wav(channels=65_535),
    "open_length.flac": lambda: flac(0),
    "longest_length.flac": lambda: flac(2**36 - 1),
    "a_little_too_long.flac": lambda: flac(80_000_000),
    "granule.ogg": lambda: ogg(2**62),
    "ds64.wav": lambda: rf64(2**40),
    "xing.mp3": lambda: xing(0xFFFF_FFFF),
    "id3v1.mp3": lambda: sound("MP3", "MPEG_LAYER_III", 16_000, 1, 6) + b"TAG".ljust(127) + b"\xff",
    "xing_a_little.mp3": lambda: xing(100_000),
    "beyond_measure.wav": lambda: floats(3e38),
    "not_a_number.wav": lambda: floats(float("nan")),
    "REC_00010101_000000Z.wav": lambda: sound("WAV", "PCM_16", 16_000, 1, 1),
    "REC_19000101_000000.wav": lambda: sound("WAV", "PCM_16", 16_000, 1, 1),
    "line\u2028separator.wav": lambda: sound("WAV", "PCM_16", 16_000, 1, 1),
    "carriage\rreturn.wav": lambda: sound("WAV", "PCM_16", 16_000, 1, 1),
    "position.wav": lambda: noted(b"guan", b"GUANO|Version: 1.0\nLoc Position: nan nan\n"),
    "offset.wav": lambda: noted(
        b"guan", b"GUANO|Version: 1.0\nTimestamp: 2024-06-11T05:30:00+00:00:30\n"
    ),
    "long_offset.wav": lambda: noted(
        b"guan", b"GUANO|Version: 1.0\nTimestamp: 2024-06-11T05:30:00+00:00:00999999\n"
    ),
    "digits.wav": lambda: noted(b"wamd", struct.pack("<HI", 6, 200_000) + b"1" * 200_000),
}
"""Minimal files that once stopped, bricked or blew up a run."""


def write_folder(folder: Path, n_files: int, seed: int) -> int:
    """Fills a folder. Returns how many recordings a run should find in it."""
    dice = random.Random(seed)
    folder.mkdir(parents=True)
    for title, make in CORPUS.items():
        (folder / title).write_bytes(make())
    os.mkfifo(folder / "pipe.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "round").symlink_to(".")
    while len(os.listdir(folder)) < n_files:
        content, extension = intact(dice)
        if content[:4] in (b"RIFF", b"RF64") and dice.random() < 0.3:
            content += riff_note(dice)
        path = os.path.join(os.fsencode(folder), name(dice, extension))
        with open(path, "wb") as file:
            file.write(damage(content, dice))
    return len(os.listdir(folder)) - 1  # the link to the folder itself is none


def damage_ledger(output: Path, seed: int) -> None:
    """A few entries and scores as a disk may leave them."""
    dice = random.Random(seed)
    for pattern in ("ledger/**/*.jsonl.gz", "scores/**/*.parquet"):
        found = sorted(output.glob(pattern))
        for path in dice.sample(found, min(len(found), 2)):
            content = path.read_bytes()
            if path.suffix == ".gz" and dice.random() < 0.5:
                lines = gzip.decompress(content).split(b"\n")
                at = dice.randrange(len(lines))
                lines[at] = damage(lines[at], dice) if lines[at] else b"{}"
                path.write_bytes(gzip.compress(b"\n".join(lines)))
            else:
                path.write_bytes(content[: dice.randrange(len(content))])


@dataclass(frozen=True)
class Run:
    """How a run of the command went."""

    code: int
    stderr: str
    seconds: float
    peak_mb: int


def run(folder: Path, output: Path) -> Run:
    """Counts a folder, watching memory and time."""
    command = [sys.executable, "-m", "pipeline", "--input", str(folder), "--output", str(output)]
    command += ["--time_zone", "America/Cayenne", "--format", "raven", "--format", "parquet"]
    started, peak_kb = time.monotonic(), 0
    log = output.with_suffix(".stderr")
    with (
        log.open("w") as err,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=err) as process,
    ):
        while process.poll() is None:
            peak_kb = max(peak_kb, resident_kb(process.pid))
            if time.monotonic() - started > LONGEST_RUN_S:
                process.kill()
            time.sleep(0.1)
    text = log.read_text(errors="replace")
    return Run(process.returncode, text, time.monotonic() - started, peak_kb >> 10)


def resident_kb(pid: int, parent: bytes = b"") -> int:
    """Memory that a process and its children hold.

    A child that has not started its program yet has all memory of its parent, and holds none.
    """
    total = 0
    with contextlib.suppress(OSError, ValueError):
        program = Path(f"/proc/{pid}/cmdline").read_bytes()
        if program == parent:
            return 0
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) if "VmRSS" in status else 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = map(int, (task / "children").read_text().split())
            total += sum(resident_kb(child, program) for child in children)
    return total


def read_rows(output: Path) -> list[dict[str, str]]:
    """counts.csv without the column that names the run."""
    with (output / "counts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["run_id"]
    return rows


def check(done: Run, output: Path, n_files: int) -> list[str]:
    """What does not hold of a run."""
    problems = []
    if done.code not in (0, 3):
        problems.append(f"exit code {done.code}")
    others = [line for line in done.stderr.splitlines() if line and not OUR_LINES.match(line)]
    if others:
        problems.append(f"{len(others)} lines on standard error, such as {others[0]!r}")
    if done.peak_mb > MOST_MEMORY_MB:
        problems.append(f"{done.peak_mb} MB of memory")
    if done.seconds > LONGEST_RUN_S:
        problems.append(f"took more than {LONGEST_RUN_S} s")
    if problems and done.code not in (0, 3):
        return problems
    rows = read_rows(output)
    if len(rows) != n_files or len({row["recording"] for row in rows}) != n_files:
        problems.append(f"{len(rows)} rows for {n_files} recordings")
    if wrong := {row["outcome"] for row in rows} - {
        *("ok", "no_calls", "truncated", "failed", "copy")
    }:
        problems.append(f"outcomes {wrong}")
    if silent := [row for row in rows if row["outcome"] == "failed" and not row["error"]]:
        problems.append(f"{len(silent)} failures without a reason")
    if ours := [row["error"] for row in rows if OUR_MISTAKES.search(row["error"])]:
        problems.append(f"{len(ours)} failures by a mistake of ours, such as {ours[0]!r}")
    numbers = ("latitude", "longitude", "duration_s", "rms_dbfs", "max_score", "expected_calls")
    if any(re.search("nan|inf", row[column]) for row in rows for column in numbers):
        problems.append("a row with what is no number")
    return problems


def one_round(folder: Path, n_files: int, seed: int) -> list[str]:
    """Counts a folder of damaged recordings three times. Returns what does not hold."""
    archive, output = folder / "archive", folder / "out"
    expected = write_folder(archive, n_files, seed)
    first = run(archive, output)
    problems = check(first, output, expected)
    line = f"seed {seed}: {expected} recordings, {first.seconds:.0f} s, {first.peak_mb} MB"
    if not problems:
        tables = [(output / f"{table}.csv").read_bytes() for table in ("counts", "calls")]
        rows = read_rows(output)
        outcomes = [row["outcome"] for row in rows]
        line += "".join(f", {outcomes.count(o)} {o}" for o in sorted(set(outcomes)))
        again = run(archive, output)
        problems += [f"again: {problem}" for problem in check(again, output, expected)]
        if tables != [(output / f"{table}.csv").read_bytes() for table in ("counts", "calls")]:
            problems.append("again: another table")
        damage_ledger(output, seed)
        healed = run(archive, output)
        problems += [f"damaged ledger: {problem}" for problem in check(healed, output, expected)]
        if not problems and read_rows(output) != rows:
            problems.append("damaged ledger: another table")
    print(line, *problems, sep="\n  ", flush=True)
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Rounds until the time is over. Returns how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="start no round after (2)")
    parser.add_argument("--seed", type=int, help="of the first round (by default the time)")
    parser.add_argument("--files", type=int, default=200, help="recordings a round (200)")
    parser.add_argument("--folder", help="where rounds that failed stay (a temporary one)")
    asked = parser.parse_args(argv)
    seed = int(time.time()) if asked.seed is None else asked.seed
    top = Path(asked.folder or tempfile.mkdtemp(prefix="capuchin-fuzz-"))
    end, failed = time.monotonic() + 60 * asked.minutes, 0
    while True:
        folder = top / str(seed)
        if one_round(folder, asked.files, seed):
            failed += 1
        else:
            shutil.rmtree(folder)
        seed += 1
        if time.monotonic() >= end:
            return failed


if __name__ == "__main__":
    sys.exit(main())
