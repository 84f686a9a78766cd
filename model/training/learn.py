"""Fits a network: epochs of fresh windows, early stop, a checkpoint to go on from."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model.network import NETWORKS
from model.training.augment import AudioSource, Batch, MixedStretches, Mixture, PlainWindows
from model.training.clips import Example
from model.training.time_left import TimeLeft
from model.windows import Samples

MIXTURE = Mixture()
STEPS_AHEAD = 16

VALIDATION_SEED = 1_000_003
VALIDATION_MIXTURE = Mixture(stores=(120, 60, 100, 8))


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Attributes:
        network: ``onset`` or ``tutorial``.
        epochs, steps: how much it sees at most; steps are those of an epoch.
        patience: it stops after so many epochs without a lower validation loss.
        seed: decides everything random.
        threads: of TensorFlow.
    """

    network: str = "onset"
    epochs: int = 10
    steps: int = 70
    patience: int = 5
    seed: int = 0
    threads: int = 2

    @property
    def batch(self) -> int:
        """Inputs in a step: 3 s each for ``tutorial``, which takes 16 as published, else 20 s."""
        return 16 if self.network == "tutorial" else 12


@dataclass(frozen=True)
class Fitted:
    """A trained network and its figures epoch by epoch."""

    network: keras.Model
    history: tuple[dict[str, float], ...]


def use_threads(threads: int) -> None:
    """Limits TensorFlow to so many threads; the first call in a process decides."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:  # it runs already
        return


def fit(
    examples: Sequence[Example],
    settings: Settings,
    log: Callable[[str], None],
    folder: Path | None = None,
    resume: bool = False,
    left: TimeLeft | None = None,
) -> Fitted:
    """Trains on mixtures of examples.

    The rate rises, then falls as a cosine; the network that is kept has the moving average of the
    weights. Validation windows are other mixtures of the same examples: they say when learning
    stands still, not how good the network is with other birds.

    Args:
        examples: calls and background.
        settings: how.
        log: takes one line an epoch.
        folder: holds the checkpoint and TensorBoard's files; none are kept without.
        resume: go on from the checkpoint, if there is one.
        left: of the whole training that this is a part of; this is all of it unless given.
    """
    left = left or TimeLeft(settings.epochs)
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    validation = _validation(examples, settings)
    history: list[dict[str, float]] = []
    network = NETWORKS[settings.network]()
    network.compile(_optimizer(settings), _loss(settings))
    averaged = network.get_weights()
    if resume and folder and (folder / _HISTORY).is_file():
        history = json.loads((folder / _HISTORY).read_text())
        network = keras.saving.load_model(folder / _LAST)
        averaged = list(np.load(folder / _BEST).values())
        log(f"going on after epoch {len(history)}")
    writer = tf.summary.create_file_writer(str(folder / "tensorboard")) if folder else None
    first = len(history)
    left.drop(first)
    with closing(_made_ahead(_batches(examples, settings, first))) as batches:
        for epoch in range(first, settings.epochs):
            started = time.monotonic()
            losses = [
                float(network.train_on_batch(*_as_trained(next(batches))))
                for _ in range(settings.steps)
            ]
            row = {"loss": float(np.mean(losses))}
            moving = network.get_weights()
            if network.optimizer.use_ema:
                network.optimizer.finalize_variable_values(network.trainable_variables)
            row |= _figures(network, validation, settings.batch)
            history.append(row)
            if _best(history) == epoch:
                averaged = network.get_weights()
            network.set_weights(moving)
            if folder:
                _keep(folder, network, averaged, history)
            if writer:
                with writer.as_default(step=epoch + 1):
                    for name, value in row.items():
                        tf.summary.scalar(name, value)
            left.epoch_took(time.monotonic() - started)
            log(
                f"epoch {epoch + 1}/{settings.epochs}  loss {row['loss']:.3f}  validation: "
                f"loss {row['validation_loss']:.3f}, precision {row['validation_precision']:.3f}, "
                f"recall {row['validation_recall']:.3f}  {left.in_words()}"
            )
            if has_stalled(history, settings.patience):
                left.drop(settings.epochs - epoch - 1)
                log(f"stopped: no better since epoch {_best(history) + 1}")
                break
    network.set_weights(averaged)
    return Fitted(network, tuple(history))


def _source(examples: Sequence[Example], settings: Settings) -> AudioSource:
    """Windows to learn from. The tutorial's network gets its windows plain."""
    if settings.network == "tutorial":
        return PlainWindows(examples, settings.seed, held_out=False)
    return MixedStretches(examples, settings.seed, MIXTURE)


