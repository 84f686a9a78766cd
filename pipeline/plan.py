"""What a run would cost, before anything is started.

It lists files and sizes, leaves out what the ledger holds already, and takes hours of audio from
headers: of all recordings when they are few, otherwise of a sample, by bytes per second of audio.
From the hours follow work, time and price on Dataflow by the figures below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions

from model.audio.recording import probe
from model.quiet import without_decoder_notes
from model.windows import samples_from_seconds
from pipeline.ledger.shares import list_share
from pipeline.options import UsageError
from pipeline.records import Listed
from pipeline.report.html import counted_noun
from pipeline.run import Run
from pipeline.runtime import usable_cores
from pipeline.sharing.spread import Spread, spread_of
from pipeline.storage import files
from pipeline.store import entries, parts

SAMPLED_HEADERS = 60
_PROBES_AT_ONCE = 16

# Measured on two busy hardware threads of a virtual machine, see docs/benchmarks.md: 3 min each at
# 48 kHz, the start of a run left out. Another machine may take half or twice as long.
DECODE_S_PER_HOUR = {".wav": 1.6, ".flac": 3.7, ".mp3": 5.7}
"""CPU seconds to decode and resample an hour of audio, by format; others take as long as MP3."""
SCORE_S_PER_HOUR = 2.1
"""CPU seconds for all else of the job, by the released model."""
SCORE_S_PER_WINDOW = 0.0012
"""The same for a window of 3 s, by a model that scores each on its own."""

# Assumed, for there was no Dataflow to measure on.
VCPUS_PER_CORE = 2
"""How many of Dataflow's vCPUs do the work of a hardware thread measured above."""
START_UP_S = 300.0
"""From a worker's start to its first recording, with a container image; longer with setup.py."""

KEPT_KB_PER_RECORDING = 12
"""What a process keeps in memory of each recording, see docs/scale.md."""
START_HERE_S = 10.0
"""From the start of a run on this machine to its first recording, and for the page at its end."""

# List prices for batch jobs in us-central1, US dollars (cloud.google.com/dataflow/pricing). Other
# regions cost up to about a third more; storage, network and the bucket's requests are not in it.
VCPU_HOUR_USD = 0.056
MEMORY_GB_HOUR_USD = 0.003557
DISK_GB_HOUR_USD = 0.000054
DISK_GB = 25

DEFAULT_MACHINE = "n2-standard-4"
DEFAULT_WORKERS = 10
_MEMORY_GB_PER_VCPU = {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0}


@dataclass(frozen=True)
class Plan:
    """An estimate.

    Attributes:
        recordings, size_bytes: of all named recordings.
        done: of these, how many the ledger holds as counted.
        audio_h: hours of audio to do.
        headers: how many headers say so; ``unreadable`` more could not be read.
        core_h: hours of work for one core.
        machine, vcpus, workers: what it would run on.
        wall_h: how long that takes.
        cost_usd: what it costs.
        cores_here: hardware threads that this process may use.
        processes_here, workers_here: how many processes of how many workers it would take here.
        memory_here_gb, here_h: how much memory, and how long.
    """

    recordings: int
    size_bytes: int
    done: int
    audio_h: float
    headers: int
    unreadable: int
    core_h: float
    machine: str
    vcpus: int
    workers: int
    wall_h: float
    cost_usd: float
    cores_here: int
    processes_here: int
    workers_here: int
    memory_here_gb: float
    here_h: float


def make_plan(run: Run, options: PipelineOptions) -> Plan:
    """Lists and samples; starts and writes nothing.

    Args:
        run: what would be run.
        options: Beam's, for machine and workers.
    """
    counting = run.counting
    recordings = [
        one for one in list_share(run.config, run.recordings.listings).recordings if not one.copy_of
    ]
    is_done = _ledger_of(run)
    todo = [one for one in recordings if not is_done(one)]
    hours, headers, unreadable = _audio_hours(todo)
    score_s_per_hour = SCORE_S_PER_HOUR
    if counting.grid.scores_windows:
        score_s_per_hour = SCORE_S_PER_WINDOW * samples_from_seconds(3600) / counting.hop_samples
    slowest = max(DECODE_S_PER_HOUR.values())
    core_h = sum(
        of_kind * (DECODE_S_PER_HOUR.get(kind, slowest) + score_s_per_hour) / 3600
        for kind, of_kind in hours.items()
    )
    vcpu_h = core_h * VCPUS_PER_CORE

    here = spread_of(run, options, len(todo), work_s=core_h * 3600)
    memory_here_gb = here.memory_gb + len(todo) / here.processes * KEPT_KB_PER_RECORDING / 1e6
    asked = options.view_as(WorkerOptions)
    machine = asked.machine_type or DEFAULT_MACHINE
    vcpus, memory_gb = _size_of(machine)
    # More workers than there is work for are not started; each works for ten minutes at least.
    useful = max(1, math.ceil(vcpu_h / vcpus * 6))
    workers = min(asked.max_num_workers or asked.num_workers or DEFAULT_WORKERS, useful)
    wall_h = (vcpu_h / (workers * vcpus) + START_UP_S / 3600) if todo else 0.0
    hourly_usd = vcpus * VCPU_HOUR_USD + memory_gb * MEMORY_GB_HOUR_USD + DISK_GB * DISK_GB_HOUR_USD
    return Plan(
        recordings=len(recordings),
        size_bytes=sum(max(0, one.size) for one in recordings),
        done=len(recordings) - len(todo),
        audio_h=sum(hours.values()),
        headers=headers,
        unreadable=unreadable,
        core_h=core_h,
        machine=machine,
        vcpus=vcpus,
        workers=workers,
        wall_h=wall_h,
        cost_usd=workers * wall_h * hourly_usd,
        cores_here=usable_cores(),
        processes_here=here.processes,
        workers_here=here.workers,
        memory_here_gb=round(memory_here_gb, 1),
        here_h=(here.seconds(core_h * 3600, len(todo)) + START_HERE_S) / 3600 if todo else 0.0,
    )


