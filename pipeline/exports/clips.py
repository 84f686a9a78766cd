"""Calls as audio files, unchanged, with metadata inside.

A clip has the sample rate and the channels of its recording. Its name begins with the site and the
start of the clip by the clock on site, which other programs read. The metadata are GUANO
(https://guano-md.org): in a WAV as the chunk ``guan``; in a FLAC, for which GUANO defines no place,
as the comment.
"""

from __future__ import annotations

import io
import math
import posixpath
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

import numpy as np
import soundfile

from model.audio.decoders import AudioError, SndfileDecoder
from model.audio.isolated import IsolatedRecording
from model.windows import SAMPLE_RATE_HZ, Samples, samples_from_seconds
from pipeline.exports.species import CAPUCHINBIRD, species_of
from pipeline.inputs.local_time import called
from pipeline.records import SCORE_DIGITS, RecordingCount
from pipeline.storage import files
from pipeline.survey.findings import Finding
from pipeline.tables.cell_text import encode, guard_path, guard_text
from pipeline.tables.csv_text import csv_line
from pipeline.tables.score_scale import score_place

ClipChoice = Literal["balanced", "strongest", "random"]
AudioFormat = Literal["flac", "wav"]
SCORE_BINS = 10


@dataclass(frozen=True)
class SavedClip:
    """A row of clips.csv.

    Attributes:
        clip: its name below the folder of clips.
        begin_s: start of the clip in the recording, in seconds.
        start_s, end_s: the call, in seconds from the start of the clip.
        heard: answer of the observers, or empty.
    """

    clip: str
    recording: str
    begin_s: float
    start_s: float
    end_s: float
    score: float | None
    site: str
    starts_local: str
    heard: str


def choose_findings(
    findings: Iterable[Finding],
    per_site: int,
    share: float,
    choice: ClipChoice,
    rng: np.random.Generator,
) -> list[Finding]:
    """Some findings of each site, by recording and time.

    Args:
        findings: all.
        per_site: maximum for each site.
        share: of a site's findings, 0 to 1, rounded up.
        choice: balanced: as many as possible from each tenth of the log odds between the site's
            lowest and highest score; strongest: the highest scores; random: any.
        rng: source of randomness.
    """
    of_site: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        of_site[finding.recording.site].append(finding)
    chosen = []
    for _, those in sorted(of_site.items()):
        n = min(per_site, math.ceil(round(share * len(those), 9)))
        if choice == "strongest":
            ordered = sorted(those, key=lambda finding: -(finding.score or 0))
        else:
            ordered = [those[i] for i in rng.permutation(len(those))]
            if choice == "balanced":
                ordered = _in_turn(ordered)
        chosen += ordered[:n]
    return sorted(chosen, key=lambda finding: (finding.recording.recording, finding.start_s))


def _in_turn(findings: Sequence[Finding]) -> list[Finding]:
    """One of each bin of scores, the strongest bin first, then a second one of each, and so on."""
    places = [float(score_place(finding.score or 0.0)) for finding in findings]
    low, width = min(places), max(1e-9, max(places) - min(places)) / SCORE_BINS
    bins: dict[int, list[Finding]] = defaultdict(list)
    for finding, place in zip(findings, places, strict=True):
        bins[min(SCORE_BINS - 1, int((place - low) / width))].append(finding)
    turns = [(n, -of, finding) for of in bins for n, finding in enumerate(bins[of])]
    return [finding for _, _, finding in sorted(turns, key=lambda turn: turn[:2])]


def cut_clips(
    findings: Sequence[Finding], folder: str, pad_s: float, audio_format: AudioFormat
) -> tuple[list[SavedClip], list[str]]:
    """Writes the clips and their table clips.csv.

    Args:
        findings: by recording; the function opens each recording once.
        folder: local or in a bucket.
        pad_s: audio before and after a call, within the recording.
        audio_format: of the files.

    Returns:
        The rows of the table, and a line for each unreadable recording.
    """
    saved: list[SavedClip] = []
    problems = []
    of_recording: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        of_recording[finding.recording.recording].append(finding)
    names: set[str] = set()
    for recording, those in of_recording.items():
        try:
            for begin_s, rate_hz, audio, finding in _stretches(recording, those, pad_s):
                row = _row(finding, begin_s, audio_format, names)
                content = packed(audio, rate_hz, guano(row, finding, len(audio), rate_hz), row.clip)
                files.write_atomically(files.join(folder, row.clip), [content])
                saved.append(row)
        except (AudioError, OSError, soundfile.LibsndfileError) as error:
            problems.append(str(error))
    lines = [csv_line([field.name for field in fields(SavedClip)]), *map(_line, saved)]
    files.write_atomically(files.join(folder, "clips.csv"), [encode("".join(lines))])
    return saved, problems


