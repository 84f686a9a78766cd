"""What may be asked of a count, and of whatever counts as it does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from model.windows import WINDOW_S
from pipeline.options import values
from pipeline.options.command import EXIT_CODES, Command, Flag, flag
from pipeline.options.paths import as_text, is_text

RELEASED_MODEL = str(Path(__file__).resolve().parents[2] / "model" / "released")

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

_FIRST, _WHAT = "what most people need", "what to count"
_HOW, _OUT = "how to count", "what comes out"


def threshold_help() -> str:
    """What ``--threshold`` takes, beside the threshold of the model that ships."""
    own = json.loads(Path(RELEASED_MODEL, "contract.json").read_bytes())["rule"]["threshold"]
    return (
        "score that makes a call, between 0 and 1; or with a sign how much stricter (+1) or laxer "
        f"(-1) than the model's own, in log odds (default: the model's own; the released "
        f"model's is {own:g})"
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the caller asked for. ``None`` leaves the choice to the model's contract.

    Attributes:
        threshold_shift: what the model's own threshold is raised by, in log odds.
    """

    inputs: tuple[str, ...] = flag(
        "recordings: files, folders (searched through all levels) or patterns such as "
        "'night/*.wav' and 'archive/**/*.flac'; the word --input may be left out",
        "PATTERN",
        name="input",
        word="too",
        several=True,
        group=_FIRST,
        default=(),
    )
    manifests: tuple[str, ...] = flag(
        "a list of recordings: a text file with a file, folder or pattern a line (# begins a "
        "comment), or a CSV or .xlsx with a column named 'recording' or 'uri' and any of site, "
        "latitude, longitude, recorded_at and time_zone; relative names start at its folder",
        "FILE",
        name="manifest",
        group=_WHAT,
        default=(),
    )
    model: str = flag(
        "folder with model.keras and contract.json, or the folder of versions that capuchinbird "
        "publish fills (default: the released model)",
        "DIR",
        group=_WHAT,
        default=RELEASED_MODEL,
    )
    output: str = flag(
        "folder for counts.csv, calls.csv, activity.csv, failures.csv, run.json and report.html, "
        "window scores and the ledger: a further run into it does only what is new or has changed",
        "DIR",
        group=_FIRST,
    )
    hop_s: float | None = flag(
        "distance between the starts of neighbouring 3 s windows (default: the model's)",
        "SECONDS",
        values.above(0, WINDOW_S),
        group=_HOW,
        default=None,
    )
    segment_s: float = flag(
        "length of the pieces that long recordings are cut into, so that many cores share one "
        "file; does not change any result",
        "SECONDS",
        values.above(0, 3600),
        group=_HOW,
        default=300.0,
    )
    threshold: float | None = flag(
        threshold_help(), "SCORE", values.threshold, group=_HOW, default=None
    )
    threshold_shift: float | None = None
    counting: Literal["calls", "windows"] = flag(
        "calls: each bird's call once. windows: add up the windows above the threshold, as the "
        "tutorial does, side by side unless --hop_s says otherwise",
        group=_HOW,
        default="calls",
    )
    channel: str = flag(
        "which channels to hear: mix (their mean, but the best one wherever they would cancel or "
        "one holds nothing but noise), best (in each 10 s the one in which sound rises furthest), "
        "or a number from 1",
        "N|mix|best",
        values.channel,
        group=_HOW,
        default="mix",
    )
    formats: tuple[str, ...] = flag(
        "further tables, for other programs; several with spaces or commas between them. raven, "
        "audacity, kaleidoscope, birdnet, aoef (soundevent, whombat), label_studio: a file for "
        "each recording in a folder of that name, and (not for audacity and aoef) one for the run. "
        "excel: the CSV tables once more, in a folder excel, with a mark by which spreadsheets "
        "know UTF-8. parquet: counts and calls with typed columns. tutorial: tutorial.csv with "
        "recording,capuchin_calls",
        "FORMAT",
        name="format",
        choices=FORMATS,
        several=True,
        group=_OUT,
        default=(),
    )
    deployments: str | None = flag(
        "a CSV or .xlsx with the column folder and any of site, latitude, longitude, time_zone, "
        "deployed_from and deployed_to, for all recordings below each folder; a recorder that "
        "moved on has a row for each stay. Later runs go by the same table until another is "
        "stated, or none",
        "FILE",
        group=_FIRST,
        default=None,
    )
    time_zone: str = flag(
        "zone of recorders' clocks where neither file nor table states it, for example "
        "America/Cayenne or -03:00; later runs go by it until another is stated, or none (default: "
        "their times stay local, without a zone)",
        "ZONE",
        group=_WHAT,
        default="",
    )
    keep_copies: bool = flag(
        "count each copy of a recording too (default: the same content is counted once, and its "
        "copies are listed)",
        group=_HOW,
        default=False,
    )
    retry_failed: bool = flag(
        "try again what failed before though its file has not changed (default: only what failed "
        "for a reason that may pass, such as a broken connection)",
        group=_HOW,
        default=False,
    )
    moved: tuple[tuple[str, str], ...] = flag(
        "recordings that --output knows below the folder FROM now lie below TO: they keep their "
        "counts; say it once",
        "FROM=TO",
        values.move,
        group=_HOW,
        default=(),
    )
    report: bool = flag(
        "leave out report.html, the page to look at and listen to; it can also be made later: "
        "capuchinbird report DIR",
        group=_OUT,
        default=True,
    )
    allow_empty: bool = flag(
        "finding no recording is no error: a night in which none was made",
        group=_WHAT,
        default=False,
    )
    share: values.Share | None = flag(
        "count one share of the recordings, such as 3/16, the third of sixteen: the other shares "
        "may be counted elsewhere at the same time, with the same flags and output. When all have "
        "ended, capuchinbird join OUTPUT makes the tables",
        "N/OF",
        values.one_share,
        group=_HOW,
        default=None,
    )
    processes: int = flag(
        "count in so many processes, each with a share of the recordings and at most 8 workers "
        "(default: one, and above 8 cores as many as end first)",
        "N",
        values.at_least(1),
        group=_HOW,
        default=0,
    )
    no_wait: bool = flag(
        "return as soon as a service has taken the job, which writes run.json at its end; "
        "report.html is not made",
        group=_HOW,
        default=False,
    )
    plan: bool = flag(
        "print how many files and hours of audio there are, what is done already, and time here or "
        "time and price on Dataflow; start nothing",
        group=_HOW,
        default=False,
    )
    max_cost: float | None = flag(
        "start only if the estimated price on Dataflow is no higher",
        "USD",
        values.above(0),
        group=_HOW,
        default=None,
    )
    bigquery: str | None = flag(
        "write the tables counts, calls and runs there as well; capuchinbird tables makes them",
        "PROJECT.DATASET",
        values.dataset,
        group=_OUT,
        default=None,
    )
    night: date | None = flag(
        "evening on which the night of these recordings began: its partition in BigQuery is "
        "rewritten as a whole",
        "YYYY-MM-DD",
        date.fromisoformat,
        group=_OUT,
        default=None,
    )
    max_failed_fraction: float = flag(
        "exit with 3 when a larger share of the inputs failed",
        "SHARE",
        values.share,
        group=_OUT,
        default=0.5,
    )
    beam_args: tuple[str, ...] = ()
    states_counting: bool = True
    """Whether any of threshold, counting and hop_s was stated."""
    keeps_places: bool = False
    """Whether recordings keep the places that earlier runs were told, where this one says none."""


