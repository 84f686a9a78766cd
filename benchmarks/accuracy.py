"""How well are calls found, beside BirdNET V2.4?

    benchmarks/accuracy.sh --forest FOREST --clips CLIPS --folds my_model-training --json a.json

Forest recordings, clips by source, and leks made of clips go through both systems. Of each, F1 of
calls is stated at the best threshold for a set of recordings, at the best one for all sets, and at
the system's own. With ``--folds`` each recording is scored by the network that left out what is in
it; with ``--model`` by that model, whatever it was trained on (leks are then still those of the
folds). Leks and scores are kept in a folder, so a second run is quick.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.figures import figures_of, source_table, table
from benchmarks.harness import RELEASED, ROOT, parser, write_json
from benchmarks.judge import Detection, Span, System, Trial, best_threshold, judge, tally
from benchmarks.material import (
    CLIPS,
    Fold,
    Lek,
    Task,
    fold_of_all,
    fold_without,
    plan_leks,
    read_folds,
    takes_of,
    tasks_of,
    write_leks,
)
from model.audio.recording import read_all
from model.calls import CountingRule, find_calls, log_odds, probabilities
from model.contract import CONTRACT_FILE, ContractError, ServingContract
from model.export import LoadedModel, load_exported
from model.scoring import score_by_contract
from model.training.clips import DataError, LabelledRecording
from model.training.folders import read_data
from model.windows import SAMPLE_RATE_HZ

OURS = "this model"
BIRDNET = "BirdNET V2.4"
LEAST_LOG_ODDS = -7.9
"""Detections are kept from here on; the model's scores end at -8."""

BIRDNET_HOP_S = 1.0
BIRDNET_LEAST = -14.9
BIRDNET_OWN = float(log_odds(0.25))
"""The lowest confidence that BirdNET-Analyzer reports by default."""
BIRDNET_RULES = tuple(
    CountingRule(
        threshold=float(probabilities(BIRDNET_LEAST)),
        smoothing_s=smoothing_s,
        min_separation_s=separation_s,
    )
    for smoothing_s in (0.0, 1.5, 2.5)
    for separation_s in (1.5, 2.5, 3.5, 4.5)
)
"""Ways to make calls of its windows; the best over all sets is taken."""


@dataclass(frozen=True)
class Scores:
    """Of one recording: first samples at 16 kHz of what is scored, scores 0 to 1, its length."""

    starts: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    n_samples: int

    def every(self, n: int) -> Scores:
        """Only every so many windows."""
        return Scores(self.starts[::n], self.scores[::n], self.n_samples)

    def detections(self, rule: CountingRule) -> list[Detection]:
        """What the rule makes of the scores."""
        return [
            Detection(Span(call.start_s, call.end_s), float(log_odds(call.score, 1e-12)))
            for call in find_calls(self.starts, self.scores, rule, self.n_samples)
        ]


class Kept:
    """Scores in a folder, by what was heard and what scored it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[Path, str] = {}

    def path(self, system: str, recording: Path) -> Path:
        """Where a system's scores of a recording are, or should be put."""
        if recording not in self._digests:
            self._digests[recording] = hashlib.sha256(recording.read_bytes()).hexdigest()[:32]
        folder = self._folder / system
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self._digests[recording]}.npz"


class Network:
    """A fold's network, loaded when something has to be scored."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        text = (fold.model / CONTRACT_FILE).read_text(encoding="utf-8")
        self.contract = ServingContract.from_json(text)

    @cached_property
    def _model(self) -> LoadedModel:
        return load_exported(self._fold.model)

    def scores(self, recording: Path, kept: Kept) -> Scores:
        """Scores of a recording, kept ones if there are."""
        path = kept.path(self.contract.model_sha256[:16], recording)
        if not path.exists():
            samples = read_all(recording)
            starts, scores = score_by_contract(samples, self._model.score, self.contract)
            partial = path.with_suffix(f".{os.getpid()}.npz")
            np.savez(partial, starts=starts, scores=scores, n_samples=len(samples))
            os.replace(partial, path)
        with np.load(path) as file:
            return Scores(file["starts"], file["scores"], int(file["n_samples"]))


def score_ours(tasks: Sequence[Task], folds: Sequence[Fold], kept: Kept) -> Iterator[Trial]:
    """Each task by its fold's network and counting rule."""
    networks = [Network(fold) for fold in folds]
    for number, task in enumerate(tasks, 1):
        rule = networks[task.fold].contract.rule
        scores = networks[task.fold].scores(task.path, kept)
        low = replace(rule, threshold=float(probabilities(LEAST_LOG_ODDS)))
        yield trial_of(task, scores.detections(low), float(log_odds(rule.threshold)))
        if number % 20 == 0 or number == len(tasks):
            print(f"{OURS}: {number} of {len(tasks)}", file=sys.stderr, flush=True)


def trial_of(task: Task, detections: Sequence[Detection], own_threshold: float) -> Trial:
    """Detections in a recording held against its calls; of a clip, the highest alone."""
    if task.of == CLIPS and detections:
        top = max(detection.log_odds for detection in detections)
        detections = [Detection(Span(0.0, np.inf), top)]
    judged = judge(detections, task.calls, task.overlooked)
    return Trial(task.name, task.source, len(task.calls), judged, own_threshold)


def read_birdnet(path: Path) -> Scores:
    """Scores that ``benchmarks/birdnet.py`` wrote."""
    with np.load(path) as file:
        values, n_samples = file["log_odds"], round(float(file["duration_s"]) * SAMPLE_RATE_HZ)
    starts = np.arange(len(values), dtype=np.int64) * round(BIRDNET_HOP_S * SAMPLE_RATE_HZ)
    return Scores(starts, probabilities(values).astype(np.float32), n_samples)


