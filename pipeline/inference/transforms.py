"""Beam's part of decoding, scoring and counting: transforms that only wire."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference

from model.audio.channels import MIX
from model.audio.isolated import IsolatedRecording
from model.windows import Grid, Padding, seconds_from_samples
from pipeline import progress
from pipeline.inference import decode
from pipeline.inference.count import Counted, Counting, count_recording
from pipeline.inference.score import InputScorer, score_segment
from pipeline.records import (
    Fact,
    Failure,
    Listed,
    Outcome,
    SegmentAudio,
    SegmentPlan,
    SegmentScores,
)
from pipeline.runtime import give_memory_back
from pipeline.storage.buckets import ObjectFile

_log = logging.getLogger(__name__)

FAILURES = "failures"
HEADERS = "headers"
PLANS = "plans"


@beam.ptransform_fn
def CountCalls(
    evidence: beam.PCollection[tuple[str, Fact]], counting: Counting
) -> beam.PCollection[Counted]:
    """(recording, evidence) → recordings, counted: one for each."""
    return (
        evidence
        | "Group by recording" >> beam.GroupByKey()
        | "Count" >> beam.ParDo(_Count(counting))
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
        if counted.row.outcome == Outcome.FAILED.value:
            _log.info("failed recording: %s", counted.row.error)
        yield counted


@beam.ptransform_fn
def ProbeRecordings(
    recordings: beam.PCollection[Listed], grid: Grid, segment_samples: int, channel: str = MIX
) -> beam.pvalue.DoOutputsTuple:
    """Recordings → (recording, header) of long ones; work tagged ``PLANS``: small recordings
    themselves, and plans of the long ones' segments; (recording, failure) tagged ``FAILURES``.

    One header, one failure or one piece of work for each recording.
    """
    read_header = _ReadHeader(grid, segment_samples, channel)
    tags = (FAILURES, PLANS)
    return recordings | "Read header" >> beam.ParDo(read_header).with_outputs(*tags, main=HEADERS)


class _ReadHeader(beam.DoFn):
    def __init__(self, grid: Grid, segment_samples: int, channel: str = MIX) -> None:
        self._sizes, self._channel = (grid, segment_samples), channel

    def process(self, listed: Listed) -> Iterator[object]:
        name = listed.recording
        if decode.is_small(listed):
            yield beam.pvalue.TaggedOutput(PLANS, listed)
            return
        try:
            with decode.opened(listed, channel=self._channel) as at_hand:
                header = decode.read_header(listed, *self._sizes, at_hand)
                way = at_hand[1].way()
        except Exception as error:
            progress.advance(files=1)
            yield _failed("open", name, error)
        else:
            progress.advance(expected_audio_s=header.duration_s)
            yield name, header
            for plan in decode.plan_segments(listed, header, *self._sizes, way):
                yield beam.pvalue.TaggedOutput(PLANS, plan)


def _failed(step: str, name: str, error: Exception) -> beam.pvalue.TaggedOutput:
    """A recording's failure, counted by its step and kind."""
    Metrics.counter("failures", f"{step} {type(error).__name__}").inc()
    return beam.pvalue.TaggedOutput(FAILURES, (name, decode.failure(step, name, error)))


