"""The lower limit: decode and resample every recording, and do nothing with it.

Nothing that listens to recordings can be faster than this. The decoder and the resampler let other
threads run meanwhile, so one thread a core is the limit of a whole machine.

Run by ``benchmarks/run.py``; prints what was heard as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor

from model.audio import read_all
from model.windows import seconds_from_samples


def _length(path: str) -> int:
    return len(read_all(path))


def main() -> None:
    """Decodes every file once."""
    parser = argparse.ArgumentParser(description="decode and resample recordings")
    parser.add_argument("recordings", nargs="+")
    recordings = parser.parse_args().recordings

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        samples = sum(pool.map(_length, recordings))
    print(json.dumps({"audio_s": seconds_from_samples(samples), "calls": 0}))


if __name__ == "__main__":
    main()
