"""Scores of windows, by RunInference with one copy of the model a process."""

from __future__ import annotations

import logging
import os
import tempfile
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.contract import CONTRACT_FILE, MODEL_FILE
from model.quiet import without_start_up_noise
from model.windows import Padding, cut_windows
from pipeline.options import RELEASED_MODEL
from pipeline.records import SegmentAudio, SegmentScores
from pipeline.storage import files

WINDOWS_AT_ONCE = 64  # 12 MB of audio; the model cuts this into batches of its own


class WindowScorer(Protocol):
    """A loaded model: windows float32 ``[n, 48000]`` in, scores float32 ``[n]`` out."""

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...


def score_windows(
    samples: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    scorer: WindowScorer,
    padding: Padding,
) -> npt.NDArray[np.float32]:
    """Scores float32 ``[n]`` of the windows at ``starts``, a few of them in memory at a time."""
    scores = [
        scorer.score(cut_windows(samples, some, padding))
        for some in np.split(starts, range(WINDOWS_AT_ONCE, len(starts), WINDOWS_AT_ONCE))
        if len(some)
    ]
    return np.concatenate(scores) if scores else np.zeros(0, np.float32)


def score_segment(audio: SegmentAudio, scorer: WindowScorer, padding: Padding) -> SegmentScores:
    """The scores of a segment's windows."""
    scores = score_windows(audio.samples, audio.starts - audio.first_sample, scorer, padding)
    return SegmentScores(audio.starts, scores, audio.heard_samples, audio.quality, audio.origin)


class ModelLoader:
    """Loads an exported model from a folder here or in a bucket.

    The released model is looked for where the worker has installed it, not where the launcher has.
    TensorFlow gets one thread for each operation: Beam's worker threads already use all cores.
    """

    def __init__(self, directory: str) -> None:
        self._directory = None if directory == RELEASED_MODEL else directory

    def __call__(self) -> WindowScorer:
        with without_start_up_noise():
            import tensorflow as tf

            from model.export import load_exported

        try:
            tf.config.threading.set_intra_op_parallelism_threads(1)
        except RuntimeError:
            logging.info("TensorFlow is already running here; its threads stay as they are")
        directory = self._directory or RELEASED_MODEL
        if files.is_local(directory):
            return load_exported(directory)
        with tempfile.TemporaryDirectory() as folder:
            for name in (MODEL_FILE, CONTRACT_FILE):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(files.read_bytes(files.join(directory, name)))
            return load_exported(folder)
