"""Beam's part of decoding, scoring and counting: transforms that only wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from model.audio import Recording
from model.windows import (
    seconds_from_samples,
)
from pipeline import progress
from pipeline.inference.count import Counted, Counting, finish_recording
from pipeline.inference.decode import decode_segment, failure, plan_segments, read_header
from pipeline.inference.score import SegmentHandler
from pipeline.records import (
    Evidence,
    Failure,
    Listed,
    SegmentAudio,
    SegmentPlan,
    SegmentScores,
)
from pipeline.storage import files


class CountCalls(beam.PTransform):
    """(recording, evidence) → recordings, counted."""

    def __init__(self, counting: Counting) -> None:
        super().__init__()
        self._counting = counting

    def expand(self, evidence: beam.PCollection[tuple[str, Evidence]]) -> beam.PCollection[Counted]:
        """One for each recording."""
        return (
            evidence
            | "Group by recording" >> beam.GroupByKey()
            | "Count" >> beam.ParDo(_Count(self._counting))
        )


class _Count(beam.DoFn):
    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def process(self, grouped: tuple[str, Iterable[Evidence]]) -> Iterator[Counted]:
        counted = finish_recording(*grouped, self._counting)
        Metrics.counter("recordings", counted.row.outcome).inc()
        yield counted


FAILURES = "failures"


PLANS = "plans"


class ProbeRecordings(beam.PTransform):
    """Recordings → (recording, header); plans of segments tagged ``PLANS``, and (recording,
    failure) tagged ``FAILURES``.
    """

    def __init__(self, hop_samples: int, segment_samples: int) -> None:
        super().__init__()
        self._sizes = hop_samples, segment_samples

    def expand(self, recordings: beam.PCollection[Listed]) -> beam.pvalue.DoOutputsTuple:
        """One header or one failure for each recording."""
        return recordings | "Read header" >> beam.ParDo(_ReadHeader(*self._sizes)).with_outputs(
            FAILURES, PLANS, main="headers"
        )


class _ReadHeader(beam.DoFn):
    def __init__(self, hop_samples: int, segment_samples: int) -> None:
        self._sizes = hop_samples, segment_samples

    def process(self, known: Listed) -> Iterator[object]:
        recording = known.recording
        try:
            header = read_header(recording, *self._sizes)
        except Exception as error:
            progress.finish(files=1)
            yield beam.pvalue.TaggedOutput(FAILURES, (recording, failure("open", recording, error)))
        else:
            progress.expect(header.duration_s)
            yield recording, header
            for plan in plan_segments(recording, header, *self._sizes, known):
                yield beam.pvalue.TaggedOutput(PLANS, plan)


class DecodeSegments(beam.PTransform):
    """Segment plans → (recording, audio), and (recording, failure) tagged ``FAILURES``."""

    def __init__(self, hop_samples: int) -> None:
        super().__init__()
        self._hop_samples = hop_samples

    def expand(self, plans: beam.PCollection[SegmentPlan]) -> beam.pvalue.DoOutputsTuple:
        """Audio is not shuffled: what scores it must follow directly."""
        return plans | "Decode" >> beam.ParDo(_DecodeSegment(self._hop_samples)).with_outputs(
            FAILURES, main="audio"
        )


class _DecodeSegment(beam.DoFn):
    def __init__(self, hop_samples: int) -> None:
        self._hop_samples = hop_samples

    def process(self, plan: SegmentPlan) -> Iterator[object]:
        name = plan.recording
        try:
            with files.open_to_read(name) as source, Recording(source, name) as opened:
                audio = decode_segment(opened, plan, self._hop_samples)
        except Exception as error:
            progress.finish(files=plan.share)
            yield beam.pvalue.TaggedOutput(FAILURES, (name, failure("decode", name, error)))
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
