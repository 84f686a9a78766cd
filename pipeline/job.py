"""The job, from top to bottom."""

from __future__ import annotations

import apache_beam as beam

from model.windows import samples_from_seconds
from pipeline.inference.count import Counting
from pipeline.inference.transforms import (
    FAILURES,
    HEADERS,
    PLANS,
    CountCalls,
    DecodeSegments,
    ProbeRecordings,
    ScoreSegments,
    SegmentHandler,
)
from pipeline.inputs.transforms import MatchRecordings
from pipeline.ledger.drift import note_run
from pipeline.ledger.entries import tidy
from pipeline.ledger.transforms import (
    CALLS,
    PROBE,
    Commit,
    CountAgain,
    FindWork,
    KeepScores,
    ReadState,
    ReadTables,
)
from pipeline.options import Config
from pipeline.tables.transforms import WriteTables


def build_pipeline(
    root: beam.Pipeline,
    config: Config,
    counting: Counting,
    handler: SegmentHandler,
    night: beam.PTransform | None = None,
) -> None:
    """Recordings in, tables out.

    Args:
        root: the pipeline to add to. The caller runs it.
        config: what to read and where to write.
        counting: how to count.
        handler: the model.
        night: takes (recordings, calls) to a database as well.
    """
    grid, segment = counting.grid, samples_from_seconds(config.segment_s)

    recordings = root | "Match" >> MatchRecordings(
        config.inputs, config.manifests, config.deployments, config.time_zone
    )
    state = root | "Once" >> beam.Create([None]) | "Look up" >> ReadState(config.output)
    todo = (state, recordings) | "Find work" >> FindWork(
        config.output, counting, segment, config.retry_failed
    )
    probed = todo[PROBE] | "Probe" >> ProbeRecordings(grid, segment)
    plans = (probed[PLANS], todo[PLANS]) | "Segments" >> beam.Flatten()
    decoded = plans | "Decode" >> DecodeSegments(grid, segment)
    scores = (
        decoded.audio
        | "Score" >> ScoreSegments(handler)
        | "Keep scores" >> KeepScores(config.output, counting)
    )
    counted = (
        (
            *(todo.facts, probed[HEADERS], probed[FAILURES]),
            *(decoded[HEADERS], decoded[FAILURES], scores),
        )
        | "All that is known" >> beam.Flatten()
        | "Count" >> CountCalls(counting)
    )
    committed = counted | "Commit" >> Commit(config.output, counting)
    build_tables(committed, config, night)
    # In the job, since whoever handed it over to a service may not wait for its end.
    done = committed | "All committed" >> beam.combiners.Count.Globally()
    _ = done | "Tidy up" >> beam.Map(lambda _: tidy(config.output, counting.run_id))
    _ = done | "Note drift" >> beam.Map(lambda _: note_run(config.output, config.model, counting))


def build_rescoring(root: beam.Pipeline, config: Config, counting: Counting) -> None:
    """The state of the ledger in, the same state counted in another way out."""
    state = root | "Once" >> beam.Create([None]) | "Look up" >> ReadState(config.output)
    counted = state | "Rescore" >> CountAgain(config.output, counting)
    build_tables(counted | "Commit" >> Commit(config.output, counting), config)


def build_tables(
    committed: beam.PCollection[str], config: Config, night: beam.PTransform | None = None
) -> None:
    """From the ledger, as it is when the last file of it was committed, to the tables."""
    tables = committed | "State" >> ReadTables(config.output)
    rows = tables.recordings, tables[CALLS]
    rows | "Write" >> WriteTables(config.output, config.formats)
    if night:
        rows | "Fill a night" >> night
