"""The baseline: the tutorial's own way of counting, in an environment of its own.

It follows the tutorial line by line: tensorflow-io decodes and resamples a whole file, Keras cuts
it into windows, a spectrogram of each goes through a network of 6,021,857 parameters, and windows
above 0.99 are counted after neighbours are merged. The network's weights are random: they decide
what is counted, not how long that takes.

Run by ``benchmarks/run.py``; prints what was heard and counted as one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
from typing import Any

import tensorflow as tf
import tensorflow_io as tfio

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 48_000
THRESHOLD = 0.99


def load_16k_mono(path: str) -> Any:
    """A whole recording, float32 ``[n]`` at 16 kHz."""
    recording = tfio.audio.AudioIOTensor(path)
    mono = tf.math.reduce_sum(recording.to_tensor(), axis=1) / 2
    rate_hz = tf.cast(recording.rate, dtype=tf.int64)
    return tfio.audio.resample(mono, rate_in=rate_hz, rate_out=SAMPLE_RATE_HZ)


def spectrogram(window: Any, _target: Any) -> Any:
    """``[1, 48000]`` → ``[1491, 257, 1]``; zeros go in front of a short window."""
    audio = window[0]
    zeros = tf.zeros([WINDOW_SAMPLES] - tf.shape(audio), dtype=tf.float32)
    padded = tf.concat([zeros, audio], 0)
    return tf.expand_dims(tf.abs(tf.signal.stft(padded, frame_length=320, frame_step=32)), axis=2)


def make_network() -> Any:
    """The tutorial's network."""
    tf.keras.utils.set_random_seed(0)  # runs over the same recordings must count the same
    network = tf.keras.Sequential(
        [
            tf.keras.Input((1491, 257, 1)),
            tf.keras.layers.Conv2D(16, (3, 3), activation="relu"),
            tf.keras.layers.Conv2D(16, (3, 3), activation="relu"),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    parameters = network.count_params()
    if parameters != 6_021_857:
        raise AssertionError(f"not the tutorial's network: {parameters} parameters")
    return network


def score(network: Any, path: str) -> tuple[int, Any]:
    """Samples at 16 kHz, and a score for every window."""
    audio = load_16k_mono(path)
    windows = tf.keras.utils.timeseries_dataset_from_array(
        audio,
        audio,
        sequence_length=WINDOW_SAMPLES,
        sequence_stride=WINDOW_SAMPLES,
        batch_size=1,
    )
    scores = network.predict(windows.map(spectrogram).batch(64), verbose=0)
    return len(audio), scores


def count(scores: Any) -> int:
    """Runs of windows above the threshold."""
    positive = [bool(value > THRESHOLD) for value in scores[:, 0]]
    return sum(is_call for is_call, _ in itertools.groupby(positive))


def main() -> None:
    """Counts every file once."""
    parser = argparse.ArgumentParser(description="count calls as the tutorial does")
    parser.add_argument("recordings", nargs="+", help="MP3 files, 48 kHz stereo")
    paths = parser.parse_args().recordings

    network = make_network()
    samples = calls = 0
    for path in paths:
        n_samples, scores = score(network, path)
        samples += n_samples
        calls += count(scores)
    print(json.dumps({"audio_s": samples / SAMPLE_RATE_HZ, "calls": calls}))


if __name__ == "__main__":
    main()
