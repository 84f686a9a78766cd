"""The job, from top to bottom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from model.windows import samples_from_seconds
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
from pipeline.ledger.transforms import (
    CHANGED,
    PARTS,
    PROBE,
    SUMS,
    Commit,
    CountAgain,
    FindWork,
    KeepScores,
    MatchShare,
    Tidy,
)
from pipeline.results.part_tables import PartTables
from pipeline.results.run_report import RunReport
from pipeline.results.transforms import Finish, UpdateParts, leave_record
from pipeline.storage import files
from pipeline.store import parts
from pipeline.store.sums import Sums

if TYPE_CHECKING:
    from pipeline.run import Run


def build_pipeline(
    root: beam.Pipeline,
    run: Run,
    handler: SegmentHandler,
    night: beam.PTransform | None = None,
    *,
    gate: bool = False,
) -> None:
    """Recordings in, tables out.

    Args:
        root: the pipeline to add to. The caller runs it.
        run: what to read, how to count and where to write.
        handler: the model.
        night: takes (parts with new entries, all updated) to a database as well.
        gate: whether the job fails when too many of its inputs failed.
    """
    config, counting, output = run.config, run.counting, run.config.output
    grid, segment = counting.grid, samples_from_seconds(config.segment_s)
    night_kept = config.night.isoformat() if night and config.night else ""

    listing = None
    if config.share:
        recordings, others, listing = root | "Match" >> MatchShare(config)
    else:
        recordings, others = root | "Match" >> MatchRecordings(
            *(config.inputs, config.manifests, config.deployments, config.time_zone),
            run.recordings.listings,
            keep_copies=config.keep_copies,
        )
    work = recordings | "Find work" >> FindWork(config, counting, night_kept)
    # The job changes nothing until it has checked all parts.
    ready = (
        work[PARTS]
        | "All checked" >> beam.combiners.Count.Globally()
        | "Begin" >> beam.Map(_begin, "" if config.share else output)
    )
    todo = {
        tag: work[tag] | f"Then {tag}" >> beam.Map(_after, AsSingleton(ready))
        for tag in ("facts", PROBE, PLANS)
    }
    probed = todo[PROBE] | "Probe" >> ProbeRecordings(grid, segment, counting.channel)
    plans = (probed[PLANS], todo[PLANS]) | "Segments" >> beam.Flatten()
    decoded = plans | "Decode" >> DecodeSegments(grid, segment, counting.channel)
    scores = (
        decoded.audio
        | "Score" >> ScoreSegments(handler)
        | "Keep scores" >> beam.ParDo(KeepScores(output, counting))
    )
    counted = (
        (
            *(todo["facts"], probed[HEADERS], probed[FAILURES]),
            *(decoded[HEADERS], decoded[FAILURES], scores),
        )
        | "All facts" >> beam.Flatten()
        | "Count" >> CountCalls(counting)
    )
    committed = counted | "Commit" >> Commit(output, counting)
    listed = work[PARTS] | "Listed parts" >> beam.Keys()
    n_inputs = work[PARTS] | beam.Values() | "Inputs" >> beam.CombineGlobally(sum)
    report = replace(run.report, reference=run.reference())
    touched, totals = (committed.parts, listed), (committed[SUMS], n_inputs)
    build_tables(touched, totals, report, night, others, listing, gate=gate)


def build_rescoring(root: beam.Pipeline, run: Run, night: beam.PTransform | None = None) -> None:
    """The state of the ledger in, the same state counted in another way out."""
    output, counting = run.config.output, run.counting
    again = beam.ParDo(CountAgain(output, counting)).with_outputs(CHANGED, main="counted")
    counted = (
        root
        | "Once" >> beam.Create([output])
        | "List parts" >> beam.FlatMap(parts.all_parts)
        | "Each once" >> beam.Distinct()
        | "Count again" >> again
    )
    committed = counted.counted | "Commit" >> Commit(output, counting)
    nothing = root | "Nothing listed" >> beam.Create([], reshuffle=False)
    changed = counted[CHANGED] | "Changed" >> beam.CombineGlobally(sum)
    build_tables(
        (committed.parts, nothing), (committed[SUMS], changed), run.report, night, recounts=True
    )


def build_tables(
    touched: tuple[beam.PCollection[str], beam.PCollection[str]],
    totals: tuple[beam.PCollection[Any], beam.PCollection[int]],
    report: RunReport,
    night: beam.PTransform | None = None,
    others: beam.PCollection[tuple[str, int]] | None = None,
    listing: beam.PCollection[tuple[str, int]] | None = None,
    *,
    gate: bool = False,
    recounts: bool = False,
) -> None:
    """From the ledger, when the last part was added to, to the tables, or to the record of a share.

    Args:
        touched: parts with new entries, and parts of the listed recordings.
        totals: sums of the newly counted, by part; number of inputs, or of changed counts.
        report: what run.json begins with.
        night: see ``build_pipeline``, as ``gate``.
        others: how many files were passed over, by kind.
        listing: what a share was cut from; then no table is joined.
        recounts: whether all that the output holds is counted again.
    """
    output, formats, run_id = report.config.output, report.config.formats, report.counting.run_id
    committed, _ = touched
    sums, n = totals
    tables = PartTables(output, formats)
    update = UpdateParts(tables, run_id, and_what_is_left=listing is None)
    updated = touched | "Touched" >> beam.Flatten() | "Tables of parts" >> update
    total = sums | "Add up" >> beam.CombineGlobally(Sums.total)
    if listing is None:
        (updated, total, n) | "Finish" >> Finish(report, others, gate=gate, recounts=recounts)
    else:
        leave_record((updated, total, n), report, others, listing)
    # In the job, since whoever handed it over to a service may not wait for its end.
    updated | "Tidy up" >> Tidy(output, run_id)
    if night:
        (committed, updated) | "Fill nights" >> night


def _begin(_: int, output: str) -> None:
    """From now on tables change: no earlier run's report stays beside them.

    Those of a share change when it is joined.
    """
    for name in ("run.json", "report.html") if output else ():
        files.delete_if_there(files.join(output, name))


def _after(element: Any, _: None) -> Any:
    return element
