"""From a recording's name to the audio of its windows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import IO

import numpy as np

from model.audio.channels import MIX
from model.audio.decoders import AudioError, AudioInfo, DecoderMissingError, begins_anywhere
from model.audio.isolated import IsolatedRecording
from model.audio.mp3 import Mp3Way
from model.audio.recording import Recording
from model.windows import SAMPLE_RATE_HZ, Grid
from pipeline.inputs.recorder_notes import read_note
from pipeline.inputs.versions import content_checksum
from pipeline.records import (
    Failure,
    Listed,
    Origin,
    RecordingHeader,
    SegmentAudio,
    SegmentPlan,
)
from pipeline.storage import files

SMALL_BYTES = 32 * 1024 * 1024
"""Up to this size a recording is opened once, by who decodes it: 5 minutes of 48 kHz in 16 bits are
28 MB. Longer ones are looked at first, so that many workers can share them."""


def is_small(listed: Listed) -> bool:
    """Whether a recording is decoded by one worker, in one reading."""
    return listed.size <= SMALL_BYTES


@contextmanager
def opened(
    listed: Listed, plan: SegmentPlan | None = None, channel: str = MIX
) -> Iterator[tuple[str | IO[bytes], IsolatedRecording]]:
    """A recording's content and its decoder.

    Args:
        listed: the recording; another version is an error.
        plan: of the segment, if an earlier step read the header.
        channel: which channels to hear.
    """
    name, look, way = listed.recording, None, None
    if plan:
        header, way = plan.origin.header, plan.way
        form = header.sample_rate_hz, header.channels, header.frames, 0, header.encoding
        look = AudioInfo(*form, is_plain=header.is_plain)
    whole = 0 <= listed.size <= SMALL_BYTES
    with (
        files.open_to_read(name, listed.stamp, listed.size, at_once=whole) as source,
        IsolatedRecording(source, name, look, way, channel) as recording,
    ):
        yield source, recording


def read_header(
    listed: Listed,
    grid: Grid,
    segment_samples: int,
    at_hand: tuple[str | IO[bytes], IsolatedRecording] | None = None,
) -> RecordingHeader:
    """Reads the file's header and counts its segments.

    Args:
        listed: the recording.
        grid: of the network's inputs.
        segment_samples: length of a segment.
        at_hand: from ``opened``, if the recording is open.

    Raises:
        AudioError: the file is unreadable, or holds no audio.
    """
    recording = listed.recording
    with nullcontext(at_hand) if at_hand else opened(listed) as (source, decoder):
        info = decoder.info
        note = read_note(source, recording)
    checksum = content_checksum(recording) if files.is_local(recording) else ""
    if info.frames == info.absent_frames:
        raise AudioError(f"{recording}: holds no audio (the recorder may have lost power)")
    header = replace(header_of(info), note=note, checksum=checksum)
    n_inputs = _count_present_inputs(header, grid)
    return replace(header, n_segments=-(-n_inputs // _inputs_in_segment(grid, segment_samples)))


def header_of(info: AudioInfo) -> RecordingHeader:
    """The header of a file that was looked into, without segments."""
    present_frames = info.frames - info.absent_frames
    return RecordingHeader(
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        encoding=info.encoding,
        duration_s=info.duration_s,
        n_samples=info.n_samples,
        n_segments=0,
        absent_samples=info.n_samples + (-present_frames * SAMPLE_RATE_HZ // info.sample_rate_hz),
        unaccounted_bytes=info.unaccounted_bytes,
        remarks=info.remarks,
        is_plain=info.is_plain,
    )


def _inputs_in_segment(grid: Grid, segment_samples: int) -> int:
    return max(1, segment_samples // grid.hop_samples)


def _count_present_inputs(header: RecordingHeader, grid: Grid) -> int:
    """Inputs with present audio: a header may promise a thousand years more."""
    present = header.n_samples - header.absent_samples
    return min(grid.count_inputs(header.n_samples), -(-present // grid.hop_samples))


def plan_segments(
    listed: Listed,
    header: RecordingHeader,
    grid: Grid,
    segment_samples: int,
    way: Mp3Way | None = None,
) -> Iterator[SegmentPlan]:
    """Divides the network's inputs of a recording into segments."""
    n_inputs = _count_present_inputs(header, grid)
    step = _inputs_in_segment(grid, segment_samples)
    for first in range(0, n_inputs, step):
        size = min(step, n_inputs - first)
        origin = Origin(listed, header, first)
        plan = SegmentPlan(listed.recording, first, size, header.n_samples, size / n_inputs, origin)
        if way:
            start, end = _stretch(plan, grid)
            minutes = start // (60 * SAMPLE_RATE_HZ), end // (60 * SAMPLE_RATE_HZ)
            plan = replace(plan, way=way.between(*minutes))
        yield plan


def with_whom(work: Listed | SegmentPlan) -> str:
    """A key for work that goes to one worker.

    Segments get keys of their own, except in a recording that decoders must read from its start:
    there the decoding of one segment passes by the others.
    """
    if isinstance(work, Listed):
        return work.recording
    anywhere = work.way or begins_anywhere(work.origin.header.encoding)
    return f"{work.recording}\n{work.first_input}" if anywhere else work.recording


def _stretch(plan: SegmentPlan, grid: Grid) -> tuple[int, int]:
    """First sample and end of a segment's inputs in the recording."""
    start = plan.first_input * grid.hop_samples - grid.context_samples
    last = (plan.first_input + plan.n_inputs - 1) * grid.hop_samples
    end = last - grid.context_samples + grid.input_samples
    return max(0, start), min(end, plan.n_samples)


def decode_segment(
    recording: Recording | IsolatedRecording, plan: SegmentPlan, grid: Grid
) -> SegmentAudio:
    """Decodes the audio of a segment's inputs, with the context around it.

    Audio that the decoder cannot read gets no score.
    """
    inputs = np.arange(plan.first_input, plan.first_input + plan.n_inputs) * grid.hop_samples
    own_first, own_end = int(inputs[0]), int(inputs[-1]) + grid.hop_samples
    if plan.first_input + plan.n_inputs == grid.count_inputs(plan.n_samples):
        own_end = plan.n_samples
    first, end = _stretch(plan, grid)
    segment = recording.read(first, end - first, measured=range(own_first - first, own_end - first))

    gaps = [(gap + first, gap_end + first) for gap, gap_end in segment.missing]
    missing = sum(max(0, min(b, own_end) - max(a, own_first)) for a, b in gaps)
    starts = grid.score_starts(inputs, plan.n_samples)
    ends = np.minimum(starts + grid.score_samples, plan.n_samples)
    is_decoded = np.ones(len(starts), bool)
    for gap, gap_end in gaps:
        is_decoded &= (starts < gap) | (ends > gap_end)
    return SegmentAudio(
        first_sample=first,
        inputs=inputs[is_decoded] if grid.scores_windows else inputs,
        starts=starts[is_decoded],
        samples=segment.samples,
        decoded_samples=own_end - own_first - missing,
        quality=segment.quality,
        origin=plan.origin,
    )


def failure(step: str, recording: str, error: Exception) -> Failure:
    """An error as a row's reason, with the file's name and a remedy."""
    if isinstance(error, AudioError):
        return Failure(step, str(error), permanent=not isinstance(error, DecoderMissingError))
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return Failure(step, f"{recording}: {type(error).__name__}: {reason}")
