"""The job, from top to bottom."""

from __future__ import annotations

import apache_beam as beam

from model.windows import samples_from_seconds
from pipeline.count import CALLS, CountCalls, Counting
from pipeline.decode import FAILURES, DecodeSegments, ProbeRecordings, plan_segments
from pipeline.match import MatchRecordings
from pipeline.options import Config
from pipeline.score import ScoreSegments, SegmentHandler
from pipeline.write import WriteTables


def build_pipeline(
    root: beam.Pipeline, config: Config, counting: Counting, handler: SegmentHandler
) -> None:
    """Recordings in, tables out.

    Args:
        root: the pipeline to add to. The caller runs it.
        config: what to read and where to write.
        counting: how to count.
        handler: the model.
    """
    hop, segment = counting.hop_samples, samples_from_seconds(config.segment_s)

    recordings = root | "Match" >> MatchRecordings(
        config.inputs, config.manifests, config.deployments, config.time_zone
    )
    keyed = recordings | "By name" >> beam.WithKeys(lambda known: known.recording)
    probed = recordings | "Probe" >> ProbeRecordings(hop, segment)
    plans = (
        probed.headers
        | "Cut" >> beam.FlatMap(lambda known: plan_segments(known[0], known[1], hop, segment))
        | "Share out" >> beam.Reshuffle()
    )
    decoded = plans | "Decode" >> DecodeSegments(hop)
    scores = decoded.audio | "Score" >> ScoreSegments(handler)
    counted = (
        (keyed, probed.headers, probed[FAILURES], decoded[FAILURES], scores)
        | "All that is known" >> beam.Flatten()
        | "Count" >> CountCalls(counting)
    )
    (counted.recordings, counted[CALLS]) | "Write" >> WriteTables(config.output, config.formats)