def _validation(examples: Sequence[Example], settings: Settings) -> Batch:
    if settings.network == "tutorial":
        held_out = PlainWindows(examples, settings.seed, held_out=True)
        return held_out.draw(len(held_out))
    source = MixedStretches(examples, settings.seed + VALIDATION_SEED, VALIDATION_MIXTURE)
    return source.draw(min(192, settings.steps * settings.batch))


def _loss(settings: Settings) -> str | Callable[..., tf.Tensor]:
    return "binary_crossentropy" if settings.network == "tutorial" else weighted_cross_entropy


@keras.saving.register_keras_serializable("capuchinbird")
def weighted_cross_entropy(targets_and_weights: tf.Tensor, log_odds: tf.Tensor) -> tf.Tensor:
    """Cross entropy of each head's log odds ``[batch, steps, heads]``, with a weight for each.

    Args:
        targets_and_weights: ``[batch, steps, 2 heads]``, targets first.
        log_odds: what the network gives.
    """
    targets, weights = tf.split(targets_and_weights, 2, -1)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(targets, log_odds)
    return tf.reduce_mean(weights * entropy, -1)


def _as_trained(batch: Batch) -> tuple[Samples, Samples]:
    """Inputs, and targets with their weights where there are any."""
    audio, *targets = batch
    return audio, np.concatenate(targets, -1)


def _figures(network: keras.Model, validation: Batch, batch: int) -> dict[str, float]:
    """Loss, and precision and recall of scores and targets above a half."""
    audio, targets, *weighted = validation
    scores = network.predict(audio, batch_size=batch, verbose=0).astype(np.float64)
    weights = weighted[0] if weighted else np.ones_like(targets)
    if weighted:  # log odds
        scores = 1 / (1 + np.exp(-scores))
    p = np.clip(scores, 1e-7, 1 - 1e-7)
    loss = -weights * (targets * np.log(p) + (1 - targets) * np.log(1 - p))
    predicted, true = (scores > 0.5) & (weights > 0), (targets > 0.5) & (weights > 0)
    hits = float(np.sum(predicted & true))
    return {
        "validation_loss": float(np.mean(loss)),
        "validation_precision": hits / max(1.0, float(np.sum(predicted))),
        "validation_recall": hits / max(1.0, float(np.sum(true))),
    }


_HISTORY, _LAST, _BEST = "history.json", "last.keras", "best.npz"


def _keep(
    folder: Path,
    network: keras.Model,
    averaged: Sequence[npt.NDArray[np.float32]],
    history: Sequence[dict[str, float]],
) -> None:
    """The checkpoint. The history is written last: without it there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / _LAST)
    np.savez(folder / _BEST, *averaged)
    partial = folder / (_HISTORY + ".partial")
    partial.write_text(json.dumps(list(history), indent=1))
    partial.replace(folder / _HISTORY)


def has_stalled(history: Sequence[dict[str, float]], patience: int) -> bool:
    """Whether the validation loss has not fallen for so many epochs.

    >>> has_stalled([{"validation_loss": loss} for loss in (0.9, 0.5, 0.6, 0.5)], patience=2)
    True
    """
    return len(history) - 1 - _best(history) >= patience


def _best(history: Sequence[dict[str, float]]) -> int:
    return int(np.argmin([row["validation_loss"] for row in history]))


def _optimizer(settings: Settings) -> keras.Optimizer:
    if settings.network == "tutorial":
        return keras.optimizers.Adam()
    steps = settings.epochs * settings.steps
    rising = max(1, steps // 20)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, max(1, steps - rising), warmup_target=3e-3, warmup_steps=rising
    )
    # The average spans some 100 steps; on short trainings fewer, or it would never catch up.
    momentum = min(0.99, 1 - 10 / (10 + steps))
    return keras.optimizers.AdamW(rate, weight_decay=1e-3, use_ema=True, ema_momentum=momentum)


def _batches(examples: Sequence[Example], settings: Settings, first: int) -> Iterator[Batch]:
    """Batches of windows from epoch ``first`` on."""
    source = _source(examples, settings)
    for epoch in range(settings.epochs):
        source.reseed(settings.seed, epoch)  # the same windows after a resumption
        if epoch:
            source.renew()
        for _ in range(settings.steps if epoch >= first else 0):
            yield source.draw(settings.batch)


def _made_ahead(batches: Iterator[Batch]) -> Generator[Batch, None, None]:
    """The same batches, made a few steps ahead in a thread."""
    with ThreadPoolExecutor(1) as thread:
        ahead = deque(thread.submit(next, batches, None) for _ in range(STEPS_AHEAD))
        try:
            while batch := ahead.popleft().result():
                ahead.append(thread.submit(next, batches, None))
                yield batch
        finally:
            thread.shutdown(cancel_futures=True)
