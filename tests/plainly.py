"""A run in a plain loop over the job's own functions: what takes a job seconds takes no time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from apache_beam.pvalue import TaggedOutput

from model.windows import samples_from_seconds
from pipeline.commands import rescore
from pipeline.inference import transforms as inference
from pipeline.inference.count import Counted, count_recording
from pipeline.inference.score import score_segment
from pipeline.inputs.manifests import list_recordings
from pipeline.job import _begin
from pipeline.ledger import transforms as ledger
from pipeline.ledger.runs import Note
from pipeline.options import Config
from pipeline.records import Fact, Listed
from pipeline.rerun import done_already
from pipeline.results.finish import end_run
from pipeline.results.part_tables import PartTables
from pipeline.run import Run, run_of
from pipeline.store import parts
from pipeline.store.entries import identity_of
from pipeline.store.sums import Sums
from tests import fakes


def count(config: Config, night: str = "") -> bool:
    """Counts what was asked, with the stand-in network. Returns whether there was anything to do.

    Args:
        config: what was asked.
        night: to keep the recordings as a night's.
    """
    run = run_of(config)
    if not night and done_already(run) == 0:
        return False
    run.output.make_ready()
    if moves := run.output.ledger().new_moves(config.moved, run.run_id):
        run.output.ledger().add_moves(moves)
    run.notes.start()
    facts, work, listed = _find(run, night)
    decode = inference._Decode(
        run.counting.grid, samples_from_seconds(config.segment_s), run.counting.channel
    )
    scorer = fakes.PeakScorer()
    for of_one in work.values():
        found: Any
        for found in decode.process(of_one):
            name, value = found.value if isinstance(found, TaggedOutput) else found
            if not isinstance(found, TaggedOutput):
                value = score_segment(value, scorer, run.counting.grid, run.contract.padding)
            facts[name].append(value)
    counted = [count_recording(name, known, run.counting) for name, known in facts.items()]
    n_inputs = sum(len(some) for some in listed.values())
    _finish(run, counted, listed, n_inputs)
    return True


def count_again(config: Config, threshold: float) -> None:
    """What ``rescore`` does."""
    asked = replace(config, inputs=(), threshold=threshold, states_counting=True)
    run = rescore.recount_of(asked, rescore.what_is_held(config.output))
    run.notes.start()
    again = ledger.CountAgain(config.output, run.counting)
    again.start_bundle()
    found = [one for part in set(parts.all_parts(config.output)) for one in again.process(part)]
    counted = [one for one in found if isinstance(one, Counted)]
    _finish(run, counted, [], len(found) - len(counted), recounts=True)
    run.notes.keep_choice(asked, run.contract.model_version)


def _find(
    run: Run, night: str
) -> tuple[dict[str, list[Fact]], dict[str, list[Any]], dict[str, list[Listed]]]:
    """Facts and work by recording, and what was listed by part."""
    listed: dict[str, list[Listed]] = defaultdict(list)
    for known in list_recordings(run.config):
        listed[parts.part_of(identity_of(known))].append(known)
    find = ledger._FindWork(run.config, run.counting, night)
    find.start_bundle()
    facts: dict[str, list[Fact]] = defaultdict(list)
    work: dict[str, list[Any]] = defaultdict(list)
    found: Any
    for part, some in listed.items():
        for found in find.process((part, {"listed": some, "unfinished": []})):
            if not isinstance(found, TaggedOutput):
                name, fact = found
                facts[name].append(fact)
            elif found.tag != ledger.PARTS:
                one = found.value
                known = one if isinstance(one, Listed) else one.origin.listed
                work[known.recording].append(one)
    return facts, work, listed


def _finish(
    run: Run,
    counted: Sequence[Counted],
    listed: Iterable[str],
    n: int,
    *,
    recounts: bool = False,
) -> None:
    """Writes down what was counted, and what an output shows of it."""
    output = run.config.output
    _begin(0, output)
    commit = ledger._Commit(output, run.counting)
    of_part: dict[str, list[Counted]] = defaultdict(list)
    for one in counted:
        of_part[parts.part_of(identity_of(one.listed))].append(one)
    sums = Sums()
    for part, some in of_part.items():
        for found in commit.process((part, some)):
            sums += found.value if isinstance(found, TaggedOutput) else Sums()
    of_parts = PartTables(output, run.config.formats)
    for part in {*listed, *of_part, *of_parts.left_undone(run.run_id)}:
        of_parts.update(part)
    end_run(run.report, sums, n, {}, recounts=recounts)
    run.notes.take(Note.REPORT)
