"""The command line, checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from model.windows import WINDOW_S
from pipeline import __version__

RELEASED_MODEL = str(Path(__file__).resolve().parent.parent / "model" / "released")

FORMATS = (
    "raven",
    "audacity",
    "kaleidoscope",
    "birdnet",
    "aoef",
    "label_studio",
    "excel",
    "parquet",
    "tutorial",
)

COMMANDS = {
    "count": "count the calls in recordings (the default when flags come first)",
    "demo": "make recordings with calls at known times, count them, compare",
    "plan": "say what counting would take and cost; start nothing",
    "rescore": "count again from kept scores, with another threshold or rule",
    "report": "make report.html from the tables of earlier runs",
    "show": "draw one recording as the model hears it",
    "review": "draw clips of a run, and make a page to label them by ear",
    "verify": "estimate from labels how many calls there are, with intervals",
    "recorders": "list a run's recorders: battery, temperature, and doubtful clocks",
    "clips": "cut calls out of recordings, each as an audio file of its own",
    "labels": "turn annotations of other programs into labels of a run's calls",
    "histories": "make detection histories for occupancy and abundance models",
    "publish-data": "make a Camtrap DP package and a Darwin Core archive of a run",
    "train": "train a model on annotated recordings or clips",
    "evaluate": "measure a model on annotated recordings",
    "examples": "write training examples as TFRecord files",
    "publish": "copy a model into a bucket and point jobs to it",
    "tables": "make or update the tables and views in BigQuery",
    "canaries": "count recordings with known counts; exit with 4 if one differs",
    "drift": "keep the scores of an output as the reference for drift warnings",
    "columns": "print docs/outputs.md, the meaning of every column",
}

EXIT_CODES = """\
exit codes:
  0  done; each input has a row, failed ones too
  1  the job itself failed; run it again
  2  bad arguments, no input, unreadable model or unwritable output; nothing was started
  3  done, but more than --max_failed_fraction of the inputs failed
"""


class UsageError(Exception):
    """Something the caller must change before the job can start: one line, exit code 2."""


@dataclass(frozen=True)
class Config:
    """What the caller asked for. ``None`` leaves the choice to the model's contract.

    Attributes:
        threshold_shift: what the model's own threshold is raised by, in log odds.
    """

    inputs: tuple[str, ...]
    manifests: tuple[str, ...]
    model: str
    output: str
    hop_s: float | None
    segment_s: float
    threshold: float | None
    threshold_shift: float | None
    counting: str
    formats: tuple[str, ...]
    deployments: str | None
    time_zone: str
    retry_failed: bool
    moved: tuple[tuple[str, str], ...]
    report: bool
    allow_empty: bool
    no_wait: bool
    plan: bool
    max_cost: float | None
    bigquery: str | None
    night: date | None
    max_failed_fraction: float
    beam_args: tuple[str, ...]
    states_counting: bool = True
    """Whether any of threshold, counting and hop_s was stated."""


class Help(argparse.HelpFormatter):
    """Keeps line breaks of texts around the flags; a flag's default is said where there is one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent)
            if len(line) > width and not line.startswith(" ")
            else indent + line
            for line in text.splitlines()
        )

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        default = action.default
        nothing: tuple[Any, ...] = (None, "", [], argparse.SUPPRESS)
        has_default = not isinstance(default, bool) and default not in nothing
        return said + (" (default: %(default)s)" if has_default and "default" not in said else "")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage before it."""

    def __init__(
        self, *, prog: str, description: str, example: str, epilog: str = "", **more: Any
    ) -> None:
        others = ", ".join(name for name in COMMANDS if not prog.endswith(name))
        siblings = f"other commands, each with --help: {others}"
        epilog = "\n".join(filter(None, (epilog, siblings)))
        super().__init__(
            prog=prog,
            description=f"{description}\n\nFor example:\n  capuchinbird {example}",
            epilog=epilog,
            formatter_class=Help,
            **more,
        )
        self.add_argument("--version", action="version", version=f"capuchinbird {__version__}")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        hint = f"; write {text.replace(',', '.')}" if text.count(",") == 1 else ""
        raise argparse.ArgumentTypeError(f"{text} is no number{hint}") from None


def _number(low: float, high: float) -> Callable[[str], float]:
    """A number type for argparse: above ``low``, at most ``high``."""

    def parse(text: str) -> float:
        value = _float(text)
        if not low < value <= high:
            raise argparse.ArgumentTypeError(
                f"{text} must lie above {low:g}"
                + ("" if high == float("inf") else f", up to {high:g}")
            )
        return value

    return parse


def _score(text: str) -> float:
    value = _float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and 1, and be neither")
    return value


def _threshold(text: str) -> tuple[float | None, float | None]:
    """A score, or with a sign what the model's own is raised by."""
    if text[:1] in ("+", "-"):
        return None, _number(-16, 16)(text)
    return _score(text), None


