"""A run of the real job over recordings that do not exist: what `benchmarks.scale` measures.

Two things are stood in for: the decoder (every recording is silence of a given length) and the
network (scores made from the recording's name). All else is what users run: listing, ledger,
grouping, counting, tables. ``python -m benchmarks.scale_job FLAGS`` takes the flags of
``capuchinbird count``; a worker process is started by Beam's pool as
``python -m benchmarks.scale_job --control_endpoint=...``.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from model.audio.decoders import AudioInfo
from model.audio.quality import Quality
from model.audio.recording import Segment
from model.contract import ServingContract
from model.windows import SAMPLE_RATE_HZ, Samples

FOLDER_VARIABLE = "SCALE_FOLDER"
"""Where a run's processes leave their figures."""
SECONDS_VARIABLE = "SCALE_RECORDING_S"

KINDS = ("read", "written", "listed", "deleted")
LOUD_ONE_IN = 10
"""One recording in so many has a call."""


class Silence:
    """Takes the place of ``IsolatedRecording``: silence, but for a sample that says whose it is."""

    restarts = 0

    def __init__(self, source: str | IO[bytes], name: str, *_: object) -> None:
        self._mark = 0.001 * (1 + zlib.crc32(name.encode()) % 997)
        frames = round(float(os.environ[SECONDS_VARIABLE]) * SAMPLE_RATE_HZ)
        self.info = AudioInfo(SAMPLE_RATE_HZ, 1, frames, 0, "WAV PCM_16")

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def way(self) -> None:
        """Nothing to know: it begins anywhere."""

    def read(self, start: int, n_samples: int, measured: range = range(0)) -> Segment:
        """A stretch of it."""
        samples = np.zeros(n_samples, np.float32)
        if n_samples:
            samples[0] = self._mark
        n = len(measured)
        return Segment(samples, (), Quality(n, n, square_steps=n << 20))


class MadeScores:
    """Takes the place of the network: low scores, no two recordings' alike, and some calls."""

    def __init__(self, contract: ServingContract) -> None:
        self.contract = contract
        grid = contract.grid(round(contract.hop_s * SAMPLE_RATE_HZ))
        self._context = grid.context_samples
        self._shape = (grid.hop_samples // grid.step_samples,)

    def score(self, inputs: Samples) -> Samples:
        """Scores float32 ``[n, k]``."""
        marks = np.rint(inputs.max(axis=1) * 1000).astype(np.int64)
        steps = np.arange(self._shape[0])
        scores: Samples = ((marks[:, None] * 7919 + steps * 104729) % 600 / 1000).astype(np.float32)
        loud = (marks % LOUD_ONE_IN == 0) & (marks > 0)
        scores[loud, min(20, self._shape[0] - 1)] = 0.99
        return scores


class Load:
    """Takes the place of ``ModelLoader``."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def __call__(self) -> MadeScores:
        text = Path(self._directory, "contract.json").read_text(encoding="utf-8")
        return MadeScores(ServingContract.from_json(text))


class Tally:
    """Counts what a process does to the files of a run, by the interpreter's own audit.

    Each is about one request where the files are objects in a bucket. The numbers lie in a file, so
    that they outlive a process that is ended.

    Args:
        folder: where the file goes.
        tops: folders whose files count, by name.
    """

    def __init__(self, folder: Path, tops: dict[str, str]) -> None:
        self.names = [f"{top} {kind}" for top in tops for kind in KINDS]
        size = 8 * len(self.names)
        with open(folder / f"{os.getpid()}.tally", "w+b") as file:
            file.truncate(size)
            self._counts = np.frombuffer(mmap.mmap(file.fileno(), size), np.int64)
        self._tops = [os.path.abspath(top) for top in tops.values()]
        sys.addaudithook(self._note)

    def _note(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, flags = args[0], args[2]
            kind = 1 if flags & (os.O_WRONLY | os.O_RDWR) else 0
        elif event in ("os.scandir", "os.listdir"):
            path, kind = args[0], 2
        elif event == "os.remove":
            path, kind = args[0], 3
        else:
            return
        if not isinstance(path, str):
            return
        for k, top in enumerate(self._tops):
            if path.startswith(top):
                self._counts[4 * k + kind] += 1
                return


def read_tallies(folder: Path, tops: Sequence[str]) -> dict[str, int]:
    """The sums over a run's processes."""
    names = [f"{top} {kind}" for top in tops for kind in KINDS]
    total = np.zeros(len(names), np.int64)
    for file in folder.glob("*.tally"):
        total += np.fromfile(file, np.int64)
    return dict(zip(names, map(int, total), strict=True))


def stand_in() -> Path:
    """Puts the stand-ins in place, in this process. Returns the folder for its figures."""
    from pipeline.inference import decode, transforms

    for module in (decode, transforms):
        vars(module)["IsolatedRecording"] = Silence
    folder = Path(os.environ[FOLDER_VARIABLE])
    Tally(folder, json.loads((folder / "tops.json").read_text()))
    return folder


def largest_elements(jobs: Sequence[tuple[Any, Any]]) -> dict[str, int]:
    """Bytes of the largest element of each collection of finished local jobs, as Beam sampled them.

    Beam measures the first elements of each collection, and of the rest fewer and fewer.

    Args:
        jobs: (pipeline, result) of each.
    """
    from apache_beam.metrics.monitoring_infos import extract_distribution

    sizes: dict[str, int] = {}
    for pipeline, result in jobs:
        transforms = pipeline.to_runner_api().components.transforms.values()
        makers = {made: t.unique_name for t in transforms for made in t.outputs.values()}
        for info in getattr(result, "monitoring_infos", list)():
            if info.urn == "beam:metric:sampled_byte_size:v1":
                collection = info.labels.get("PCOLLECTION", "?")
                name = makers.get(collection, collection)
                sizes[name] = max(sizes.get(name, 0), extract_distribution(info)[3])
    return dict(sorted(sizes.items(), key=lambda item: -item[1])[:10])


def _remember(jobs: list[tuple[Any, Any]]) -> Callable[..., Any]:
    import apache_beam as beam

    run = beam.Pipeline.run

    def run_and_remember(self: beam.Pipeline, *args: Any, **settings: Any) -> Any:
        jobs.append((self, run(self, *args, **settings)))
        return jobs[-1][1]

    return run_and_remember


def main(argv: Sequence[str]) -> int:
    """The launcher: ``capuchinbird count`` with stand-ins."""
    folder = stand_in()
    import apache_beam as beam

    from pipeline import launch, options
    from pipeline.run import run_of

    jobs: list[tuple[Any, Any]] = []
    vars(launch)["ModelLoader"] = Load
    beam.Pipeline.run = _remember(jobs)
    code = launch.launch(run_of(options.parse(argv)))
    (folder / "elements.json").write_text(json.dumps(largest_elements(jobs)))
    return code


def work(endpoint: str, worker_id: str) -> None:
    """A worker process."""
    stand_in()
    from apache_beam.runners.worker.sdk_worker import SdkHarness

    SdkHarness(endpoint, worker_id=worker_id).run()


if __name__ == "__main__":
    flags = dict(re.findall(r"--(control_endpoint|id)=(\S+)", " ".join(sys.argv[1:])))
    if "control_endpoint" in flags:
        work(flags["control_endpoint"], flags["id"])
    else:
        sys.exit(main(sys.argv[1:]))
