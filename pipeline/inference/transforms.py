"""Beam's part of decoding, scoring and counting: transforms that only wire."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference

from model.isolated import IsolatedRecording
from model.windows import Grid, Padding, seconds_from_samples
from pipeline import progress
from pipeline.inference import decode
from pipeline.inference.count import Counted, Counting, count_recording
from pipeline.inference.score import InputScorer, score_segment
from pipeline.records import (
    Fact,
    Failure,
    Listed,
    SegmentAudio,
    SegmentPlan,
    SegmentScores,
)
from pipeline.storage import files

FAILURES = "failures"
PLANS = "plans"


class CountCalls(beam.PTransform):
    """(recording, evidence) → recordings, counted."""

    def __init__(self, counting: Counting) -> None:
        super().__init__()
        self._counting = counting

    def expand(self, evidence: beam.PCollection[tuple[str, Fact]]) -> beam.PCollection[Counted]:
        """One for each recording."""
        return (
            evidence
            | "Group by recording" >> beam.GroupByKey()
            | "Count" >> beam.ParDo(_Count(self._counting))
        )


class _Count(beam.DoFn):
    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def process(self, grouped: tuple[str, Iterable[Fact]]) -> Iterator[Counted]:
        recording, facts = grouped[0], list(grouped[1])
        try:
            counted = count_recording(recording, facts, self._counting)
        except Exception as error:
            listed = [fact for fact in facts if isinstance(fact, Listed)]
            reason = decode.failure("count", recording, error)
            counted = count_recording(recording, [*listed, reason], self._counting)
        Metrics.counter("recordings", counted.row.outcome).inc()
        yield counted


class ProbeRecordings(beam.PTransform):
    """Recordings → (recording, header); plans of segments tagged ``PLANS``, and (recording,
    failure) tagged ``FAILURES``.
    """

    def __init__(self, grid: Grid, segment_samples: int) -> None:
        super().__init__()
        self._sizes = grid, segment_samples

    def expand(self, recordings: beam.PCollection[Listed]) -> beam.pvalue.DoOutputsTuple:
        """One header or one failure for each recording."""
        return recordings | "Read header" >> beam.ParDo(_ReadHeader(*self._sizes)).with_outputs(
            FAILURES, PLANS, main="headers"
        )


class _ReadHeader(beam.DoFn):
    def __init__(self, grid: Grid, segment_samples: int) -> None:
        self._sizes = grid, segment_samples

    def process(self, known: Listed) -> Iterator[object]:
        recording = known.recording
        try:
            header = decode.read_header(known, *self._sizes)
        except Exception as error:
            progress.finish(files=1)
            yield beam.pvalue.TaggedOutput(
                FAILURES, (recording, decode.failure("open", recording, error))
            )
        else:
            progress.expect(header.duration_s)
            yield recording, header
            for plan in decode.plan_segments(known, header, *self._sizes):
                yield beam.pvalue.TaggedOutput(PLANS, plan)


class DecodeSegments(beam.PTransform):
    """Segment plans → (recording, audio), and (recording, failure) tagged ``FAILURES``."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self._grid = grid

    def expand(self, plans: beam.PCollection[SegmentPlan]) -> beam.pvalue.DoOutputsTuple:
        """Audio is not shuffled: what scores it must follow directly."""
        decoded = plans | "Decode" >> beam.ParDo(_DecodeSegment(self._grid)).with_outputs(
            FAILURES, main="audio"
        )
        # Beam has no type hints for one of several outputs; without, it would not know the coder.
        decoded.audio.element_type = beam.typehints.Tuple[str, SegmentAudio]
        return decoded


class _AudioCoder(beam.coders.Coder):
    """Tells the size of audio without encoding it.

    Beam asks it of a sample of all elements, among them the first ten of each step. Pickling some
    20 MB each time took a tenth of a short job.
    """

    def encode(self, value: SegmentAudio) -> bytes:
        return pickle.dumps(value)

    def decode(self, encoded: bytes) -> SegmentAudio:
        audio: SegmentAudio = pickle.loads(encoded)  # from a worker of this job
        return audio

    def estimate_size(self, value: SegmentAudio) -> int:
        return value.samples.nbytes

    def is_deterministic(self) -> bool:
        return False


beam.coders.registry.register_coder(SegmentAudio, _AudioCoder)


class _DecodeSegment(beam.DoFn):
    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def process(self, plan: SegmentPlan) -> Iterator[object]:
        name = plan.recording
        try:
            origin = plan.origin
            with (
                files.open_to_read(name, origin.listed.stamp) as source,
                IsolatedRecording(source, name, origin.header.frames) as opened,
            ):
                audio = decode.decode_segment(opened, plan, self._grid)
        except Exception as error:
            progress.finish(files=plan.share)
            yield beam.pvalue.TaggedOutput(FAILURES, (name, decode.failure("decode", name, error)))
        else:
            yield name, audio
            # The score is known when the line above returns: what follows is fused to this step.
            progress.finish(files=plan.share, audio_s=seconds_from_samples(audio.heard_samples))


class ScoreSegments(beam.PTransform):
    """(recording, audio) → (recording, scores or failure)."""

    def __init__(self, handler: SegmentHandler) -> None:
        super().__init__()
        self._handler = handler

    def expand(
        self, audio: beam.PCollection[tuple[str, SegmentAudio]]
    ) -> beam.PCollection[tuple[str, SegmentScores | Failure]]:
        """Keys pass the model by."""
        return audio | "Run inference" >> RunInference(KeyedModelHandler(self._handler))


class SegmentHandler(ModelHandler[SegmentAudio, SegmentScores | Failure, InputScorer]):
    """Loads the model once a process; scores one segment at a time.

    A segment that cannot be scored becomes a failure here rather than by
    ``RunInference.with_exception_handling``, which would send its audio along.

    Args:
        load: makes the scorer, on the worker.
        grid: what the model takes.
        padding: where zeros go in a window that holds less audio than its length.
    """

    def __init__(self, load: Callable[[], InputScorer], grid: Grid, padding: Padding) -> None:
        super().__init__()
        self._load, self._grid, self._padding = load, grid, padding

    def load_model(self) -> InputScorer:
        return self._load()

    def run_inference(
        self, batch: Sequence[SegmentAudio], model: InputScorer, inference_args: Any = None
    ) -> Iterator[SegmentScores | Failure]:
        for audio in batch:
            try:
                yield score_segment(audio, model, self._grid, self._padding)
            except Exception as error:
                logging.exception("a segment could not be scored")
                yield Failure("score", f"{type(error).__name__}: {error}")

    def batch_elements_kwargs(self) -> dict[str, int]:
        # A segment is a batch already; more of them would only wait in memory.
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[SegmentAudio]) -> int:
        # The default would pickle the audio to learn its size.
        return sum(audio.samples.nbytes for audio in batch)
