"""The networks: waveform in, scores out, with the front end inside the graph.

``onset`` is made for this job and ships; ``tutorial`` is the published one, kept to compare with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from model.windows import ONSETS, SAMPLE_RATE_HZ, WINDOW_SAMPLES

FRAME_SAMPLES, FRAME_STEP_SAMPLES = 1024, 512
"""64 ms frames every 32 ms: harmonics 135 to 150 Hz apart are 9 bins apart."""

FIRST_BIN, END_BIN = 16, 120
"""Bins that are used: 250 to 1875 Hz. Rumble below and hiss above are not."""

NEIGHBOUR_BINS = 17
"""The spectrum is taken relative to its mean over so many bins (266 Hz, two harmonics)."""

STEADY_STEPS = 9
"""Steps of ``ONSETS`` over which power is averaged, so that steady lines stand out: 1.15 s."""

MOO_SPAN_STEPS, MOO_SPAN_BEFORE_STEPS = 20, 3
"""Steps that a moo beginning in a step lies in, and those before the step: 2.6 s from 0.4 s
before it. A growl's span holds less than half of its moo."""

NEAR_STEPS = 3
"""The moo's evidence is the best within so many steps: 0.38 s."""

MASKS = 3
"""Bands of frames blanked in a training input."""

_PACKAGE = "capuchinbird"


@keras.saving.register_keras_serializable(_PACKAGE)
class HarmonicFrontEnd(layers.Layer):
    """Waveform ``[batch, n]`` to ``[batch, n / 1024, 104 bins, 2]``; 2048 divides n.

    Two views of the magnitude spectrogram on a linear frequency axis, where harmonics lie equally
    far apart whatever their pitch. Both are logarithms relative to their mean over neighbouring
    frequencies, so neither gain nor the colour of the background noise changes them:

    0. power of two frames, every 64 ms: growl, onsets, everything that moves;
    1. power averaged over 1.15 s, every 128 ms and twice: lines that stay, 10 dB further down in
       noise.

    Nothing here looks at another input of the batch.

    Args:
        mask_frames, mask_bins: while training, bands of up to so many frames and bins are blanked
            (SpecAugment, Park et al. 2019); 0 for none.
    """

    def __init__(self, mask_frames: int = 10, mask_bins: int = 14, **options: Any) -> None:
        super().__init__(**options)
        self.mask_frames = mask_frames
        self.mask_bins = mask_bins

    def call(self, waveform: tf.Tensor, training: bool = False) -> tf.Tensor:
        power = _in_pairs(band_power_spectrogram(waveform))
        steady = tf.nn.avg_pool1d(_in_pairs(power), STEADY_STEPS, 1, "SAME")
        # The floors, about -90 dB of full scale, keep digital silence finite.
        moving = _relative(tf.math.log(power + 1e-8)) / 2
        lines = tf.repeat(_relative(tf.math.log(steady + 1e-8)), 2, axis=1)
        views = tf.stack([moving, lines], -1)
        if training and (self.mask_frames or self.mask_bins):
            views = self._masked(views)
        return views

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Said outright, or Keras would trace ``call`` to find out, each time a model is loaded."""
        batch, n = input_shape
        return batch, n and n // (2 * FRAME_STEP_SAMPLES), END_BIN - FIRST_BIN, 2

    def _masked(self, views: tf.Tensor) -> tf.Tensor:
        """SpecAugment: bands of frames and a band of bins set to the mean, 0."""
        with warnings.catch_warnings():
            # Its native operations do not load with this TensorFlow; these functions need none.
            warnings.simplefilter("ignore")
            import tensorflow_io as tfio  # for training only: a worker lacks it
        ones = tf.ones(tf.shape(views)[1:3])
        groups = []
        # tfio masks one spectrogram; a mask for each quarter of the batch costs little.
        for part in tf.split(views, _shares(tf.shape(views)[0], 4), num=4):
            mask = ones
            for _ in range(MASKS if self.mask_frames else 0):
                mask = tfio.audio.time_mask(mask, param=self.mask_frames)
            if self.mask_bins:
                mask = tfio.audio.freq_mask(mask, param=self.mask_bins)
            groups.append(part * mask[None, :, :, None])
        return tf.concat(groups, 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mask_frames": self.mask_frames,
            "mask_bins": self.mask_bins,
        }


def band_power_spectrogram(waveform: tf.Tensor) -> tf.Tensor:
    """Power of the bins that are used, ``[batch, n / 512, 104]``; the last frame is half zeros.

    The square of ``tfio.audio.spectrogram`` (a test holds them together), which takes the square
    root of every bin first and so half as long again.
    """
    frames = tf.signal.frame(waveform, FRAME_SAMPLES, FRAME_STEP_SAMPLES, pad_end=True)
    spectrum = tf.signal.rfft(frames * tf.signal.hann_window(FRAME_SAMPLES))
    used = spectrum[..., FIRST_BIN:END_BIN]
    return tf.math.real(used) ** 2 + tf.math.imag(used) ** 2


def _in_pairs(power: tf.Tensor) -> tf.Tensor:
    """Means of two neighbours in time: ``[batch, n, bins]`` to ``[batch, n / 2, bins]``."""
    return tf.reduce_mean(tf.reshape(power, [tf.shape(power)[0], -1, 2, power.shape[2]]), 2)


def _relative_matrix() -> npt.NDArray[np.float32]:
    """Takes from each bin the mean of its neighbours; at the edges, of those there are."""
    bins = np.arange(END_BIN - FIRST_BIN)
    near = np.abs(bins[:, None] - bins) <= NEIGHBOUR_BINS // 2
    return np.asarray(np.eye(len(bins)) - near / near.sum(axis=0), np.float32)


def _relative(log_spectrum: tf.Tensor) -> tf.Tensor:
    """Relative to neighbouring frequencies. A small matrix does this quicker than a pooling."""
    return tf.linalg.matmul(log_spectrum, _relative_matrix())


def _shares(total: tf.Tensor, parts: int) -> tf.Tensor:
    """``total`` split into ``parts`` whole numbers."""
    edges = tf.range(parts + 1) * total // parts
    return edges[1:] - edges[:-1]


@keras.saving.register_keras_serializable(_PACKAGE)
class FrequencySummary(layers.Layer):
    """``[batch, steps, bins, channels]`` to ``[batch, steps, 2 channels]``: mean and maximum."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.reduce_mean(inputs, 2), tf.reduce_max(inputs, 2)], axis=-1)


