"""The networks: shapes, sizes, what they hear, and scores that depend on nothing else."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow_io as tfio

from model.calls import log_odds
from model.export import Scorer, golden_windows
from model.quiet import without_start_up_noise
from model.scoring import score_recording
from model.windows import ONSETS, WINDOW_SAMPLES

with without_start_up_noise():
    import tensorflow as tf

    from model import network as networks
    from model.network import HarmonicFrontEnd, band_power_spectrogram


@pytest.fixture(scope="module")
def network() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    made = networks.onset()
    rng = np.random.default_rng(1)
    for layer in made.layers:
        if layer.name.endswith("_norm"):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        if layer.name.endswith("_log_odds"):  # or all scores would be much alike
            layer.set_weights([20 * w for w in layer.get_weights()])
    return made


@pytest.fixture(scope="module")
def audio() -> npt.NDArray[np.float32]:
    """A good two inputs of noise and golden windows."""
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.05, 2 * ONSETS.hop_samples + 12_345)
    for place, window in enumerate(golden_windows().values()):
        noise[place * 300_000 : place * 300_000 + WINDOW_SAMPLES] += window
    return noise.astype(np.float32)


@pytest.fixture(scope="module")
def windows(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return audio[: 39 * WINDOW_SAMPLES].reshape(39, WINDOW_SAMPLES)


def test_sizes() -> None:
    assert networks.tutorial().count_params() == 6_021_857
    assert networks.onset().count_params() < 200_000


def test_the_front_end_is_tensorflow_ios_spectrogram(windows: npt.NDArray[np.float32]) -> None:
    ours = band_power_spectrogram(windows[:6]).numpy()[:, :92]
    theirs = tfio.audio.spectrogram(tf.constant(windows[:6]), nfft=1024, window=1024, stride=512)
    theirs = theirs.numpy()[:, :92, 16:120] ** 2
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * theirs.max())


def test_gain_and_what_lies_outside_the_band_are_not_heard(
    audio: npt.NDArray[np.float32],
) -> None:
    front_end = HarmonicFrontEnd()
    loud = 0.2 * audio[None, : 200 * 2048]
    heard = front_end(loud).numpy()
    change = np.abs(front_end(0.25 * loud).numpy() - heard)
    assert np.quantile(change, 0.999) < 0.02  # in nulls of the spectrum the floor shows
    time_s = np.arange(loud.shape[1]) / 16_000
    rumble = 0.3 * np.sin(2 * np.pi * 90 * time_s) + 0.3 * np.sin(2 * np.pi * 4000 * time_s)
    change = np.abs(front_end((loud + rumble).astype(np.float32)).numpy() - heard)
    assert np.quantile(change, 0.98) < 0.05  # the rumble's onset is heard


@pytest.fixture(scope="module")
def scorer(network: tf.keras.Model) -> Scorer:
    return Scorer(networks.for_serving(network), ONSETS.input_samples, ONSETS.short_samples)


def test_silence_is_scored(scorer: Scorer) -> None:
    scores = scorer.score(np.zeros((1, ONSETS.input_samples), np.float32))
    assert scores.shape == (1, 480)
    assert ((scores > 0) & (scores < 1)).all()


def test_scores_do_not_depend_on_what_is_scored_with_them(
    scorer: Scorer, audio: npt.NDArray[np.float32]
) -> None:
    inputs = ONSETS.cut(audio, np.arange(3) * ONSETS.hop_samples, "end")
    scores = scorer.score(inputs)
    assert scores.dtype == np.float32
    assert np.array_equal(scorer.score(inputs[::-1]), scores[::-1])
    assert np.array_equal(np.concatenate([scorer.score(x[None]) for x in inputs]), scores)
    assert scorer.score(inputs[:0]).size == 0


@pytest.mark.parametrize("n_samples", [1, 16_000, 48_000, 49_153, 200_000, 327_681])
def test_a_short_input_gives_the_scores_of_a_long_one(
    scorer: Scorer, audio: npt.NDArray[np.float32], n_samples: int
) -> None:
    lengths = []

    def score(inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        lengths.append(inputs.shape[1])
        return scorer.score(inputs)

    short = score_recording(audio[:n_samples], score, ONSETS, "end")
    only_long = replace(ONSETS, short_samples=())
    starts, scores = score_recording(audio[:n_samples], score, only_long, "end")
    assert np.array_equal(short[0], starts)
    assert np.array_equal(short[1], scores)
    assert lengths[0] == min(
        n
        for n in (*ONSETS.short_samples, ONSETS.input_samples)
        if n - 2 * ONSETS.context_samples >= n_samples
    )


@pytest.mark.slow
def test_threads_that_share_a_model_do_not_mix_their_audio(
    scorer: Scorer, audio: npt.NDArray[np.float32]
) -> None:
    inputs = ONSETS.cut(audio, np.arange(3) * ONSETS.hop_samples, "end")
    scores = scorer.score(inputs)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(scorer.score, [x[None] for x in inputs] * 8))
    assert np.array_equal(np.concatenate(again), np.tile(scores, (8, 1)))


def test_the_context_is_all_that_a_score_depends_on(
    scorer: Scorer, audio: npt.NDArray[np.float32]
) -> None:
    """What lies beyond the context of the input's first and last step changes nothing there."""
    [x] = ONSETS.cut(audio, np.array([ONSETS.hop_samples]), "end")
    first, last = x.copy(), x.copy()
    first[ONSETS.step_samples + 2 * ONSETS.context_samples :] = 0.1
    last[: -ONSETS.step_samples - 2 * ONSETS.context_samples] = 0.1
    whole, at_first, at_last = scorer.score(np.stack([x, first, last]))
    assert len(set(whole)) > 3  # or it would be true of any network
    assert at_first[0] == whole[0]
    assert at_last[-1] == whole[-1]
    assert not np.array_equal(at_first, whole)


