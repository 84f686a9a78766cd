"""The networks: shapes, sizes, what they hear, and scores that depend on nothing else."""

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow_io as tfio

from model.export import INNER_BATCH, Scorer, golden_windows
from model.quiet import without_start_up_noise
from model.windows import WINDOW_SAMPLES

with without_start_up_noise():
    import tensorflow as tf

    from model import network as networks
    from model.network import HarmonicFrontEnd, band_power_spectrogram


@pytest.fixture(scope="module")
def network() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    made = networks.compact()
    rng = np.random.default_rng(1)
    for layer in made.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return made


@pytest.fixture(scope="module")
def windows() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.05, (INNER_BATCH + 7, WINDOW_SAMPLES))
    noise[: len(golden_windows())] = list(golden_windows().values())
    return noise.astype(np.float32)


def test_sizes() -> None:
    assert networks.tutorial().count_params() == 6_021_857
    assert networks.compact().count_params() < 60_000


def test_the_front_end_is_tensorflow_ios_spectrogram(windows: npt.NDArray[np.float32]) -> None:
    ours = band_power_spectrogram(windows[:6]).numpy()
    theirs = tfio.audio.spectrogram(tf.constant(windows[:6]), nfft=1024, window=1024, stride=512)
    theirs = theirs.numpy()[:, :92, 16:120] ** 2
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * theirs.max())


def test_gain_and_what_lies_outside_the_band_are_not_heard(
    windows: npt.NDArray[np.float32],
) -> None:
    front_end = HarmonicFrontEnd()
    loud = 0.2 * windows[10:14]
    heard = front_end(loud).numpy()
    change = np.abs(front_end(0.25 * loud).numpy() - heard)
    assert np.quantile(change, 0.999) < 0.02  # in nulls of the spectrum the floor shows
    time_s = np.arange(WINDOW_SAMPLES) / 16_000
    rumble = 0.3 * np.sin(2 * np.pi * 90 * time_s) + 0.3 * np.sin(2 * np.pi * 4000 * time_s)
    change = np.abs(front_end((loud + rumble).astype(np.float32)).numpy() - heard)
    assert np.quantile(change, 0.98) < 0.05  # the rumble's onset at the window's edge is heard


def test_silence_is_scored(network: tf.keras.Model) -> None:
    score = Scorer(network).score(np.zeros((1, WINDOW_SAMPLES), np.float32))
    assert 0 < score[0] < 1


def test_a_score_depends_on_its_window_alone(
    network: tf.keras.Model, windows: npt.NDArray[np.float32]
) -> None:
    scorer = Scorer(networks.for_serving(network))
    scores = scorer.score(windows)
    assert scores.dtype == np.float32
    order = np.random.default_rng(3).permutation(len(windows))
    assert np.array_equal(scorer.score(windows[order]), scores[order])
    assert np.array_equal(np.concatenate([scorer.score(w[None]) for w in windows]), scores)
    everywhere = np.repeat(windows[3:4], INNER_BATCH, axis=0)
    assert set(scorer.score(everywhere)) == {scores[3]}
    assert scorer.score(windows[:0]).shape == (0,)


def test_serving_without_normalisation_is_the_same_function(
    network: tf.keras.Model, windows: npt.NDArray[np.float32]
) -> None:
    lean = networks.for_serving(network)
    assert not any("norm" in layer.name for layer in lean.layers)
    before, after = Scorer(network).score(windows), Scorer(lean).score(windows)
    np.testing.assert_allclose(after, before, atol=2e-5)
    assert networks.for_serving(networks.tutorial()).name == "tutorial"


def test_calibration_scales_log_odds(windows: npt.NDArray[np.float32]) -> None:
    network = networks.compact()
    before = Scorer(network).score(windows[:4]).astype(float)
    networks.calibrate(network, 2.0, -1.0)
    after = Scorer(network).score(windows[:4]).astype(float)
    np.testing.assert_allclose(
        np.log(after / (1 - after)), 2 * np.log(before / (1 - before)) - 1, atol=1e-4
    )


def test_masks_are_for_training_only(windows: npt.NDArray[np.float32]) -> None:
    front_end = HarmonicFrontEnd(mask_frames=30, mask_bins=30)
    plain = front_end(windows[:16]).numpy()
    assert np.array_equal(front_end(windows[:16], training=False).numpy(), plain)
    masked = front_end(windows[:16], training=True).numpy()
    assert ((masked == plain) | (masked == 0)).all()
    assert (masked != plain).any()


def test_the_wrong_shape_is_refused(network: tf.keras.Model) -> None:
    with pytest.raises(ValueError, match="48000"):
        Scorer(network).score(np.zeros((2, 100), np.float32))
