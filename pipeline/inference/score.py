"""Scores of audio, by RunInference with one copy of the model a process."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from model.contract import CONTRACT_FILE, MODEL_FILE
from model.quiet import without_collecting, without_start_up_noise, without_unused_libraries
from model.scoring import score_inputs
from model.voice import REACH_SAMPLES, Voice, measure_call, onset_steps, rounded
from model.windows import Grid, Padding, Samples
from pipeline.options import RELEASED_MODEL
from pipeline.records import SegmentAudio, SegmentScores
from pipeline.storage import files


class InputScorer(Protocol):
    """A loaded model: inputs float32 ``[n, input_samples]`` in, scores float32 ``[n, k]`` out."""

    def score(self, inputs: Samples) -> Samples: ...


def score_segment(
    audio: SegmentAudio, scorer: InputScorer, grid: Grid, padding: Padding
) -> SegmentScores:
    """The scores of a segment, of what could be decoded."""
    inputs = audio.inputs - audio.first_sample
    scores = score_inputs(audio.samples, inputs, scorer.score, grid, padding).ravel()
    # Of all that the inputs score, what starts at audio.starts.
    given = (audio.inputs[:, None] + np.arange(0, grid.hop_samples, grid.step_samples)).ravel()
    scores = scores[np.searchsorted(given, audio.starts)]
    return SegmentScores(
        audio.starts,
        scores,
        audio.decoded_samples,
        audio.quality,
        audio.origin,
        voices=() if grid.scores_windows else tuple(_voices(audio, scores, grid)),
    )


def _voices(audio: SegmentAudio, scores: Samples, grid: Grid) -> Iterator[tuple[int, Voice]]:
    """What calls are like, each in the same samples however the recording is cut."""
    for start in audio.starts[onset_steps(scores)].tolist():
        step = start - audio.first_sample
        first = max(0, step - REACH_SAMPLES)
        onset = step + grid.step_samples // 2 - first
        voice = measure_call(audio.samples[first : step + REACH_SAMPLES], onset)
        if voice:
            yield start, rounded(voice)


class ModelLoader:
    """Loads an exported model from a folder here or in a bucket.

    The path of the released model is the worker's, not the launcher's.
    TensorFlow gets one thread for each operation: Beam's worker threads already use all cores.
    """

    def __init__(self, directory: str) -> None:
        self._directory = None if directory == RELEASED_MODEL else directory

    def __call__(self) -> InputScorer:
        with without_collecting(), without_start_up_noise(), without_unused_libraries():
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