_COUNTING = {"threshold", "counting", "hop_s"}


def count_command(
    name: str,
    description: str,
    *examples: str,
    only: tuple[str, ...] = (),
    changed: Mapping[str, Flag] | None = None,
    **fixed: object,
) -> Command[Config]:
    """A command that takes flags of a count, and Beam's; see ``Command``."""
    return Command(
        name,
        Config,
        description,
        examples,
        only,
        changed or {},
        fixed,
        takes_beam=True,
        notes=f"{EXIT_CODES}\nAny other option goes to Apache Beam, for example "
        "--direct_num_workers=4 or --runner=DataflowRunner.\n",
    )


COUNT = count_command(
    "count",
    "Count Capuchinbird calls in recordings: one row for every input.",
    "count recordings/ --output results --deployments sites.csv",
    "count --input 'archive/**/*.flac' --output results --format raven excel",
)


def parse(
    argv: Sequence[str],
    *,
    command: Command[Config] = COUNT,
    needs_recordings: bool = True,
) -> Config:
    """The command line as a config.

    Args:
        argv: the flags; all others are Beam's.
        command: whose flags.
        needs_recordings: whether recordings must be named.

    Raises:
        UsageError: it is wrong; one clear line.
    """
    config, given = command.read(argv)
    paths = {
        "--input": map(as_text, config.inputs),
        "--output": [config.output],
        "--model": [config.model],
        "--manifest": config.manifests,
        "--deployments": [config.deployments or ""],
    }
    for name, path in ((name, path) for name, some in paths.items() for path in some):
        if not is_text(path):
            command.parser.error(f"{name} {as_text(path)}: its name is not valid UTF-8; rename it")
        if "://" in path and not path.startswith("gs://"):
            command.parser.error(f"{name} {path}: write a path, or a name in a bucket as gs://…")
    if needs_recordings and not config.inputs and not config.manifests:
        reason = "name the recordings, or a table of them with --manifest"
        command.refuse(["--input"], config.beam_args, reason)
    if needs_recordings and bool(config.bigquery) != bool(config.night):
        command.parser.error(
            "--bigquery and --night go together: a night is a partition of the tables"
        )
    if config.share and config.bigquery:
        command.parser.error(
            "--share: fills no night in BigQuery; leave out --bigquery and --night, and when all "
            "shares have ended, run the command with them and without --share"
        )
    if isinstance(config.threshold, values.Shift):
        config = replace(config, threshold=None, threshold_shift=float(config.threshold))
    inputs = tuple(map(as_text, config.inputs))
    return replace(config, inputs=inputs, states_counting=bool(given & _COUNTING))
