"""Count again from the scores that were kept, with another threshold or rule.

Neither the recordings nor TensorFlow are needed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from model.windows import samples_from_seconds
from pipeline import options
from pipeline.options import Config, Parser, UsageError
from pipeline.storage import files

if TYPE_CHECKING:
    from model.contract import ServingContract
    from pipeline.inference.count import Counting
    from pipeline.ledger.entries import Entry
    from pipeline.records import RecordingCount


def parser() -> Parser:
    """The flags; the job checks their values."""
    result = Parser(
        prog="capuchinbird rescore",
        description="Count again from the window scores that earlier runs kept in --output. "
        "Every table that lies there is written again.",
        allow_abbrev=False,
    )
    result.add_argument("--output", required=True, metavar="DIR", help="output of earlier runs")
    result.add_argument("--model", metavar="DIR", help="the model that made the scores")
    result.add_argument("--threshold", metavar="SCORE", help="score that makes a call, 0 to 1")
    result.add_argument("--counting", metavar="RULE", help="calls or windows")
    result.add_argument(
        "--hop_s",
        metavar="SECONDS",
        help="of the windows that were scored (default: that of most recordings)",
    )
    return result


def configure(argv: Sequence[str]) -> Config:
    """The command line as a config: a few of the job's flags, checked as the job checks them."""
    known, beam_args = parser().parse_known_args(argv)
    given = [f"--{name}={value}" for name, value in vars(known).items() if value is not None]
    return options.parse([*given, *beam_args], needs_recordings=False)


def main(argv: Sequence[str]) -> int:
    """Counts again. Returns an exit code, see ``options.EXIT_CODES``."""
    config = configure(argv)
    from pipeline import launch
    from pipeline.beam_options import beam_options
    from pipeline.inference.count import Counting
    from pipeline.job import build_rescoring
    from pipeline.ledger import entries
    from pipeline.model_folder import check_model, current_version
    from pipeline.preflight import check_reach
    from pipeline.tables.read import read_counts
    from pipeline.tables.run_report import Totals, new_run_id, write_run_report

    started, clock = datetime.now(UTC), time.monotonic()
    beam_arguments = beam_options(config.beam_args)
    check_reach(config, beam_arguments)
    model = current_version(config.model)
    contract = check_model(model)
    committed_before = entries.shards(config.output)
    if not committed_before:
        raise UsageError(f"--output {config.output}: no ledger of earlier runs lies there")
    state = entries.read_state(config.output)
    config = replace(
        config,
        model=model,
        hop_s=config.hop_s or scored_hop_s(list(state.values()), contract),
        formats=formats_in(config.output),
    )
    run_id = new_run_id(started)
    counting = Counting.of(config, contract, run_id)
    if not any(entry.scoring == counting.scoring for entry in state.values()):
        hops = sorted({f"{entry.row.hop_s:g} s" for entry in state.values() if not entry.failed})
        raise UsageError(
            f"--output {config.output}: no scores of {contract.model_version} at a hop of "
            f"{config.hop_s:g} s there, only at {', '.join(hops) or 'none'}; count with that hop "
            "first, or leave out --hop_s"
        )
    pipeline = launch.new_pipeline(beam_arguments)
    build_rescoring(pipeline, config, counting)
    launch.run_to_end(pipeline)
    launch.write_tables_again(config, beam_arguments, run_id, committed_before)
    rows = read_counts(config.output)
    totals = Totals.of_run(rows, run_id, len(state))
    holds = Totals.of(rows, len(rows))
    had_report = files.exists(files.join(config.output, "report.html"))
    wall_s = time.monotonic() - clock
    write_run_report(config, counting, contract, started, totals, holds, [], wall_s)
    if had_report:
        launch.make_report(config.output)  # or it would show the counts of before
    print(what_changed(state, rows, counting))
    return 0


def what_changed(
    before: Mapping[str, Entry], after: Sequence[RecordingCount], counting: Counting
) -> str:
    """What the tables say now, beside what they said."""
    was = {entry.row.recording: entry.row for entry in before.values()}
    counts = [(was[row.recording].call_count, row.call_count) for row in after]
    n_changed = sum(1 for old, new in counts if old != new)
    as_asked = (counting.method, counting.rule.threshold, counting.hop_samples)
    others = sum(
        1
        for row in after
        if (row.counting, row.threshold, samples_from_seconds(row.hop_s)) != as_asked
    )
    lines = [
        f"threshold {counting.rule.threshold:g}, hop "
        f"{counting.hop_samples / samples_from_seconds(1):g} s: "
        f"{sum(new or 0 for _, new in counts):,} calls, before {sum(o or 0 for o, _ in counts):,}; "
        f"the count of {n_changed:,} of {len(after):,} recordings changed"
    ]
    if others:
        lines.append(f"{others:,} stay as they were: failed, or without scores of this model")
    return "\n".join(lines)


def scored_hop_s(entries: Sequence[Entry], contract: ServingContract) -> float:
    """The distance of windows, in seconds, at which most recordings were scored by this model."""
    hops = Counter(
        entry.row.hop_s
        for entry in entries
        if not entry.failed and entry.row.model_version == contract.model_version
    )
    return hops.most_common(1)[0][0] if hops else contract.hop_s


def formats_in(output: str) -> tuple[str, ...]:
    """The further formats that an output holds tables of."""
    from pipeline.tables.tool_formats import TOOL_FORMATS

    marks = {
        "tutorial": "tutorial.csv",
        "parquet": "counts.parquet",
        "excel": "excel/counts.csv",
        **{tool.name: tool.run_file for tool in TOOL_FORMATS.values() if tool.run_file},
    }
    return tuple(
        name
        for name in options.FORMATS
        if (name in marks and files.exists(files.join(output, marks[name])))
        or (name in TOOL_FORMATS and files.holds_files(files.join(output, name)))
    )
