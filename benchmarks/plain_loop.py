"""The same work as the pipeline's, by the same functions, in a plain loop: what does Beam cost?

Run by ``benchmarks/run.py``; prints what was heard and counted as one line of JSON.
"""

from __future__ import annotations

import argparse
import json

from model.audio import read_all
from model.calls import find_calls
from model.export import load_exported
from model.scoring import score_recording
from model.windows import samples_from_seconds, seconds_from_samples


def main() -> None:
    """Counts every file once."""
    parser = argparse.ArgumentParser(description="count calls in a plain loop")
    parser.add_argument("recordings", nargs="+")
    parser.add_argument("--model", required=True, help="folder of an exported model")
    options = parser.parse_args()

    model = load_exported(options.model)
    contract = model.contract
    n_samples = calls = 0
    for path in options.recordings:
        samples = read_all(path)
        grid = contract.grid(samples_from_seconds(contract.hop_s))
        scores = score_recording(samples, model.score, grid, contract.padding)
        calls += len(find_calls(*scores, contract.rule, len(samples)))
        n_samples += len(samples)
    print(json.dumps({"audio_s": seconds_from_samples(n_samples), "calls": calls}))


if __name__ == "__main__":
    main()