def threshold_help() -> str:
    """What ``--threshold`` takes, beside the threshold of the model that ships."""
    own = json.loads(Path(RELEASED_MODEL, "contract.json").read_bytes())["rule"]["threshold"]
    return (
        "score that makes a call, between 0 and 1; or with a sign how much stricter (+1) or laxer "
        f"(-1) than the model's own, in log odds (default: the model's own; the released "
        f"model's is {own:g})"
    )


def _fraction(text: str) -> float:
    value = _float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0 and 1")
    return value


def _move(text: str) -> tuple[str, str]:
    places = text.split("=")
    if len(places) != 2 or not all(places):
        raise argparse.ArgumentTypeError(f"{text}: write it as FROM=TO, two folders")
    old, new = (p.rstrip("/") if "://" in p else os.path.abspath(p) for p in places)
    return old, new


def _dataset(text: str) -> str:
    if text.count(".") != 1:
        raise argparse.ArgumentTypeError(f"{text}: write it as PROJECT.DATASET")
    return text


def parser() -> Parser:
    """The flags of ``capuchinbird count``."""
    result = Parser(
        prog="capuchinbird count",
        usage="capuchinbird count --input PATTERN ... --output DIR [FLAGS]",
        description="Count Capuchinbird calls in recordings: one row for every input.",
        example="count --input recordings/ --output results --deployments sites.csv",
        epilog=EXIT_CODES + "\nAny other option goes to Apache Beam, for example "
        "--direct_num_workers=4 or --runner=DataflowRunner.\n",
        allow_abbrev=False,
    )
    first = result.add_argument_group("what most people need")
    first.add_argument(
        "--input",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATTERN",
        help="recordings: files, folders (searched through all levels) or patterns such as "
        "'night/*.wav' and 'archive/**/*.flac'",
    )
    first.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="folder for counts.csv, calls.csv, activity.csv, failures.csv, run.json and "
        "report.html, window scores and the ledger: a further run into it does only what is new or "
        "has changed",
    )
    first.add_argument(
        "--deployments",
        metavar="FILE",
        help="a CSV with the column folder and any of site, latitude, longitude, recorded_at and "
        "time_zone, for all recordings below each folder; a manifest may have the same columns",
    )
    what = result.add_argument_group("what to count")
    what.add_argument(
        "--manifest",
        action="append",
        default=[],
        metavar="FILE",
        help="a list of recordings: a text file with a file, folder or pattern a line (# begins a "
        "comment), or a CSV with a column named 'recording' or 'uri'; relative names start at the "
        "manifest's folder",
    )
    what.add_argument(
        "--time_zone",
        default="",
        metavar="ZONE",
        help="zone of recorders' clocks where neither file nor table states it, for example "
        "America/Cayenne or -03:00 (default: their times stay local, without a zone)",
    )
    what.add_argument(
        "--allow_empty",
        action="store_true",
        help="finding no recording is no error: a night in which none was made",
    )
    what.add_argument(
        "--model",
        default=RELEASED_MODEL,
        metavar="DIR",
        help="folder with model.keras and contract.json, or the folder of versions that "
        "capuchinbird publish fills (default: the released model)",
    )
    how = result.add_argument_group("how to count")
    how.add_argument(
        "--counting",
        choices=("calls", "windows"),
        help="calls: each bird's call once. windows: add up the windows above the threshold, as "
        "the tutorial does, side by side unless --hop_s says otherwise (default: calls)",
    )
    how.add_argument(
        "--hop_s",
        type=_number(0, WINDOW_S),
        metavar="SECONDS",
        help="distance between the starts of neighbouring 3 s windows (default: the model's)",
    )
    how.add_argument(
        "--threshold",
        type=_threshold,
        default=(None, None),
        metavar="SCORE",
        help=threshold_help(),
    )
    how.add_argument(
        "--segment_s",
        type=_number(0, 3600),
        default=300.0,
        metavar="SECONDS",
        help="length of the pieces that long recordings are cut into, so that many cores share "
        "one file; does not change any result (default: 300)",
    )
    how.add_argument(
        "--retry_failed",
        action="store_true",
        help="try again what failed before though its file has not changed (default: only what "
        "failed for a reason that may pass, such as a broken connection)",
    )
    how.add_argument(
        "--moved",
        type=_move,
        action="append",
        default=[],
        metavar="FROM=TO",
        help="recordings that --output knows below the folder FROM now lie below TO: they keep "
        "their counts; say it once",
    )
    how.add_argument(
        "--plan",
        action="store_true",
        help="print how many files and hours of audio there are, what is done already, and time "
        "here or time and price on Dataflow; start nothing",
    )
    how.add_argument(
        "--max_cost",
        type=_number(0, float("inf")),
        metavar="USD",
        help="start only if the estimated price on Dataflow is no higher",
    )
    how.add_argument(
        "--no_wait",
        action="store_true",
        help="return as soon as a service has taken the job, which writes run.json at its end; "
        "report.html is not made",
    )
    out = result.add_argument_group("what comes out")
    out.add_argument(
        "--format",
        action="append",
        default=[],
        choices=FORMATS,
        help="further tables, for other programs; may be given several times. raven, audacity, "
        "kaleidoscope, birdnet, aoef (soundevent, whombat), label_studio: a file for each "
        "recording in a folder of that name, and (not for audacity and aoef) one for the run. "
        "excel: the CSV tables once more, in a folder excel, with a mark by which spreadsheets "
        "know UTF-8. parquet: counts and calls with typed columns. "
        "tutorial: tutorial.csv with recording,capuchin_calls",
    )
    out.add_argument(
        "--no_report",
        action="store_true",
        help="leave out report.html, the page to look at and listen to; it can also be made later: "
        "capuchinbird report DIR",
    )
    out.add_argument(
        "--bigquery",
        type=_dataset,
        metavar="PROJECT.DATASET",
        help="write the tables counts, calls and runs there as well; "
        "capuchinbird tables makes them",
    )
    out.add_argument(
        "--night",
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="evening on which the night of these recordings began: its partition in BigQuery is "
        "rewritten as a whole",
    )
    out.add_argument(
        "--max_failed_fraction",
        type=_fraction,
        default=0.5,
        metavar="SHARE",
        help="exit with 3 when a larger share of the inputs failed (default: 0.5)",
    )
    return result


