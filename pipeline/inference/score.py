"""Scores of windows, by RunInference with one copy of the model a process."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from apache_beam.ml.inference.base import ModelHandler

from model.contract import CONTRACT_FILE, MODEL_FILE
from model.quiet import without_start_up_noise
from model.windows import Padding, cut_windows
from pipeline.options import RELEASED_MODEL
from pipeline.records import Failure, SegmentAudio, SegmentScores
from pipeline.storage import files

WINDOWS_AT_ONCE = 64  # 12 MB of audio; the model cuts this into batches of its own


class Scorer(Protocol):
    """A loaded model: windows float32 ``[n, 48000]`` in, scores float32 ``[n]`` out."""

    def score(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...


def score_segment(audio: SegmentAudio, scorer: Scorer, padding: Padding) -> SegmentScores:
    """The scores of a segment's windows, a few windows in memory at a time."""
    scores = [
        scorer.score(cut_windows(audio.samples, starts - audio.first_sample, padding))
        for starts in np.split(
            audio.starts, range(WINDOWS_AT_ONCE, len(audio.starts), WINDOWS_AT_ONCE)
        )
        if len(starts)
    ]
    together = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    return SegmentScores(audio.starts, together, audio.heard_samples, audio.quality, audio.origin)


class SegmentHandler(ModelHandler[SegmentAudio, SegmentScores | Failure, Scorer]):
    """Loads the model once a process; scores one segment at a time.

    A segment that cannot be scored becomes a failure here rather than by
    ``RunInference.with_exception_handling``, which would send its audio along.

    Args:
        load: makes the scorer, on the worker.
        padding: where zeros go in a window that holds less audio than its length.
    """

    def __init__(self, load: Callable[[], Scorer], padding: Padding) -> None:
        super().__init__()
        self._load, self._padding = load, padding

    def load_model(self) -> Scorer:
        return self._load()

    def run_inference(
        self, batch: Sequence[SegmentAudio], model: Scorer, inference_args: Any = None
    ) -> Iterator[SegmentScores | Failure]:
        for audio in batch:
            try:
                yield score_segment(audio, model, self._padding)
            except Exception as error:
                logging.exception("a segment could not be scored")
                yield Failure("score", f"{type(error).__name__}: {error}")

    def batch_elements_kwargs(self) -> dict[str, int]:
        # A segment is a batch already; more of them would only wait in memory.
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[SegmentAudio]) -> int:
        # The default would pickle the audio to learn its size.
        return sum(audio.samples.nbytes for audio in batch)


class ModelLoader:
    """Loads an exported model from a folder here or in a bucket.

    The released model is looked for where the worker has installed it, not where the launcher has.
    TensorFlow gets one thread for each operation: Beam's worker threads already use all cores.
    """

    def __init__(self, directory: str) -> None:
        self._directory = None if directory == RELEASED_MODEL else directory

    def __call__(self) -> Scorer:
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
