"""Training examples as TFRecords, made by Beam and read by tfx-bsl.

For an archive the training set is too much for one machine to decode. This job cuts the examples
of ``clips`` from every recording with the very code that training uses in memory, and writes them
as tf.Example in TFRecord files. ``capuchinbird train FILES`` reads them.

    capuchinbird examples DATA --output records/forest [Beam options]

An example is a call with its surroundings or a stretch of background, not a window: where windows
lie, and what they are mixed with, is drawn anew in every epoch.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from model.audio.decoders import AudioError
from model.audio.recording import read_all
from model.quiet import without_start_up_noise
from model.training.clips import (
    Annotation,
    DataError,
    Example,
    LabelledRecording,
    Scene,
    cut_examples,
)
from model.training.folders import labelled, load_scenes, read_data
from model.training.onsets import with_onsets
from model.windows import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import apache_beam as beam

SUFFIX = ".tfrecord.gz"

_TEXTS = ("source", "group", "take")
_NUMBERS = ("offset", "call_start", "cue_start", "call_end")


@dataclass(frozen=True)
class Material:
    """Everything a training works with.

    Attributes:
        scenes: recordings, or cut-outs of them, to try networks on.
        examples: calls and background to train on.
        sha256: hash over all of it.
        skipped: a line for everything that could not be used.
    """

    scenes: tuple[Scene, ...]
    examples: tuple[Example, ...]
    sha256: str
    skipped: tuple[str, ...] = ()


def read_material(
    sources: Sequence[Path],
    negatives: Sequence[Path] = (),
    annotations: Path | None = None,
    call_labels: Sequence[str] = (),
) -> Material:
    """Labelled audio from folders (see ``clips.read_data``) or from TFRecord files.

    Raises:
        DataError: nothing usable, or folders and files together.
    """
    files = [path for path in sources if path.is_file()]
    if not files:
        data = read_data(sources, negatives, annotations, call_labels)
        scenes, skipped = load_scenes(data)
        examples = with_onsets([e for scene in scenes for e in cut_examples(scene)])
        return Material(tuple(scenes), examples, data.sha256(), (*data.skipped, *skipped))
    if len(files) < len(sources) or negatives or annotations:
        raise DataError("give either folders or TFRecord files: files hold all that is to be known")
    if wrong := [path for path in files if not path.name.endswith(SUFFIX)]:
        raise DataError(f"{wrong[0]}: neither a folder nor a file that ends in {SUFFIX}")
    examples = tuple(sorted(read_examples(files), key=lambda e: (e.source, e.offset, e.kind)))
    if not any(e.kind == "call" for e in examples):
        raise DataError(f"{files[0]}: no call is annotated in these files")
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    scenes = [scene_of(example) for example in examples]
    sha256 = hashlib.sha256("".join(digests).encode()).hexdigest()
    return Material(tuple(scenes), with_onsets(examples), sha256)


def scene_of(example: Example) -> Scene:
    """An example as a short recording with at most one call."""
    notes: tuple[Annotation, ...] = ()
    if example.kind == "call":
        start_s, end_s = example.call_start / SAMPLE_RATE_HZ, example.call_end / SAMPLE_RATE_HZ
        notes = (Annotation(start_s, end_s, example.take),)
    name = f"{example.source} from sample {example.offset}"
    return Scene(name, example.group, example.audio, notes)


def encode_example(example: Example) -> bytes:
    """The example as a serialised tf.Example; audio as 16-bit PCM, half the size of floats."""
    import tensorflow as tf

    def octets(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def number(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    pcm = np.round(np.clip(example.audio, -1, 1) * 32767).astype("<i2").tobytes()
    features = {"audio": octets(pcm), "label": number(int(example.kind == "call"))}
    features |= {name: octets(getattr(example, name).encode()) for name in _TEXTS}
    features |= {name: number(getattr(example, name)) for name in _NUMBERS}
    record = tf.train.Example(features=tf.train.Features(feature=features))
    return cast(bytes, record.SerializeToString(deterministic=True))


def read_examples(files: Sequence[Path]) -> Iterator[Example]:
    """The examples in TFRecord files, through tfx-bsl's TFXIO."""
    with without_start_up_noise():
        from tfx_bsl.public import tfxio

    source = tfxio.TFExampleRecord([str(path) for path in files], telemetry_descriptors=["model"])
    options = tfxio.RecordBatchesOptions(batch_size=16, num_epochs=1, shuffle=False)
    for batch in source.RecordBatches(options):
        columns = {name: batch.column(i) for i, name in enumerate(batch.schema.names)}
        for row in range(batch.num_rows):
            yield _decode({name: column[row].as_py()[0] for name, column in columns.items()})


def _decode(row: dict[str, Any]) -> Example:
    kind: Literal["call", "background"] = "call" if row["label"] else "background"
    return Example(
        audio=np.frombuffer(row["audio"], "<i2").astype(np.float32) / np.float32(32767),
        kind=kind,
        **{name: row[name].decode() for name in _TEXTS},
        **{name: row[name] for name in _NUMBERS},
    )


def encoded_examples(recording: LabelledRecording) -> Iterator[bytes]:
    """Every example in a recording, ready to write. An unreadable recording gives none."""
    from apache_beam.metrics import Metrics

    try:
        audio = read_all(recording.path)
    except AudioError as error:
        print(f"skipped: {error}", file=sys.stderr)
        Metrics.counter("examples", "recordings_skipped").inc()
        return
    scene, late = labelled(recording, audio)
    for line in late:
        print(f"skipped: {line}", file=sys.stderr)
        Metrics.counter("examples", "annotations_skipped").inc()
    for example in cut_examples(scene):
        Metrics.counter("examples", f"{example.kind}s").inc()
        yield encode_example(example)


def build_dataset(
    root: beam.Pipeline, recordings: Iterable[LabelledRecording], prefix: str
) -> None:
    """The job: recordings → examples → ``PREFIX-00000-of-0000N.tfrecord.gz``."""
    import apache_beam as beam

    (
        root
        | "Recordings" >> beam.Create(list(recordings))
        | "Spread" >> beam.Reshuffle()
        | "Cut" >> beam.FlatMap(encoded_examples)
        | "Write"
        >> beam.io.WriteToTFRecord(prefix, file_name_suffix=SUFFIX, compression_type="gzip")
    )
