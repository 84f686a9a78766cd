"""The tutorial's network, trained on the tutorial's clips: as published, then judged by source.

As published, clips are shuffled and split into batches for training and for the test anew in each
epoch, since a tf.data shuffle is drawn again each time it is read: what is tested on was trained on
in other epochs, and clips of one recording lie on both sides. By source, a third of the recordings
that clips were cut from is left out of training, and the test is on these.

    python -m benchmarks.tutorial DATA [--by_source]

``DATA`` holds the folders ``Parsed_Capuchinbird_Clips`` and ``Parsed_Not_Capuchinbird_Clips``, and
``clips.csv`` with the columns ``clip`` and ``source``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model.audio.recording import read_all
from model.network import tutorial
from model.windows import WINDOW_SAMPLES, Samples

FOLDERS = ("Parsed_Not_Capuchinbird_Clips", "Parsed_Capuchinbird_Clips")
BATCH = 16
EPOCHS = 4
TRAINING_SHARE = 36 / 51
"""Of the batches, as published: 36 of 51."""


def window_of(clip: Samples) -> Samples:
    """The first 3 s of a clip, float32 ``[48000]``; zeros go in front of a shorter one.

    >>> window_of(np.ones(2, np.float32))[-3:].tolist()
    [0.0, 1.0, 1.0]
    """
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    start = clip[:WINDOW_SAMPLES]
    window[WINDOW_SAMPLES - len(start) :] = start
    return window


def read_clips(folder: Path) -> tuple[Samples, Samples, list[str]]:
    """All clips: windows ``[n, 48000]``, whether they hold a call ``[n, 1]``, and their sources."""
    with (folder / "clips.csv").open(newline="", encoding="utf-8") as table:
        source_of = {Path(row["clip"]).stem: row["source"] for row in csv.DictReader(table)}
    windows, labels, sources = [], [], []
    for label, name in enumerate(FOLDERS):
        for path in sorted((folder / name).iterdir()):
            windows.append(window_of(read_all(path)))
            labels.append([float(label)])
            sources.append(source_of[path.stem])
    return np.stack(windows), np.array(labels, np.float32), sources


def leave_out_third(sources: Sequence[str], labels: Samples, seed: int) -> npt.NDArray[np.bool_]:
    """Which clips to test on: those of a third of the sources with calls, and of those without."""
    rng = np.random.default_rng(seed)
    with_calls = {source for source, label in zip(sources, labels[:, 0], strict=True) if label}
    left_out: set[str] = set()
    for kind in (sorted(with_calls), sorted(set(sources) - with_calls)):
        left_out |= {str(name) for name in rng.permutation(kind)[: round(len(kind) / 3)]}
    return np.array([source in left_out for source in sources])


def split_as_published(windows: Samples, labels: Samples) -> tuple[Any, Any, str]:
    """Batches for training and test, shuffled and parted anew whenever they are read."""
    clips = tf.data.Dataset.from_tensor_slices((windows, labels))
    batches = clips.shuffle(1000).batch(BATCH)
    n = round(TRAINING_SHARE * len(batches))
    words = f"{n} batches to train on, {len(batches) - n} to test on"
    return batches.take(n), batches.skip(n), words


def split_by_source(
    windows: Samples, labels: Samples, sources: Sequence[str], seed: int
) -> tuple[Any, Any, str]:
    """The same by source: what is tested on has no source in common with training."""
    out = leave_out_third(sources, labels, seed)
    parts = [tf.data.Dataset.from_tensor_slices((windows[of], labels[of])) for of in (~out, out)]
    n_sources = len({source for source, is_out in zip(sources, out, strict=True) if is_out})
    words = (
        f"{np.sum(~out)} clips to train on; to test on {np.sum(out)} of {n_sources} other sources, "
        f"{int(labels[out].sum())} of them calls"
    )
    return parts[0].shuffle(1000).batch(BATCH), parts[1].batch(BATCH), words


def train(training: Any, test: Any) -> dict[str, list[float]]:
    """Trains as published. Returns Keras's history."""
    network = tutorial()
    metrics = [keras.metrics.Recall(name="recall"), keras.metrics.Precision(name="precision")]
    network.compile("adam", "binary_crossentropy", metrics=metrics)
    history = network.fit(training, epochs=EPOCHS, validation_data=test, verbose=2)
    return dict(history.history)


def table_of(history: dict[str, list[float]]) -> str:
    """Loss, recall and precision by epoch, as Markdown."""
    names = [f"{part}{name}" for part in ("", "val_") for name in ("loss", "recall", "precision")]
    head = [name.replace("val_", "test ") for name in names]
    lines = [f"| epoch | {' | '.join(head)} |", "|" + "---|" * (len(names) + 1)]
    for epoch in range(len(history["loss"])):
        cells = [f"{history[name][epoch]:.4f}" for name in names]
        lines.append(f"| {epoch + 1} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Train the tutorial's network on its own clips.")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--by_source", action="store_true", help="test on sources left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    flags = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(flags.seed)
    windows, labels, sources = read_clips(flags.data)
    training, test, words = (
        split_by_source(windows, labels, sources, flags.seed)
        if flags.by_source
        else split_as_published(windows, labels)
    )
    print(f"{len(windows)} clips, {int(labels.sum())} of them calls; {words}", flush=True)
    print(table_of(train(training, test)))


if __name__ == "__main__":
    main()
