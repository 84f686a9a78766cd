"""``python -m pipeline.commands.rescore``: count again from the scores that were kept.

For another threshold or counting rule: neither the recordings nor TensorFlow are needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam

from model.windows import samples_from_seconds
from pipeline import launch, options
from pipeline.beam_options import beam_options
from pipeline.inference.count import Counted, Counting, finish_recording
from pipeline.job import build_tables
from pipeline.ledger import entries as ledger
from pipeline.ledger import kept_scores as scores
from pipeline.ledger.entries import Entry
from pipeline.ledger.transforms import Commit, ReadState
from pipeline.options import Config, UsageError
from pipeline.records import Listed
from pipeline.storage import files


def build_rescoring(root: beam.Pipeline, config: Config, counting: Counting) -> None:
    """State in, the same state under another way of counting out.

    Recordings that failed, and those that another model or hop scored, stay as they are.
    """
    once = root | "Once" >> beam.Create([""])
    state = (
        once
        | "Look up" >> ReadState(config.output)
        | "Can be counted again" >> beam.Filter(lambda known: _is_other(known[1], counting))
    )
    names = state | "Names" >> beam.Keys() | "All names" >> beam.combiners.ToSet()
    kept = (
        names
        | "List scores" >> beam.FlatMap(lambda _: scores.kept_files(config.output))
        | "Share out scores" >> beam.Reshuffle()
        | "Read scores"
        >> beam.FlatMap(scores.read_of, beam.pvalue.AsSingleton(names), scoring=counting.scoring)
    )
    committed = (
        {"entries": state, "kept": kept}
        | "Join scores" >> beam.CoGroupByKey()
        | "Count again" >> beam.FlatMapTuple(_count_again, counting=counting)
        | "Commit" >> Commit(config.output, counting)
    )
    build_tables(committed, config)


def _is_other(entry: Entry, counting: Counting) -> bool:
    """Whether a recording has scores of this model, counted in another way."""
    return (
        not entry.failed
        and entry.scoring == counting.scoring
        and entry.settings != ledger.settings_of(counting, entry.place)
    )


def _count_again(
    identity: str, found: dict[str, Any], counting: Counting | None = None
) -> Iterator[Counted]:
    assert counting
    for entry in found["entries"]:
        name = entry.row.recording
        listed = Listed(name, entry.size, entry.stamp, entry.checksum, entry.place)
        # A segment length longer than any recording: any complete set of segments will do.
        known, missing = ledger.take_up(listed, found["kept"], counting.hop_samples, sys.maxsize)
        if known and not missing:
            yield finish_recording(name, [listed, *known], counting)


def parse(argv: Sequence[str]) -> Config:
    """The command line as a config: a few of the job's flags, checked as the job checks them."""
    command = argparse.ArgumentParser(
        prog="python -m pipeline.commands.rescore",
        description="Count again from the window scores that earlier runs kept in --output.",
        allow_abbrev=False,
    )
    command.add_argument("--output", required=True, metavar="DIR", help="output of earlier runs")
    command.add_argument("--model", metavar="DIR", help="the model that made the scores")
    command.add_argument("--threshold", metavar="SCORE", help="score that makes a call, 0 to 1")
    command.add_argument("--counting", metavar="RULE", help="calls or windows")
    command.add_argument("--hop_s", metavar="SECONDS", help="of the windows that were scored")
    known, beam_args = command.parse_known_args(argv)
    given = [f"--{name}={value}" for name, value in vars(known).items() if value is not None]
    return options.parse(["--input=none", *given, *beam_args])


def main(argv: list[str] | None = None) -> int:
    """Counts again. Returns an exit code, see ``options.EXIT_CODES``."""
    config = parse(sys.argv[1:] if argv is None else argv)
    try:
        contract = launch.read_contract(config.model)
        run_id = launch.new_run_id(datetime.now(UTC))
        counting = Counting.of(config, contract, run_id)
        beam_arguments = beam_options(config.beam_args)
        before = ledger.shards(config.output)
        if not before:
            raise UsageError(f"--output {config.output}: no ledger of earlier runs lies there")
    except UsageError as error:
        print(f"pipeline.commands.rescore: {error}", file=sys.stderr)
        return 2
    pipeline = launch.new_pipeline(beam_arguments)
    build_rescoring(pipeline, config, counting)
    launch.finish(pipeline)
    launch.settle(config, beam_arguments, run_id, before)
    if files.exists(files.join(config.output, "report.html")):
        launch.make_report(config.output)  # or it would show the counts of before
    rows = [entry.row for entry in ledger.read_state(config.output).values()]
    changed = sum(row.run_id == run_id for row in rows)
    print(
        f"{changed} of {len(rows)} recordings counted again at threshold "
        f"{counting.rule.threshold:g}, hop {counting.hop_samples / samples_from_seconds(1):g} s; "
        "the others failed, were counted so already or lack scores of this model and hop"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