def _stretches(
    recording: str, findings: Sequence[Finding], pad_s: float
) -> Iterator[tuple[float, int, Samples, Finding]]:
    """Each call with its surroundings: start in seconds, sample rate, audio ``[n, channels]``.

    Files that libsndfile cannot open (M4A) come as the model's input: 16 kHz, one channel.
    """
    with files.open_to_read(recording) as source:
        try:
            decoder = SndfileDecoder(source, recording)
        except soundfile.LibsndfileError:
            with IsolatedRecording(source, recording) as opened:
                for finding in findings:
                    begin_s = max(0.0, finding.start_s - pad_s)
                    first = samples_from_seconds(begin_s)
                    end = min(opened.info.n_samples, samples_from_seconds(finding.end_s + pad_s))
                    samples = opened.read(first, end - first).samples
                    yield first / SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, samples[:, None], finding
            return
        try:
            rate_hz = decoder.info.sample_rate_hz
            for finding in findings:
                first = round(max(0.0, finding.start_s - pad_s) * rate_hz)
                decoder.start(first)
                n_frames = round((finding.end_s + pad_s) * rate_hz) - first
                audio = np.empty((n_frames, decoder.info.channels), np.float32)
                yield first / rate_hz, rate_hz, audio[: decoder.read(audio)], finding
        finally:
            decoder.close()


def _row(finding: Finding, begin_s: float, audio_format: AudioFormat, names: set[str]) -> SavedClip:
    recording = finding.recording
    _, local = called(recording, begin_s)
    stem = posixpath.splitext(posixpath.basename(recording.recording))[0]
    when = f"{datetime.fromisoformat(local):%Y%m%d_%H%M%S}" if local else ""
    parts = [recording.site, when, stem, f"{begin_s:.1f}s"]
    name = "_".join(_safe(part) for part in parts if part)
    number = 1
    while (clip := f"{_safe(recording.site) or 'no site'}/{name}.{audio_format}") in names:
        number += 1
        name = f"{name.removesuffix(f'-{number - 1}')}-{number}"
    names.add(clip)
    return SavedClip(
        clip=clip,
        recording=recording.recording,
        begin_s=begin_s,
        start_s=finding.start_s - begin_s,
        end_s=finding.end_s - begin_s,
        score=finding.score,
        site=recording.site,
        starts_local=local,
        heard=finding.verdict.answer if finding.verdict else "",
    )


def _safe(text: str) -> str:
    cleaned = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]', "_", text).strip(". ")
    return cleaned.encode()[:80].decode("utf-8", "ignore")


def _line(row: SavedClip) -> str:
    return csv_line(
        [
            guard_path(row.clip),
            guard_path(row.recording),
            *(f"{value:.3f}" for value in (row.begin_s, row.start_s, row.end_s)),
            "" if row.score is None else f"{row.score:.{SCORE_DIGITS}f}",
            guard_text(row.site),
            row.starts_local,
            row.heard,
        ]
    )


def guano(row: SavedClip, finding: Finding, n_frames: int, rate_hz: int) -> str:
    """Metadata of a clip as GUANO, a line for each field."""
    recording: RecordingCount = finding.recording
    species = species_of(finding.call.label) if finding.call else CAPUCHINBIRD
    has_position = recording.latitude is not None and recording.longitude is not None
    entries: Mapping[str, str] = {
        "GUANO|Version": "1.0",
        "Timestamp": called(recording, row.begin_s)[0] or row.starts_local,
        "Length": f"{n_frames / rate_hz:.3f}",
        "Samplerate": str(rate_hz),
        "Original Filename": posixpath.basename(row.recording),
        "Loc Position": f"{recording.latitude:.6f} {recording.longitude:.6f}"
        if has_position
        else "",
        "Species Auto ID": species.code or species.common if finding.call else "",
        "Species Manual ID": species.code or species.common if finding.is_verified else "",
        "Capuchinbird|Site": recording.site,
        "Capuchinbird|Model": recording.model_version,
        "Capuchinbird|Score": "" if row.score is None else f"{row.score:.{SCORE_DIGITS}f}",
        "Capuchinbird|Call": f"{row.start_s:.3f} {row.end_s:.3f}",
        "Capuchinbird|Recording Offset": f"{row.begin_s:.3f}",
    }
    lines = [f"{key}: {' '.join(value.split())}" for key, value in entries.items() if value]
    return "\n".join(lines) + "\n"


def packed(audio: Samples, rate_hz: int, note: str, name: str) -> bytes:
    """A clip as the bytes of its file.

    Args:
        audio: ``[n, channels]``, full scale 1; louder samples clip.
        rate_hz: sample rate.
        note: the GUANO text.
        name: ends in the format.
    """
    buffer = io.BytesIO()
    is_flac = name.endswith(".flac")
    layout = {"format": "FLAC" if is_flac else "WAV", "subtype": "PCM_16"}
    with soundfile.SoundFile(buffer, "w", rate_hz, audio.shape[1], **layout) as file:
        if is_flac:
            file.comment = note
        file.write(np.clip(audio, -1, 1))
    content = buffer.getvalue()
    if is_flac:
        return content
    chunk = encode(note)
    body = content[8:] + b"guan" + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body
