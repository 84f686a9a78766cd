"""How much sooner is a run done with more cores?

    python -m benchmarks.cores --cores 1 2 4 8 16 32 64 --json cores.json

The real job with decoders and a network that sleep, so that this machine needs no more cores than
the bookkeeping of one process takes. Where a run would have several processes, its shares are
counted one after the other, each with its workers, and then joined: with a core for each worker
they would run side by side, and the run would take as long as the slowest and the join. What that
leaves out is what processes cost each other: memory's and the disk's speed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cores_job import CORES_VARIABLE, DECODE_S_PER_HOUR, NETWORK_S_PER_HOUR
from benchmarks.harness import Usage, parser, run_child, write_json
from benchmarks.scale_job import SECONDS_VARIABLE

if TYPE_CHECKING:
    from pipeline.sharing.spread import Spread

RECORDING_S = 180
BYTES = {".wav": 17_280_044, ".mp3": 1_440_000}
"""Of 3 minutes: 48 kHz mono in 16 bits; 64 kbit/s."""


@dataclass(frozen=True)
class Figure:
    """A run on some cores.

    Attributes:
        recordings: how many it counted.
        spread: processes and workers.
        wall_s: of the slowest process and the join, the start included.
        cpu_s: of the busiest process, without what it slept.
        ideal_s: of the work alone, spread evenly.
        beyond_start_s: what the run takes beyond the start of a process, if no bookkeeping went on
            while workers sleep: their sleep, and the CPU time of the busiest process and the join.
            Other work on this machine does not change it much, while it changes ``wall_s``.
        efficiency: ideal_s to that.
    """

    kind: str
    recordings: int
    cores: int
    spread: str
    wall_s: float
    cpu_s: float
    ideal_s: float
    beyond_start_s: float
    efficiency: float


def make_archive(folder: Path, kind: str, recordings: int) -> None:
    """Files of holes, with beginnings of their own, named as recorders name them: 24 a day."""
    for n in range(recordings):
        day, hour = divmod(n, 24)
        site, day = divmod(day, 28)
        path = folder / f"S{site:02d}" / f"S{site:02d}_202406{day + 1:02d}_{hour:02d}0000{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(f"{n:16}".encode())
            file.truncate(BYTES[kind])


def run_job(archive: Path, out: Path, cores: int, *flags: str) -> Usage:
    """A run of the job on so many cores."""
    os.environ[CORES_VARIABLE], os.environ[SECONDS_VARIABLE] = str(cores), str(RECORDING_S)
    job = [sys.executable, "-W", "ignore", "-m", "benchmarks.cores_job"]
    words = [str(archive), "--output", str(out), "--no-report", "--quiet", *flags]
    return run_child([*job, *words])


@dataclass(frozen=True)
class Timed:
    """A run, or what it would be of those of its shares that were counted.

    Attributes:
        share_s, share_cpu_s: of the slowest process, and of the busiest.
        join_s, join_cpu_s: of the join, where there are several.
    """

    share_s: float
    share_cpu_s: float
    join_s: float = 0.0
    join_cpu_s: float = 0.0


def timed(archive: Path, top: Path, cores: int, spread: Spread, n_shares: int) -> Timed:
    """A run with this spread on so many cores, see above; of its shares so many are counted."""
    workers = f"--direct_num_workers={spread.workers}"
    with tempfile.TemporaryDirectory(dir=top) as out:
        if spread.processes == 1:
            used = run_job(archive, Path(out), cores, "--processes=1", workers)
            return Timed(used.wall_s, used.cpu_s)
        numbers = range(1, min(n_shares or spread.processes, spread.processes) + 1)
        shares = [
            run_job(archive, Path(out), cores, f"--share={n}/{spread.processes}", workers)
            for n in numbers
        ]
        # With shares missing it ends with 1, as it should.
        code = f"import sys; from pipeline.__main__ import main; main(['join', {out!r}])"
        join = run_child([sys.executable, "-c", code])
    slowest = max(one.wall_s for one in shares), max(one.cpu_s for one in shares)
    return Timed(*slowest, join.wall_s, join.cpu_s)


def figures(kind: str, recordings: int, cores: list[int], n_shares: int) -> Iterator[Figure]:
    """A figure for each number of cores; first, as 0 cores, one recording and one worker."""
    from pipeline.sharing.spread import Spread, best_spread, work_s_of  # imports Beam

    hours = recordings * RECORDING_S / 3600
    sleep_s = hours * (DECODE_S_PER_HOUR[kind] + NETWORK_S_PER_HOUR)
    with tempfile.TemporaryDirectory() as folder:
        top, archive = Path(folder), Path(folder) / "archive"
        make_archive(archive, kind, recordings)
        names = list(map(str, archive.rglob(f"*{kind}")))
        start = timed(Path(names[0]), top, 1, Spread(1, 1), 0)
        for n in [0, *cores]:
            spread = best_spread(n, work_s_of(names, recordings), recordings) if n else Spread(1, 1)
            took = timed(archive, top, n, spread, n_shares) if n else start
            ideal_s = sleep_s / n if n else 0.0
            lock_s = took.share_cpu_s - start.share_cpu_s + took.join_cpu_s
            beyond_s = sleep_s / (spread.processes * spread.workers) * bool(n) + lock_s
            yield Figure(
                kind=kind,
                recordings=recordings,
                cores=n,
                spread=str(spread),
                wall_s=round(took.share_s + took.join_s, 1),
                cpu_s=round(took.share_cpu_s, 1),
                ideal_s=round(ideal_s, 1),
                beyond_start_s=round(beyond_s, 1),
                efficiency=round(ideal_s / max(0.001, beyond_s), 2),
            )


def main() -> None:
    """Measures, prints, writes the figures."""
    flags = parser(__doc__, prog="python -m benchmarks.cores")
    flags.add_argument("--cores", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    flags.add_argument("--kinds", nargs="+", choices=list(BYTES), default=list(BYTES))
    flags.add_argument("--recordings", type=int, default=2880, help="of 3 minutes each")
    flags.add_argument(
        "--shares", type=int, default=0, help="count so many of the shares of a run (default: all)"
    )
    options = flags.parse_args()
    measured = []
    print(", ".join(name.name for name in fields(Figure)))
    for kind in options.kinds:
        for figure in figures(kind, options.recordings, options.cores, options.shares):
            measured.append(asdict(figure))
            print(*measured[-1].values(), sep=", ", flush=True)
    write_json(options.json, measured)


if __name__ == "__main__":
    main()
