"""From a recording's name to the audio of its windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from model.audio import Recording, Segment
from model.decoders import AudioError, AudioInfo, DecoderMissingError
from model.isolated import IsolatedRecording
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES, count_windows
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


def read_header(listed: Listed, hop_samples: int, segment_samples: int) -> RecordingHeader:
    """What the file's header says, and into how many segments it will be cut.

    Raises:
        AudioError: the file cannot be opened, or holds no audio.
    """
    recording = listed.recording
    with (
        files.open_to_read(recording, listed.stamp) as source,
        IsolatedRecording(source, recording) as opened,
    ):
        info: AudioInfo = opened.info
        note = read_note(source, recording)
    checksum = content_checksum(recording) if files.is_local(recording) else ""
    if info.frames == info.absent_frames:
        raise AudioError(f"{recording}: holds no audio (the recorder may have lost power)")
    present_frames = info.frames - info.absent_frames
    header = RecordingHeader(
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        encoding=info.encoding,
        duration_s=info.duration_s,
        n_samples=info.n_samples,
        n_segments=0,
        note=note,
        checksum=checksum,
        absent_samples=info.n_samples + (-present_frames * SAMPLE_RATE_HZ // info.sample_rate_hz),
    )
    n_windows = _count_present_windows(header, hop_samples)
    n_segments = -(-n_windows // _windows_in_segment(hop_samples, segment_samples))
    return replace(header, n_segments=n_segments)


def _windows_in_segment(hop_samples: int, segment_samples: int) -> int:
    return max(1, segment_samples // hop_samples)


def _count_present_windows(header: RecordingHeader, hop_samples: int) -> int:
    """Windows of which something can be there: a header may promise a thousand years more."""
    present = header.n_samples - header.absent_samples
    return min(count_windows(header.n_samples, hop_samples), -(-present // hop_samples))


def plan_segments(
    listed: Listed, header: RecordingHeader, hop_samples: int, segment_samples: int
) -> Iterator[SegmentPlan]:
    """Shares out a recording's windows: each belongs to exactly one segment."""
    n_windows = _count_present_windows(header, hop_samples)
    step = _windows_in_segment(hop_samples, segment_samples)
    for first in range(0, n_windows, step):
        size = min(step, n_windows - first)
        origin = Origin(listed, header, first)
        yield SegmentPlan(listed.recording, first, size, header.n_samples, size / n_windows, origin)


def decode_segment(
    opened: Recording | IsolatedRecording, plan: SegmentPlan, hop_samples: int
) -> SegmentAudio:
    """The audio that a segment's windows cover.

    A window of which nothing could be decoded is left out: it was not heard.
    """
    starts = np.arange(plan.first_window, plan.first_window + plan.n_windows) * hop_samples
    first_sample = int(starts[0])
    end = min(int(starts[-1]) + WINDOW_SAMPLES, plan.n_samples)
    is_last = plan.first_window + plan.n_windows == count_windows(plan.n_samples, hop_samples)
    own = (end if is_last else int(starts[-1]) + hop_samples) - first_sample
    segment = opened.read(first_sample, end - first_sample, n_measured=own)

    missing = sum(min(gap_end, own) - min(gap, own) for gap, gap_end in segment.missing)
    heard = [not _swallowed(int(start) - first_sample, segment) for start in starts]
    return SegmentAudio(
        first_sample=first_sample,
        starts=starts[np.array(heard)],
        samples=segment.samples,
        heard_samples=own - missing,
        quality=segment.quality,
        origin=plan.origin,
    )


def _swallowed(first: int, segment: Segment) -> bool:
    """Whether nothing of the window at ``first`` could be decoded."""
    end = min(first + WINDOW_SAMPLES, len(segment.samples))
    return any(gap <= first and end <= gap_end for gap, gap_end in segment.missing)


def failure(step: str, recording: str, error: Exception) -> Failure:
    """An error as a row's reason, with the file's name and a remedy."""
    if isinstance(error, AudioError):
        return Failure(step, str(error), permanent=not isinstance(error, DecoderMissingError))
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return Failure(step, f"{recording}: {type(error).__name__}: {reason}")