def score_birdnet(tasks: Sequence[Task], python: str, threads: int, kept: Kept) -> dict[Path, Path]:
    """Where BirdNET's scores of every recording are, once it has scored those that lack them."""
    places = {task.path: kept.path(f"birdnet-2.4-{BIRDNET_HOP_S:g}", task.path) for task in tasks}
    todo = [[str(r), str(place)] for r, place in places.items() if not place.exists()]
    if todo:
        command = [python, str(ROOT / "benchmarks" / "birdnet.py")]
        command += [f"--hop_s={BIRDNET_HOP_S}", f"--threads={threads}"]
        subprocess.run(command, input=json.dumps(todo), text=True, check=True)
    return places


def best_of_birdnet(tasks: Sequence[Task], places: Mapping[Path, Path]) -> System:
    """Calls made of BirdNET's windows in every way, and that with the highest mean F1."""
    scores = {path: read_birdnet(place) for path, place in places.items()}
    systems = []
    for every, rule in itertools.product((1, 2, 3), BIRDNET_RULES):
        trials = [
            (task, trial_of(task, scores[task.path].every(every).detections(rule), BIRDNET_OWN))
            for task in tasks
        ]
        sets = _by_set(trials)
        f1 = [tally(some, best_threshold([some])).f1 for some in sets.values()]
        notes = {
            "a window every": f"{every * BIRDNET_HOP_S:g} s",
            "log odds averaged over": f"{rule.smoothing_s:g} s",
            "calls at least apart": f"{rule.min_separation_s:g} s",
        }
        systems.append((sum(f1), System(BIRDNET, sets, BIRDNET_LEAST, notes)))
    return max(systems, key=lambda pair: pair[0])[1]


def _by_set(trials: Iterable[tuple[Task, Trial]]) -> dict[str, list[Trial]]:
    sets: dict[str, list[Trial]] = {}
    for task, trial in trials:
        sets.setdefault(task.of, []).append(trial)
    return sets


def notes_on(
    folds: Sequence[Fold],
    forest: Sequence[LabelledRecording],
    leks: Sequence[Lek],
    in_sample: bool,
) -> dict[str, Any]:
    """What to know of the folds, for people."""
    if in_sample:
        return {"in sample": "the model may have been trained on all of this"}
    shared = sum(
        any(r.group not in folds[fold_without(folds, take)].left_out for take in takes_of(r))
        for r in forest
    )
    return {
        "folds": len(folds),
        "recordings with calls whose background was in training": shared,
        "leks whose background was in training": sum(not lek.left_out for lek in leks),
    }


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Figures of both systems, or of one where BirdNET's environment is not given."""
    forest, clips = (read_data([at]).recordings for at in (options.forest, options.clips))
    everything = [fold_of_all(options.model or RELEASED, (*forest, *clips))]
    folds = read_folds(options.folds) if options.folds else everything
    if options.model:
        folds = [replace(fold, model=options.model) for fold in folds]
    leks = list(plan_leks(forest, clips, folds, options.leks))
    in_leks = list(write_leks(leks, clips, options.cache / "leks"))
    kept = Kept(options.cache)

    def tasks(split: Sequence[Fold]) -> list[Task]:
        return [*tasks_of("forest", forest, split), *tasks_of(CLIPS, clips, split), *in_leks]

    ours = tasks(folds)
    sets = _by_set(zip(ours, score_ours(ours, folds, kept), strict=True))
    notes = notes_on(folds, forest, leks, in_sample=bool(options.model or not options.folds))
    systems = [System(OURS, sets, LEAST_LOG_ODDS, notes)]
    if options.birdnet_python:
        theirs = tasks(everything)
        places = score_birdnet(theirs, options.birdnet_python, options.threads, kept)
        systems.append(best_of_birdnet(theirs, places))
    return [figures_of(system) for system in systems]


def main() -> None:
    """Measures, prints tables, writes the figures."""
    flags = parser(__doc__, prog="benchmarks/accuracy.sh")
    flags.add_argument(
        "--forest",
        type=Path,
        required=True,
        metavar="DIR",
        help="recordings/, recordings.csv (recording,background) and annotations.csv "
        "(recording,start_s,end_s,take)",
    )
    flags.add_argument(
        "--clips",
        type=Path,
        required=True,
        metavar="DIR",
        help="the tutorial's two folders of clips, and clips.csv (clip,source)",
    )
    flags.add_argument(
        "--folds",
        type=Path,
        metavar="DIR",
        help="folds.json and the networks of a training: each scores what it was trained without",
    )
    flags.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="score with this model, whatever it was trained on (default without --folds: the "
        "released one)",
    )
    flags.add_argument(
        "--leks", type=int, default=12, metavar="N", help="of each rate (default: 12)"
    )
    flags.add_argument(
        "--birdnet_python",
        metavar="FILE",
        help="Python of BirdNET's environment; without it BirdNET is left out",
    )
    flags.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of BirdNET")
    flags.add_argument(
        "--cache",
        type=Path,
        default=ROOT / "build" / "accuracy",
        metavar="DIR",
        help="where leks and scores are kept (default: build/accuracy)",
    )
    options = flags.parse_args()
    try:
        systems = measure(options)
    except (DataError, ContractError) as error:
        raise SystemExit(f"benchmarks/accuracy.sh: {error}") from None
    print(f"{table(systems)}\n\n{source_table(systems)}")
    write_json(options.json, systems)


if __name__ == "__main__":
    main()
