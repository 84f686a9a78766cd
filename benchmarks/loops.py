"""Two ways to go through recordings without Beam, run by ``benchmarks/run.py``.

``decode`` is the lower limit: decode and resample every recording, a thread a core, and do nothing
with it. ``count`` does the pipeline's work by the same functions in a plain loop: what does Beam
cost? Each prints seconds of audio and calls as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from model.audio.recording import read_all
from model.calls import find_calls
from model.windows import seconds_from_samples


def decode(recordings: list[str]) -> Iterator[tuple[int, int]]:
    """Samples of each recording, and 0 calls. The decoder lets other threads run meanwhile."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda path: (len(read_all(path)), 0), recordings)


def count(recordings: list[str], model_folder: str) -> Iterator[tuple[int, int]]:
    """Samples and calls of each recording."""
    from model.export import load_exported  # TensorFlow, for which decoding need not wait
    from model.scoring import score_by_contract

    model = load_exported(model_folder)
    for path in recordings:
        samples = read_all(path)
        scores = score_by_contract(samples, model.score, model.contract)
        yield len(samples), len(find_calls(*scores, model.contract.rule, len(samples)))


def main() -> None:
    """Goes through every file once."""
    parser = argparse.ArgumentParser(description="decode recordings, or count calls in them")
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--model", help="folder of an exported model; without it, only decode")
    flags = parser.parse_args()
    of_each = count(flags.recordings, flags.model) if flags.model else decode(flags.recordings)
    samples, calls = map(sum, zip(*of_each, strict=True))
    print(json.dumps({"audio_s": seconds_from_samples(samples), "calls": calls}))


if __name__ == "__main__":
    main()
