"""Count again from the window scores that earlier runs kept. Every table that lies in the output is
written again.

Neither the recordings nor TensorFlow are needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from model.audio.channels import BEST, MIX, MOST_CHANNELS
from model.windows import WINDOW_S, samples_from_seconds
from pipeline.commands import OUTPUT
from pipeline.options import Config, Flag, UsageError, count_command, parse, say, values
from pipeline.storage import files

if TYPE_CHECKING:
    from model.contract import ServingContract
    from pipeline.inference.count import Counting
    from pipeline.run import Run
    from pipeline.store.sums import Sums, Way


COMMAND = count_command(
    "rescore",
    __doc__,
    "rescore results --threshold +1",
    "rescore results",
    only=("output", "model", "threshold", "counting", "hop_s", "bigquery"),
    changed={
        "output": OUTPUT,
        "model": Flag("the model that made the scores (default: the released model)", "DIR"),
        "hop_s": Flag(
            "of the windows that were scored (default: that of most recordings)",
            "SECONDS",
            values.above(0, WINDOW_S),
        ),
    },
)


def main(argv: Sequence[str]) -> int:
    """Counts again. Returns an exit code, see ``options.EXIT_CODES``."""
    asked = parse(argv, command=COMMAND, needs_recordings=False)
    from pipeline import preflight
    from pipeline.beam_options import beam_options
    from pipeline.job import build_rescoring
    from pipeline.ledger.runs import Note
    from pipeline.results.finish import lacks_shares
    from pipeline.runtime import new_pipeline, run_to_end

    beam_arguments = beam_options(asked.beam_args)
    preflight.check_reach(asked, beam_arguments)
    before = what_is_held(asked.output)
    run = recount_of(asked, before)
    night = preflight.night_tables(run, beam_arguments)
    had_page = files.exists(run.output.page)
    run.notes.start()
    run.output.delete_run_file()
    pipeline = new_pipeline(beam_arguments)
    build_rescoring(pipeline, run, night)
    run_to_end(pipeline)
    if asked.threshold_shift is not None:
        asked = replace(asked, threshold=run.counting.rule.threshold, threshold_shift=None)
    # Only now: what failed must not be taken up by the next run.
    run.notes.keep_choice(asked, run.contract.model_version)
    if had_page:
        run.output.make_page()  # or it would show the counts of before
    written = run.notes.take(Note.REPORT)
    after = what_is_held(asked.output)
    say(
        what_changed(before, after, written["changed"], run),
        output=asked.output,
        threshold=run.counting.rule.threshold,
        calls=after.calls,
        calls_before=before.calls,
        recordings=after.recordings,
        changed=written["changed"],
    )
    return int(lacks_shares(written))


def recount_of(asked: Config, held: Sums) -> Run:
    """The run that counts again what an output holds.

    Raises:
        UsageError: there is nothing to count from.
    """
    from pipeline.inference.count import Counting
    from pipeline.inference.model_folder import check_model, current_version
    from pipeline.output import Output
    from pipeline.results.render import formats_in
    from pipeline.run import Run
    from pipeline.store import parts
    from pipeline.store.sums import Way

    output, model = asked.output, current_version(asked.model)
    Output(output).ledger()
    contract = check_model(model)
    if next(parts.all_parts(output), None) is None:
        raise UsageError(f"--output {output}: no ledger of earlier runs lies there")
    ways = [(Way.from_text(text), n) for text, n in held.ways.items()]
    hop_s = asked.hop_s or scored_hop_s(ways, contract)
    asked = replace(asked, model=model, hop_s=hop_s, formats=formats_in(output))
    channel = scored_channel(ways, Counting.of(asked, contract, ""))
    run = Run.of(replace(asked, channel=channel), contract)
    if not any(way.scoring == run.counting.scoring for way, _ in ways):
        hops = sorted({f"{way.hop_s:g} s" for way, _ in ways if not way.failed})
        raise UsageError(
            f"--output {output}: no scores of {contract.model_version} at a hop of {hop_s:g} s "
            f"there, only at {', '.join(hops) or 'none'}; count with that hop first, or leave out "
            "--hop_s"
        )
    return run


def what_is_held(output: str) -> Sums:
    """The sums of an output, by the summaries of its parts; without these, by its entries."""
    from pipeline.results.join import read_holdings
    from pipeline.store.ledger import Ledger
    from pipeline.store.sums import Sums

    held = read_holdings(output).sums
    return held if held.recordings else Sums.of(Ledger(output).entries())


def what_changed(before: Sums, after: Sums, n_changed: int, run: Run) -> str:
    """The tables' sums after rescoring, beside those before."""
    from pipeline.results.run_report import threshold_in_words
    from pipeline.store.sums import Way

    counting = run.counting
    as_asked = (counting.method, counting.rule.threshold, counting.hop_samples)
    others = 0
    for text, n in after.ways.items():
        way = Way.from_text(text)
        if (way.counting, way.threshold, samples_from_seconds(way.hop_s)) != as_asked:
            others += n
    lines = [
        f"threshold {threshold_in_words(counting.rule, run.contract.rule)}, hop "
        f"{counting.hop_samples / samples_from_seconds(1):g} s: "
        f"{after.calls:,} calls, before {before.calls:,}; "
        f"the count of {n_changed:,} of {after.recordings:,} recordings changed"
    ]
    if others:
        lines.append(f"{others:,} stay as they were: failed, or without scores of this model")
    return "\n".join(lines)


def scored_channel(ways: Iterable[tuple[Way, int]], counting: Counting) -> str:
    """The choice of channels with which most recordings were scored otherwise as here."""
    choices = (MIX, BEST, *map(str, range(1, MOST_CHANNELS + 1)))
    channel_of = {replace(counting, channel=channel).scoring: channel for channel in choices}
    scored: Counter[str] = Counter()
    for way, n in ways:
        if not way.failed and way.scoring in channel_of:
            scored[channel_of[way.scoring]] += n
    return scored.most_common(1)[0][0] if scored else MIX


def scored_hop_s(ways: Iterable[tuple[Way, int]], contract: ServingContract) -> float:
    """The distance of windows, in seconds, at which most recordings were scored by this model."""
    hops: Counter[float] = Counter()
    for way, n in ways:
        if not way.failed and way.model_version == contract.model_version:
            hops[way.hop_s] += n
    return hops.most_common(1)[0][0] if hops else contract.hop_s
