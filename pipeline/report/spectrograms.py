"""A call to look at and to listen to: its spectrogram and its clip, from the file itself."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from model.audio.isolated import IsolatedRecording
from model.spectrogram import spectrogram_db
from model.windows import SAMPLE_RATE_HZ, Samples, samples_from_seconds
from pipeline.report.speech import Spans, SpeechMode, blanked, find_speech
from pipeline.storage import files

TOP_HZ = 3000
"""Upper edge of a picture: calls reach 1,800 Hz."""

_RANGE_DB = 45
_BEFORE_S, _AFTER_S, _LONGEST_S = 2.0, 2.0, 12.0
_PEAK, _MOST_GAIN = 0.8, 100.0


@dataclass(frozen=True)
class CallPicture:
    """What stands around a call in its recording.

    Attributes:
        begin_s, end_s: the stretch shown, in seconds from the start of the recording.
        jpeg: its spectrogram, 0 to ``TOP_HZ``, from the lower left corner, without axes.
        mp3: its audio, mono, 16 kHz, made as loud as other clips.
        speech: where people speak in it, or spoke before they were silenced, in seconds from the
            start of the recording; empty where nobody asked.
    """

    begin_s: float
    end_s: float
    jpeg: bytes
    mp3: bytes
    speech: Spans = ()


def bounds_of_call(start_s: float, end_s: float, duration_s: float | None) -> tuple[float, float]:
    """The stretch of a recording that is shown with a call, in seconds.

    Args:
        start_s, end_s: the call.
        duration_s: of the recording, if it is known.
    """
    begin_s = max(0.0, start_s - _BEFORE_S)
    return begin_s, min(end_s + _AFTER_S, begin_s + _LONGEST_S, duration_s or math.inf)


def picture_call(
    recording: str, start_s: float, end_s: float, speech: SpeechMode = ""
) -> CallPicture:
    """Reads the seconds around a call, see ``picture_stretch``."""
    return picture_stretch(recording, *bounds_of_call(start_s, end_s, None), speech)


def picture_stretch(
    recording: str, begin_s: float, end_s: float, speech: SpeechMode = ""
) -> CallPicture:
    """Reads a stretch of a recording, and only that.

    Args:
        recording, begin_s, end_s: the stretch, in seconds from the start of the recording; what
            lies behind its end is left out.
        speech: what becomes of people's voices.

    Raises:
        AudioError: the recording cannot be opened (any more).
        OSError: it is not there (any more).
    """
    with files.open_to_read(recording) as source, IsolatedRecording(source, recording) as opened:
        first = samples_from_seconds(begin_s)
        end = min(opened.info.n_samples, samples_from_seconds(end_s))
        samples = opened.read(first, max(0, end - first)).samples
    spans = find_speech(samples) if speech else ()
    if speech == "blank":
        samples = blanked(samples, spans)
    gain = min(_MOST_GAIN, _PEAK / max(float(np.abs(samples).max(initial=0.0)), 1e-9))
    return CallPicture(
        begin_s=first / SAMPLE_RATE_HZ,
        end_s=end / SAMPLE_RATE_HZ,
        jpeg=spectrogram_jpeg(samples),
        mp3=_mp3(samples * np.float32(gain)),
        speech=tuple((a + first / SAMPLE_RATE_HZ, b + first / SAMPLE_RATE_HZ) for a, b in spans),
    )


def shown_range_db(levels_db: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Darkest and brightest level of a picture: the loudest parts decide."""
    brightest = float(np.percentile(levels_db, 99.8))
    return brightest - _RANGE_DB, brightest


def spectrogram_jpeg(samples: Samples) -> bytes:
    """A picture of some seconds: 0 to ``TOP_HZ`` upwards, without axes."""
    from matplotlib import colormaps
    from PIL import Image

    levels_db = spectrogram_db(samples, top_hz=TOP_HZ)
    low, high = shown_range_db(levels_db)
    shares = ((levels_db - low) / (high - low)).clip(0, 1)
    colours = colormaps["cividis"](shares[::-1], bytes=True)[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _mp3(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format="MP3")
    return buffer.getvalue()