@beam.ptransform_fn
def DecodeSegments(
    work: beam.PCollection[Listed | SegmentPlan],
    grid: Grid,
    segment_samples: int,
    channel: str = MIX,
) -> beam.pvalue.DoOutputsTuple:
    """Small recordings and segment plans → (recording, audio); (recording, header) of the small
    ones tagged ``HEADERS``, and (recording, failure) tagged ``FAILURES``.

    Shuffles work, never audio: scoring must follow directly.
    """
    decode_work = beam.ParDo(_Decode(grid, segment_samples, channel))
    decoded = (
        work
        | "With whom" >> beam.WithKeys(decode.with_whom)
        | "Share out" >> beam.GroupByKey()
        | "Work" >> beam.Values()
        | "Decode" >> decode_work.with_outputs(FAILURES, HEADERS, main="audio")
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


class _Decode(beam.DoFn):
    def __init__(self, grid: Grid, segment_samples: int, channel: str = MIX) -> None:
        self._sizes, self._channel = (grid, segment_samples), channel

    def process(self, grouped: Iterable[Listed | SegmentPlan]) -> Iterator[object]:
        work = list(grouped)
        for listed in (one for one in work if isinstance(one, Listed)):
            yield from self._decode(listed, [])
        if plans := [one for one in work if isinstance(one, SegmentPlan)]:
            plans.sort(key=lambda plan: plan.first_input)
            yield from self._decode(plans[0].origin.listed, plans)

    def _decode(self, listed: Listed, plans: list[SegmentPlan]) -> Iterator[object]:
        """Decodes these segments of a recording in one reading; all if there is no plan yet."""
        name, left = listed.recording, sum(plan.share for plan in plans) or 1.0
        step = "decode" if plans else "open"
        try:
            with decode.opened(listed, plans[0] if plans else None, self._channel) as at_hand:
                if not plans:
                    header = decode.read_header(listed, *self._sizes, at_hand)
                    plans = list(decode.plan_segments(listed, header, *self._sizes))
                    progress.advance(expected_audio_s=header.duration_s)
                    yield beam.pvalue.TaggedOutput(HEADERS, (name, header))
                    step = "decode"
                for plan in plans:
                    started = time.monotonic()
                    audio = decode.decode_segment(at_hand[1], plan, self._sizes[0])
                    _measured("decode_ms", started)
                    yield name, audio
                    # The score is known now: what follows is fused to this step.
                    decoded_s = seconds_from_samples(audio.decoded_samples)
                    progress.advance(files=plan.share, audio_s=decoded_s)
                    left -= plan.share
                self._note_reading(*at_hand, len(plans))
        except Exception as error:
            progress.advance(files=left)
            yield _failed(step, name, error)

    def _note_reading(
        self, source: str | IO[bytes], decoder: IsolatedRecording, n_segments: int
    ) -> None:
        if decoder.restarts:
            Metrics.counter("retries", "decoder").inc(decoder.restarts)
        if isinstance(source, ObjectFile):
            for what, n in (("bytes", source.fetched_bytes), ("requests", source.requests)):
                Metrics.distribution("segments", what).update(n // max(1, n_segments))


def _measured(what: str, started: float) -> None:
    Metrics.distribution("segments", what).update(round(1000 * (time.monotonic() - started)))


@beam.ptransform_fn
def ScoreSegments(
    audio: beam.PCollection[tuple[str, SegmentAudio]], handler: SegmentHandler
) -> beam.PCollection[tuple[str, SegmentScores | Failure]]:
    """(recording, audio) → (recording, scores or failure). Keys pass the model by."""
    return audio | "Run inference" >> RunInference(KeyedModelHandler(handler))


class SegmentHandler(ModelHandler[SegmentAudio, SegmentScores | Failure, InputScorer]):
    """Loads the model once a process; scores one segment at a time.

    An error becomes a failure here and not in ``RunInference.with_exception_handling``, which would
    send the audio along.

    Args:
        load: makes the scorer, on the worker.
        grid: of the model's inputs.
        padding: where zeros go in a window that holds less audio than its length.
    """

    def __init__(self, load: Callable[[], InputScorer], grid: Grid, padding: Padding) -> None:
        super().__init__()
        self._load, self._grid, self._padding = load, grid, padding

    def load_model(self) -> InputScorer:
        give_memory_back()  # here: a worker process comes this way once, before it has held much
        return self._load()

    def run_inference(
        self, batch: Sequence[SegmentAudio], model: InputScorer, inference_args: Any = None
    ) -> Iterator[SegmentScores | Failure]:
        for audio in batch:
            started = time.monotonic()
            try:
                scores = score_segment(audio, model, self._grid, self._padding)
                _measured("score_ms", started)
                yield scores
            except Exception as error:
                Metrics.counter("failures", f"score {type(error).__name__}").inc()
                _log.debug("a segment could not be scored", exc_info=True)
                yield Failure("score", f"{type(error).__name__}: {error}")

    def batch_elements_kwargs(self) -> dict[str, int]:
        # A segment is a batch already; more of them would only wait in memory.
        return {"min_batch_size": 1, "max_batch_size": 1}

    def get_num_bytes(self, batch: Sequence[SegmentAudio]) -> int:
        # The default would pickle the audio to learn its size.
        return sum(audio.samples.nbytes for audio in batch)
