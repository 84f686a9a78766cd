"""The networks: waveform in, score out, with the front end inside the graph.

``compact`` is made for this job and ships; ``tutorial`` is the published one, kept to compare with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES

FRAME_SAMPLES, STEP_SAMPLES = 1024, 512
"""64 ms frames every 32 ms: harmonics 135 to 150 Hz apart are 9 bins apart."""

FRAMES = (WINDOW_SAMPLES - FRAME_SAMPLES) // STEP_SAMPLES + 1
"""Frames that lie wholly inside a window."""

FIRST_BIN, END_BIN = 16, 120
"""Bins that are heard: 250 to 1875 Hz. Rumble below and hiss above are not."""

NEIGHBOUR_BINS = 17
"""The spectrum is taken relative to its mean over so many bins (266 Hz, two harmonics)."""

STEADY_FRAMES = 33
"""Frames over which power is averaged to hear steady lines in noise: 1.06 s."""

_PACKAGE = "capuchinbird"


@keras.saving.register_keras_serializable(_PACKAGE)
class HarmonicFrontEnd(layers.Layer):
    """Waveform ``[batch, 48000]`` to ``[batch, 92 frames, 104 bins, 2]``.

    Two views of the magnitude spectrogram on a linear frequency axis, where harmonics lie equally
    far apart whatever their pitch. Both are logarithms relative to their mean over neighbouring
    frequencies, so neither gain nor the colour of the background noise changes them:

    0. frame by frame: growl, onsets, everything that moves;
    1. power averaged over 1 s first: lines that stay, 10 dB further down in noise.

    Nothing here looks at another window of the batch.

    Args:
        mask_frames, mask_bins: while training, up to so many frames and bins of each batch are
            blanked (SpecAugment, Park et al. 2019); 0 for none.
    """

    def __init__(self, mask_frames: int = 16, mask_bins: int = 14, **options: Any) -> None:
        super().__init__(**options)
        self.mask_frames = mask_frames
        self.mask_bins = mask_bins

    def call(self, waveform: tf.Tensor, training: bool = False) -> tf.Tensor:
        power = band_power_spectrogram(waveform)
        steady = tf.nn.avg_pool1d(power, STEADY_FRAMES, 1, "SAME")
        # The floors, about -90 dB of full scale, keep digital silence finite.
        moving = _relative(tf.math.log(power + 1e-8)) / 2
        views = tf.stack([moving, _relative(tf.math.log(steady + 1e-8))], -1)
        if training and (self.mask_frames or self.mask_bins):
            views = self._masked(views)
        return views

    def _masked(self, views: tf.Tensor) -> tf.Tensor:
        """SpecAugment: a band of frames and a band of bins set to the mean, 0."""
        with warnings.catch_warnings():
            # Its native operations do not load with this TensorFlow; these functions need none.
            warnings.simplefilter("ignore")
            import tensorflow_io as tfio  # for training only: a worker lacks it
        ones = tf.ones([FRAMES, END_BIN - FIRST_BIN])
        groups = []
        # tfio masks one spectrogram; a mask for each eighth of the batch costs little.
        for part in tf.split(views, _shares(tf.shape(views)[0], 8), num=8):
            mask = ones
            if self.mask_frames:
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
    """Power of the bins that are heard, ``[batch, 92, 104]``.

    The square of ``tfio.audio.spectrogram`` (a test holds them together), which takes the square
    root of every bin first and so half as long again.
    """
    frames = tf.signal.frame(waveform, FRAME_SAMPLES, STEP_SAMPLES)
    spectrum = tf.signal.rfft(frames * tf.signal.hann_window(FRAME_SAMPLES))
    heard = spectrum[..., FIRST_BIN:END_BIN]
    return tf.math.real(heard) ** 2 + tf.math.imag(heard) ** 2


def _relative_matrix() -> npt.NDArray[np.float32]:
    """Takes from each bin the mean of its neighbours; at the edges, of those there are."""
    bins = np.arange(END_BIN - FIRST_BIN)
    near = np.abs(bins[:, None] - bins) <= NEIGHBOUR_BINS // 2
    return np.asarray(np.eye(len(bins)) - near / near.sum(axis=0), np.float32)


def _relative(log_spectrum: tf.Tensor) -> tf.Tensor:
    """Relative to neighbouring frequencies. A small matrix does this quicker than a pooling."""
    bins = END_BIN - FIRST_BIN
    flat = tf.reshape(log_spectrum, [-1, bins]) @ _relative_matrix()
    return tf.reshape(flat, [-1, FRAMES, bins])


def _shares(total: tf.Tensor, parts: int) -> tf.Tensor:
    """``total`` split into ``parts`` whole numbers."""
    edges = tf.range(parts + 1) * total // parts
    return edges[1:] - edges[:-1]


@keras.saving.register_keras_serializable(_PACKAGE)
class RowwiseDense(layers.Layer):
    """A dense unit as multiply and sum along the row.

    A matrix product may round a row differently by where it stands in the batch; this does not.
    Scores of a window must not depend on its neighbours.

    Args:
        units: outputs.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(
            shape=(self.units, shape[-1]), initializer="glorot_uniform", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(inputs[:, None, :] * self.kernel, -1) + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(_PACKAGE)
class MeanAndMax(layers.Layer):
    """Mean and maximum along one axis, side by side in the last.

    Args:
        axis: the axis that goes.
    """

    def __init__(self, axis: int, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.concat(
            [tf.reduce_mean(inputs, self.axis), tf.reduce_max(inputs, self.axis)], axis=-1
        )

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        kept = [size for axis, size in enumerate(shape) if axis != self.axis]
        return (*kept[:-1], 2 * shape[-1])  # type: ignore[operator]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def compact() -> keras.Model:
    """The network made for this job: about 32,000 parameters.

    Three convolutions over time and frequency, the last one tall enough (400 Hz) to see three
    harmonics at once; mean and maximum over frequency, since where a call lies matters little;
    a convolution over 0.9 s; mean over time (for how long) and maximum (how clearly).
    """
    return _compact(normalised=True)


def _compact(normalised: bool) -> keras.Model:
    def convolution(x: Any, name: str, layer: Any, **shape: Any) -> Any:
        x = layer(**shape, padding="same", use_bias=not normalised, name=name)(x)
        if normalised:
            x = layers.BatchNormalization(name=f"{name}_norm")(x)
        return layers.ReLU()(x)

    plane, line = layers.Conv2D, layers.Conv1D
    waveform = layers.Input((WINDOW_SAMPLES,), name="waveform")
    x = HarmonicFrontEnd(name="front_end")(waveform)
    x = convolution(x, "conv1", plane, filters=12, kernel_size=(5, 5), strides=(2, 1))
    x = convolution(x, "conv2", plane, filters=16, kernel_size=(5, 3), strides=(2, 2))
    x = convolution(x, "conv3", plane, filters=24, kernel_size=(3, 13), strides=(1, 2))
    x = MeanAndMax(2, name="over_frequency")(x)
    x = convolution(x, "conv4", line, filters=32, kernel_size=7)
    x = MeanAndMax(1, name="over_time")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.ReLU()(RowwiseDense(32, name="hidden")(x))
    x = layers.Activation("sigmoid", name="score")(RowwiseDense(1, name="log_odds")(x))
    return keras.Model(waveform, x, name="compact")


def for_serving(network: keras.Model) -> keras.Model:
    """The same function without batch normalisation, which goes into the convolutions' weights.

    A fifth of the time is saved. Networks other than ``compact`` are returned as they are.
    """
    if network.name != "compact":
        return network
    lean = _compact(normalised=False)
    for layer in lean.layers:
        weights = network.get_layer(layer.name).get_weights() if layer.weights else []
        if layer.name.startswith("conv"):
            norm = network.get_layer(f"{layer.name}_norm")
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            weights = [weights[0] * scale, beta - mean * scale]
        if weights:
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


NETWORKS: dict[str, Callable[[], keras.Model]] = {"compact": compact, "tutorial": tutorial}

FRONT_ENDS = {
    "compact": (
        f"|STFT| of {FRAME_SAMPLES / SAMPLE_RATE_HZ * 1000:.0f} ms frames every "
        f"{STEP_SAMPLES / SAMPLE_RATE_HZ * 1000:.0f} ms, "
        f"{FIRST_BIN * SAMPLE_RATE_HZ / FRAME_SAMPLES:.0f} to "
        f"{END_BIN * SAMPLE_RATE_HZ / FRAME_SAMPLES:.0f} Hz, linear; log relative to neighbouring "
        "frequencies, each frame and averaged over 1 s"
    ),
    "tutorial": "|STFT| of 20 ms frames every 2 ms, 0 to 8000 Hz, linear",
}
"""Each network's front end in words, for the contract."""