@keras.saving.register_keras_serializable(_PACKAGE)
class RoundedScore(layers.Layer):
    """Log odds ``[batch, steps, 1]`` to scores ``[batch, steps]`` between 0.0003 and 0.9997.

    Log odds are rounded to sixteenths: nothing is lost that the counting rule could use, and
    scores, nearly all of them at the lower limit, take little room where they are kept. Only the
    steps between the contexts are given.

    Args:
        context_steps: left out at both ends.
    """

    def __init__(self, context_steps: int, **options: Any) -> None:
        super().__init__(**options)
        self.context_steps = context_steps

    def call(self, log_odds: tf.Tensor) -> tf.Tensor:
        own = log_odds[:, self.context_steps : tf.shape(log_odds)[1] - self.context_steps, 0]
        return tf.sigmoid(tf.round(tf.clip_by_value(own, -8.0, 8.0) * 16) / 16)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "context_steps": self.context_steps}


@keras.saving.register_keras_serializable(_PACKAGE)
class SpanSummary(layers.Layer):
    """``[batch, steps, channels]`` to ``[batch, steps, 2 channels]``: mean and maximum of a span.

    The span of a step is where a moo that begins there lies, ``MOO_SPAN_STEPS`` long.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        before, n = MOO_SPAN_BEFORE_STEPS, MOO_SPAN_STEPS
        padded = tf.pad(inputs, [[0, 0], [before, n - 1 - before], [0, 0]])
        # Activations are 0 or more: zeros beyond the ends never are the maximum of a span.
        return tf.concat(
            [tf.nn.avg_pool1d(padded, n, 1, "VALID"), tf.nn.max_pool1d(padded, n, 1, "VALID")], -1
        )


@keras.saving.register_keras_serializable(_PACKAGE)
class NearestBest(layers.Layer):
    """``[batch, steps, 1]``: the highest within ``NEAR_STEPS`` of each step."""

    def call(self, log_odds: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool1d(log_odds, 2 * NEAR_STEPS + 1, 1, "SAME")


def onset() -> keras.Model:
    """The network made for this job: how likely a call's moo begins, for every 0.128 s.

    A trunk of three convolutions over time and frequency, the last one tall enough (400 Hz) to see
    three harmonics at once. Two heads judge what it sees, by different evidence:

    * ``onset``: does a moo begin in this step? Mean and maximum over frequency, a projection of
      the whole frequency axis, and four convolutions over time that span 7 s, twice a call;
    * ``moo``: does a moo fill the 2.6 s from just before this step on? Mean and maximum over
      frequency only, then over the span, as a network of windows does. It cannot say when, and
      knows nothing of absolute pitch, but it is fooled by other sounds than the first.

    The score is the mean of their log odds, the second's the best near by: a call needs both.
    In training the network takes audio of any length and gives the log odds of both heads,
    ``[batch, n / 2048, 2]``.
    """
    return _onset(normalised=True)


def _onset(normalised: bool) -> keras.Model:
    def convolution(x: Any, name: str, layer: Any, **shape: Any) -> Any:
        x = layer(**shape, padding="same", use_bias=not normalised, name=name)(x)
        if normalised:
            x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.ReLU()(x)

    plane, line = layers.Conv2D, layers.Conv1D
    serving = not normalised
    waveform = layers.Input((None,), name="waveform")
    x = HarmonicFrontEnd(name="front_end")(waveform)
    x = convolution(x, "conv1", plane, filters=8, kernel_size=(3, 5))
    x = convolution(x, "conv2", plane, filters=16, kernel_size=(5, 3), strides=(2, 2))
    x = convolution(x, "conv3", plane, filters=32, kernel_size=(3, 13), strides=(1, 2))
    summary = FrequencySummary(name="summary")(x)

    bins = layers.Reshape((-1, x.shape[2] * x.shape[3]))(x)
    bins = convolution(bins, "bins", line, filters=24, kernel_size=1)
    x = layers.Concatenate()([summary, bins])
    x = convolution(x, "time1", line, filters=48, kernel_size=5)
    x = convolution(x, "time2", line, filters=48, kernel_size=5, dilation_rate=1)
    x = convolution(x, "time3", line, filters=48, kernel_size=5, dilation_rate=2)
    x = convolution(x, "time4", line, filters=48, kernel_size=7, dilation_rate=4)
    if normalised:
        x = layers.Dropout(0.1)(x)
    begins = layers.Conv1D(1, 1, name="onset_log_odds")(x)

    y = convolution(summary, "moo1", line, filters=32, kernel_size=5)
    y = SpanSummary(name="span")(y)
    if normalised:
        y = layers.Dropout(0.2)(y)
    y = convolution(y, "moo2", line, filters=32, kernel_size=1)
    fills = layers.Conv1D(1, 1, name="moo_log_odds")(y)
    if not serving:
        return keras.Model(waveform, layers.Concatenate()([begins, fills]), name="onset")
    both = layers.Concatenate()([begins, NearestBest(name="near")(fills)])
    mean = keras.initializers.Constant(0.5)
    x = layers.Conv1D(1, 1, name="log_odds", kernel_initializer=mean)(both)
    x = RoundedScore(ONSETS.context_samples // ONSETS.step_samples, name="score")(x)
    return keras.Model(waveform, x, name="onset")


def for_serving(network: keras.Model) -> keras.Model:
    """The same function on inputs as ``ONSETS`` describes them, its scores in one number.

    Batch normalisation goes into the convolutions' weights, which saves a fifth of the time.
    The tutorial's network is returned as it is.
    """
    if network.name != "onset":
        return network
    lean = _onset(normalised=False)
    trained = {layer.name for layer in network.layers}
    for layer in lean.layers:
        if not layer.weights or layer.name not in trained:
            continue
        weights = network.get_layer(layer.name).get_weights()
        if f"{layer.name}_norm" in trained:
            norm = network.get_layer(f"{layer.name}_norm")
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            weights = [weights[0] * scale, beta - mean * scale]
        layer.set_weights(weights)
    return lean


@keras.saving.register_keras_serializable(_PACKAGE)
class TutorialSpectrogram(layers.Layer):
    """The tutorial's front end: ``[batch, 48000]`` to ``[batch, 1491, 257, 1]``.

    Magnitudes of 320-sample frames every 32 samples, 512-point transform, as
    ``tf.signal.stft(wav, frame_length=320, frame_step=32)`` gives.
    """

    def call(self, waveform: tf.Tensor) -> tf.Tensor:
        spectrum = tf.signal.stft(waveform, frame_length=320, frame_step=32)
        return tf.abs(spectrum)[..., None]


def tutorial() -> keras.Model:
    """The published network: 6,021,857 parameters on the spectrogram of 3 s, zeros in front."""
    waveform = layers.Input((WINDOW_SAMPLES,), name="waveform")
    x = TutorialSpectrogram(name="front_end")(waveform)
    x = layers.Conv2D(16, (3, 3), activation="relu")(x)
    x = layers.Conv2D(16, (3, 3), activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Activation("sigmoid", name="score")(layers.Dense(1, name="log_odds")(x))
    return keras.Model(waveform, x, name="tutorial")


def calibrate(network: keras.Model, slope: float, offset: float) -> None:
    """Makes the network's log odds ``slope`` times what they were, plus ``offset``.

    The last layer takes both up, so calibrated scores cost nothing.
    """
    last = network.get_layer("log_odds")
    kernel, bias = last.get_weights()
    last.set_weights([kernel * slope, bias * slope + offset])


NETWORKS: dict[str, Callable[[], keras.Model]] = {"onset": onset, "tutorial": tutorial}

FRONT_ENDS = {
    "onset": (
        f"|STFT| of {FRAME_SAMPLES / SAMPLE_RATE_HZ * 1000:.0f} ms frames every "
        f"{FRAME_STEP_SAMPLES / SAMPLE_RATE_HZ * 1000:.0f} ms, "
        f"{FIRST_BIN * SAMPLE_RATE_HZ / FRAME_SAMPLES:.0f} to "
        f"{END_BIN * SAMPLE_RATE_HZ / FRAME_SAMPLES:.0f} Hz, linear; log relative to neighbouring "
        "frequencies, every 64 ms and averaged over 1.15 s"
    ),
    "tutorial": "|STFT| of 20 ms frames every 2 ms, 0 to 8000 Hz, linear",
}
"""Each network's front end in words, for the contract."""