def describe(plan: Plan) -> str:
    """A plan for a person."""
    todo = plan.recordings - plan.done
    sampled = plan.headers + plan.unreadable
    basis = "all headers" if sampled == todo else f"estimated from {plan.headers:,} headers"
    unreadable = f", {plan.unreadable:,} of {sampled:,} cannot be read" if plan.unreadable else ""
    here = Spread(plan.processes_here, plan.workers_here)
    cores = counted_noun(plan.cores_here, "core")
    return "\n".join(
        [
            f"recordings   {plan.recordings:,} ({plan.size_bytes / 1e9:,.1f} GB), "
            f"{plan.done:,} done before, {todo:,} to do",
            f"audio        {plan.audio_h:,.1f} h to do ({basis}{unreadable})",
            f"work         {plan.core_h:,.2f} h of one core, "
            f"{plan.core_h * VCPUS_PER_CORE / plan.vcpus:,.2f} worker hours",
            f"here         {_long(plan.here_h)} on {cores}: {here}, "
            f"{plan.memory_here_gb:,.1f} GB of memory",
            f"on Dataflow  {plan.workers} × {plan.machine}, about {plan.wall_h * 60:,.0f} min, "
            f"{plan.cost_usd:,.2f} USD at list prices of us-central1",
            "nothing was started",
        ]
    )


def _long(hours: float) -> str:
    """About how long, in the unit that suits."""
    if hours < 1 / 60:
        return "less than a minute"
    return f"about {hours * 60:,.0f} min" if hours < 2 else f"about {hours:,.0f} h"


def check_cost(plan: Plan, max_cost_usd: float | None) -> None:
    """Raises UsageError when the plan costs more than allowed."""
    if max_cost_usd is not None and plan.cost_usd > max_cost_usd:
        raise UsageError(
            f"--max_cost {max_cost_usd:g}: the run comes to about {plan.cost_usd:,.2f} USD; "
            "--plan shows why"
        )


def _ledger_of(run: Run) -> Callable[[Listed], bool]:
    """Whether a recording is done; reads a part when it is asked about one of it."""
    ledger = run.output.ledger()
    # A first run has no part to look at, and of an archive there may be thousands.
    has_parts = bool(files.folders_in(parts.ledger(ledger.output)))

    state_of = lru_cache(maxsize=64)(ledger.part)

    def is_done(listed: Listed) -> bool:
        if not has_parts:
            return False
        identity = files.identity(listed.recording)
        entry = state_of(parts.part_of(identity)).get(identity)
        if run.config.keeps_places:
            listed = entries.with_kept_place(listed, entry)
        retry = run.config.retry_failed
        # A file whose time alone has changed counts as new: reading it would take too long here.
        return entries.is_done(entry, listed, run.counting, retry, checksum=lambda _: "")

    return is_done


def _audio_hours(recordings: Sequence[Listed]) -> tuple[dict[str, float], int, int]:
    """Hours of audio by kind, how many headers they come from, and how many could not be read.

    Bytes per second differ by format, so each kind of file is estimated by its own sample.
    """
    kinds: dict[str, list[Listed]] = {}
    for one in recordings:
        kinds.setdefault(PurePath(one.recording).suffix.lower(), []).append(one)
    hours, headers, unreadable = dict.fromkeys(kinds, 0.0), 0, 0
    with ThreadPoolExecutor(_PROBES_AT_ONCE) as pool:
        for kind, alike in kinds.items():
            share = max(10, SAMPLED_HEADERS * len(alike) // len(recordings))
            sample = alike[:: math.ceil(len(alike) / share)]
            with without_decoder_notes():
                durations = list(pool.map(_duration_s, sample))
            lengths_s = [s for s in durations if s is not None]
            headers += len(lengths_s)
            unreadable += len(sample) - len(lengths_s)
            sample_bytes = sum(max(0, one.size) for one in sample)
            all_bytes = sum(max(0, one.size) for one in alike)
            # Without sizes, by their number. What cannot be read has bytes and no seconds.
            scale = all_bytes / sample_bytes if sample_bytes else len(alike) / len(sample)
            hours[kind] += sum(lengths_s) * scale / 3600
    return hours, headers, unreadable


def _duration_s(listed: Listed) -> float | None:
    try:
        with files.open_to_read(listed.recording) as source:
            return probe(source, listed.recording).duration_s
    except Exception:
        return None  # the run would give it a failed row


def _size_of(machine: str) -> tuple[int, float]:
    """vCPUs and memory in GB of a machine type such as ``n2-standard-4``."""
    match = re.fullmatch(r"\w+-(standard|highmem|highcpu)-(\d+)", machine)
    if not match:
        raise UsageError(f"--machine_type {machine}: its price is not known here; leave it out")
    vcpus = int(match[2])
    return vcpus, vcpus * _MEMORY_GB_PER_VCPU[match[1]]