SWITCHES = ("--allow_empty", "--retry_failed", "--no_report", "--no_wait", "--plan")


def _without_values(argv: Sequence[str]) -> list[str]:
    """Switches as templates write them, ``--allow_empty=true``, as the command line has them."""
    spelled = {f"{switch}={value}": switch for switch in SWITCHES for value in ("true", "True")}
    off = {f"{switch}={value}" for switch in SWITCHES for value in ("false", "False")}
    return [spelled.get(argument, argument) for argument in argv if argument not in off]


def _hint_at_misspelt(command: Parser, argv: Sequence[str]) -> None:
    """Says what a flag should have been, before its absence is complained about."""
    given = {argument.partition("=")[0] for argument in argv if argument.startswith("--")}
    for wanted in {"--input", "--output"} - given:
        unknown = [flag for flag in given if flag not in command._option_string_actions]
        if close := difflib.get_close_matches(wanted, unknown, n=1, cutoff=0.8):
            command.error(f"no flag {close[0]}; did you mean {wanted}?")


def parse(argv: Sequence[str], *, needs_recordings: bool = True) -> Config:
    """The command line as a config. Exits with 2 and one clear line when it is wrong.

    Args:
        argv: the flags; those that are not known here are Beam's.
        needs_recordings: whether recordings must be named.
    """
    command = parser()
    _hint_at_misspelt(command, argv)
    known, beam_args = command.parse_known_args(_without_values(argv))
    if needs_recordings and not known.input and not known.manifest:
        bare = next((word for word in beam_args if "://" in word or os.path.exists(word)), None)
        if bare:
            command.error(f"write --input before {bare}")
        command.error("name the recordings with --input or --manifest")
    if needs_recordings and bool(known.bigquery) != bool(known.night):
        command.error("--bigquery and --night go together: a night is a partition of the tables")
    return Config(
        inputs=tuple(known.input),
        manifests=tuple(known.manifest),
        model=known.model,
        output=known.output,
        hop_s=known.hop_s,
        segment_s=known.segment_s,
        threshold=known.threshold[0],
        threshold_shift=known.threshold[1],
        counting=known.counting or "calls",
        formats=tuple(known.format),
        deployments=known.deployments,
        time_zone=known.time_zone,
        retry_failed=known.retry_failed,
        moved=tuple(known.moved),
        report=not known.no_report,
        allow_empty=known.allow_empty,
        no_wait=known.no_wait,
        plan=known.plan,
        max_cost=known.max_cost,
        bigquery=known.bigquery,
        night=known.night,
        max_failed_fraction=known.max_failed_fraction,
        beam_args=tuple(beam_args),
        states_counting=known.threshold != (None, None) or any((known.counting, known.hop_s)),
    )