def test_serving_is_the_same_function(
    network: tf.keras.Model, scorer: Scorer, audio: npt.NDArray[np.float32]
) -> None:
    lean = networks.for_serving(network)
    assert not any("norm" in layer.name for layer in lean.layers)
    [x] = ONSETS.cut(audio, np.zeros(1, np.int64), "end")
    served = log_odds(scorer.score(x[None])[0])
    begins, fills = network(x[None], training=False).numpy()[0].T
    near = np.lib.stride_tricks.sliding_window_view(np.pad(fills, 3, constant_values=-99), 7)
    trained = ((begins + near.max(axis=1)) / 2)[30:-30]
    np.testing.assert_allclose(served, np.clip(trained, -8, 8), atol=1 / 32 + 1e-3)
    assert set(np.round(served * 16, 2) % 1) <= {0.0}  # whole sixteenths
    assert networks.for_serving(networks.tutorial()).name == "tutorial"


@pytest.mark.slow
def test_a_window_scores_alike_wherever_it_stands_in_the_batch(
    windows: npt.NDArray[np.float32],
) -> None:
    scorer = Scorer(networks.tutorial())
    some = np.concatenate([windows[:2], windows[3:4]])
    scores = scorer.score(some)
    assert scores.shape == (3, 1)
    assert np.array_equal(scorer.score(some[::-1]), scores[::-1])


def test_calibration_scales_log_odds(network: tf.keras.Model) -> None:
    served = networks.for_serving(network)
    before = [w.copy() for w in served.get_layer("log_odds").get_weights()]
    np.testing.assert_allclose(before[0].ravel(), 0.5)
    networks.calibrate(served, 2.0, -1.0)
    kernel, bias = served.get_layer("log_odds").get_weights()
    np.testing.assert_allclose(kernel.ravel(), 1.0)
    np.testing.assert_allclose(bias, 2 * before[1] - 1)


def test_a_moo_has_to_last(network: tf.keras.Model) -> None:
    """The summary of a span is that of the steps a moo would fill, and of no others."""
    x = np.zeros((1, 60, 1), np.float32)
    x[0, 30] = 1
    mean, highest = networks.SpanSummary()(x).numpy()[0].T
    first = 30 - networks.MOO_SPAN_STEPS + 1 + networks.MOO_SPAN_BEFORE_STEPS
    spans = np.arange(first, 30 + networks.MOO_SPAN_BEFORE_STEPS + 1)
    assert np.flatnonzero(highest).tolist() == spans.tolist()
    np.testing.assert_allclose(mean[spans], 1 / networks.MOO_SPAN_STEPS, rtol=1e-6)


def test_masks_are_for_training_only(windows: npt.NDArray[np.float32]) -> None:
    front_end = HarmonicFrontEnd(mask_frames=30, mask_bins=30)
    windows = windows[:16, : 20 * 2048]
    plain = front_end(windows).numpy()
    assert np.array_equal(front_end(windows, training=False).numpy(), plain)
    masked = front_end(windows, training=True).numpy()
    assert ((masked == plain) | (masked == 0)).all()
    assert (masked != plain).any()


def test_the_wrong_shape_is_refused(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match=str(ONSETS.input_samples)):
        scorer.score(np.zeros((2, 100), np.float32))
