"""The job, from top to bottom."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

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
from pipeline.inputs.versions import NOTHING_LISTED, Listings
from pipeline.ledger.transforms import (
    CHANGED,
    PARTS,
    PROBE,
    SUMS,
    AddUp,
    AllParts,
    Commit,
    CountAgain,
    FindWork,
    KeepScores,
    Tidy,
)
from pipeline.options import Config
from pipeline.storage import files
from pipeline.tables.run_report import RunReport
from pipeline.tables.transforms import Finish, UpdateParts


def build_pipeline(
    root: beam.Pipeline,
    config: Config,
    counting: Counting,
    handler: SegmentHandler,
    night: beam.PTransform | None = None,
    report: RunReport | None = None,
    *,
    gate: bool = False,
    listings: Listings = NOTHING_LISTED,
) -> None:
    """Recordings in, tables out.

    Args:
        root: the pipeline to add to. The caller runs it.
        config: what to read and where to write.
        counting: how to count.
        handler: the model.
        night: takes (parts that were added to, all updated) to a database as well.
        report: what run.json begins with; None for no run.json.
        gate: whether the job fails when too many of its inputs failed.
        listings: what is known of patterns already.
    """
    grid, segment = counting.grid, samples_from_seconds(config.segment_s)
    night_kept = config.night.isoformat() if night and config.night else ""

    recordings = root | "Match" >> MatchRecordings(
        config.inputs, config.manifests, config.deployments, config.time_zone, listings
    )
    found = recordings | "Find work" >> FindWork(
        config.output, counting, segment, config.retry_failed, night_kept
    )
    # Nothing is changed before all parts were found fit to be added to.
    begun = (
        found[PARTS]
        | "All found" >> beam.combiners.Count.Globally()
        | "Begin" >> beam.Map(_begin, config.output)
    )
    todo = {
        tag: found[tag] | f"Then {tag}" >> beam.Map(_after, AsSingleton(begun))
        for tag in ("facts", PROBE, PLANS)
    }
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
            *(todo["facts"], probed[HEADERS], probed[FAILURES]),
            *(decoded[HEADERS], decoded[FAILURES], scores),
        )
        | "All that is known" >> beam.Flatten()
        | "Count" >> CountCalls(counting)
    )
    committed = counted | "Commit" >> Commit(config.output, counting)
    listed = found[PARTS] | "Listed parts" >> beam.Keys()
    n_inputs = found[PARTS] | beam.Values() | "Inputs" >> beam.CombineGlobally(sum)
    build_tables(
        (committed.parts, listed), (committed[SUMS], n_inputs), config, counting.run_id, night,
        report, gate=gate,
    )  # fmt: skip


def build_rescoring(
    root: beam.Pipeline,
    config: Config,
    counting: Counting,
    night: beam.PTransform | None = None,
    report: RunReport | None = None,
) -> None:
    """The state of the ledger in, the same state counted in another way out."""
    counted = (
        root | "All" >> AllParts(config.output) | "Rescore" >> CountAgain(config.output, counting)
    )
    committed = counted.counted | "Commit" >> Commit(config.output, counting)
    nothing = root | "Nothing listed" >> beam.Create([], reshuffle=False)
    changed = counted[CHANGED] | "Changed" >> beam.CombineGlobally(sum)
    build_tables(
        (committed.parts, nothing), (committed[SUMS], changed), config, counting.run_id, night,
        report, recounts=True,
    )  # fmt: skip


def build_tables(
    touched: tuple[beam.PCollection[str], beam.PCollection[str]],
    totals: tuple[beam.PCollection[Any], beam.PCollection[int]],
    config: Config,
    run_id: str,
    night: beam.PTransform | None = None,
    report: RunReport | None = None,
    *,
    gate: bool = False,
    recounts: bool = False,
) -> None:
    """From the ledger, when the last part was added to, to the tables.

    Args:
        touched: parts that were added to, and that were listed.
        totals: sums of the parts of what was counted; number of inputs, or of changed counts.
        config: where to write what.
        run_id: the run.
        night: see ``build_pipeline``, as ``report`` and ``gate``.
        recounts: whether all that the output holds is counted again.
    """
    committed, _ = touched
    sums, n = totals
    updated = (
        touched
        | "Touched" >> beam.Flatten()
        | "Pieces" >> UpdateParts(config.output, run_id, config.formats)
    )
    total = sums | "Add up" >> beam.CombineGlobally(AddUp())
    (updated, total, n) | "Finish" >> Finish(
        config.output, run_id, config.formats, report, gate=gate, recounts=recounts
    )
    # In the job, since whoever handed it over to a service may not wait for its end.
    updated | "Tidy up" >> Tidy(config.output, run_id)
    if night:
        (committed, updated) | "Fill nights" >> night


def _begin(_: int, output: str) -> None:
    """From now on tables change: no earlier run's report stays beside them."""
    for name in ("run.json", "report.html"):
        files.delete_if_there(files.join(output, name))


def _after(element: Any, _: None) -> Any:
    return element
