"""A stand-in for the network: exact, fast, and importable by Beam's workers."""

import hashlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.calls import CountingRule
from model.contract import CONTRACT_FILE, MODEL_FILE, ServingContract
from model.expected import PeakDensities
from model.windows import WINDOW_SAMPLES, Padding, Samples, Starts, windows_every
from pipeline.inference.count import Counting, count_recording
from pipeline.inference.transforms import SegmentHandler
from pipeline.records import DetectedCall, Fact, Listed, Origin, RecordingCount, RecordingHeader

_FALLING = np.exp(-np.arange(25) / 2.5)
EVIDENCE = PeakDensities(
    mean=5.0,
    spread=1.2,
    sd=1.0,
    sd_spread=0.3,
    least=-4.25,
    others_per_hour=tuple((30 * _FALLING).tolist()),
    companions=tuple((0.05 * _FALLING).tolist()),
    noise_spread=0.5,
)
RULE = CountingRule(threshold=0.5, evidence=EVIDENCE)


class PeakScorer:
    """Scores a window by its loudest sample: no rounding, no neighbour can change it."""

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        assert windows.dtype == np.float32
        loudest: npt.NDArray[np.float32] = np.abs(windows).max(axis=1)
        return loudest


def cut_windows(samples: Samples, starts: Starts, padding: Padding = "end") -> Samples:
    """Windows of a stretch of audio, float32 ``[n, 48000]``."""
    return windows_every(WINDOW_SAMPLES).cut(samples, starts, padding)


class CountedLoader:
    """Counts how often a model was loaded in this process."""

    loads = 0
    _lock = threading.Lock()

    def __call__(self) -> PeakScorer:
        with CountedLoader._lock:
            CountedLoader.loads += 1
        return PeakScorer()


class BrokenScorer:
    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        raise RuntimeError("the network is out of order")


def load_broken() -> BrokenScorer:
    return BrokenScorer()


def peak_handler() -> SegmentHandler:
    return SegmentHandler(CountedLoader(), windows_every(16_000), "end")


def contract(**changes: Any) -> ServingContract:
    values = {
        "name": "peak",
        "version": "1",
        "label": "Perissocephalus tricolor",
        "hop_s": 1.0,
        "rule": RULE,
        "front_end": "none",
        "training_data_sha256": "0" * 64,
        "model_sha256": hashlib.sha256(b"network").hexdigest(),
    }
    return ServingContract(**{**values, **changes})


def write_model(directory: Path, text: str | None = None) -> Path:
    """A model folder that passes the checks before a run."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MODEL_FILE).write_bytes(b"network")
    (directory / CONTRACT_FILE).write_text(text or contract().to_json())
    return directory


def origin(recording: str = "a.wav", first_input: int = 0) -> Origin:
    """Where a made-up segment comes from."""
    header = RecordingHeader(16_000, 1, "WAV PCM_16", 12.0, 192_000, 2)
    return Origin(Listed(recording), header, first_input)


def row_and_calls(
    recording: str, facts: Iterable[Fact], counting: Counting
) -> tuple[RecordingCount, tuple[DetectedCall, ...]]:
    """What the tables show of a recording of which so much is known."""
    counted = count_recording(recording, facts, counting)
    return counted.row, counted.calls
