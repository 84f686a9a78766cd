"""How many bytes does hearing a long MP3 take, segment by segment?

Writes one, looks at it as a job does, then decodes every segment as workers do, each from a file of
its own that counts what is read.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import soundfile

from model.audio import Recording
from model.contract import CONTRACT_FILE, ServingContract
from model.decoders import AudioInfo
from model.mp3 import Bytes, find_stream
from model.training.synth import synthesise_recording
from model.windows import samples_from_seconds
from pipeline.inference.decode import decode_segment, plan_segments, read_header
from pipeline.options import RELEASED_MODEL
from pipeline.records import Listed

SAMPLE_RATE_HZ = 48_000
LOOP_S = 60
ENCODED_MINUTES = 10
WAYS = {
    "constant bit rate": {"bitrate_mode": "CONSTANT", "compression_level": 0.9},
    "variable bit rate": {"bitrate_mode": "VARIABLE", "compression_level": 0.8},
}


class CountedFile(io.FileIO):
    """A file that counts the bytes that are read of it."""

    n_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(-1 if size is None else size) or b""
        self.n_bytes += len(content)
        return content

    def readinto(self, buffer: Any) -> int:
        n = super().readinto(buffer) or 0
        self.n_bytes += n
        return n


def write_mp3(hours: float, settings: dict[str, Any]) -> bytes:
    """Ten minutes of forest, encoded once and repeated: frames may follow each other as they like.

    A tag would state the length of the ten minutes, so there is none.
    """
    minute = synthesise_recording(LOOP_S, (8.0, 33.0), SAMPLE_RATE_HZ, 2, seed=3)
    content = io.BytesIO()
    with soundfile.SoundFile(content, "w", SAMPLE_RATE_HZ, 2, format="MP3", **settings) as file:
        for _ in range(ENCODED_MINUTES):
            file.write(minute)
    stream = find_stream(Bytes(content))
    assert stream
    return content.getvalue()[stream.first :] * round(hours * 60 / ENCODED_MINUTES)


def measure(path: Path, segment_s: float, every: int) -> dict[str, float]:
    """Bytes read, in file sizes: for the look at the header, and for all segments.

    Args:
        path: an MP3.
        segment_s: how long segments are.
        every: decode the first of so many segments only.
    """
    contract = ServingContract.from_json(Path(RELEASED_MODEL, CONTRACT_FILE).read_text())
    grid = contract.grid(samples_from_seconds(contract.hop_s))
    listed, segment = Listed(str(path), path.stat().st_size), samples_from_seconds(segment_s)
    with CountedFile(path) as source, Recording(source, str(path)) as opened:
        way, info = opened.way(), opened.info
        looked = source.n_bytes
    header = read_header(listed, grid, segment)
    read = share = 0.0
    plans = list(plan_segments(listed, header, grid, segment, way))
    for plan in plans[::every]:
        assert plan.way
        looked_up = AudioInfo(info.sample_rate_hz, info.channels, info.frames, 0, info.encoding)
        with (
            CountedFile(path) as source,
            Recording(source, str(path), known=(looked_up, plan.way)) as opened,
        ):
            decode_segment(opened, plan, grid)
            read += source.n_bytes
        share += plan.share
    return {
        "size_mb": listed.size / 1e6,
        "segments": len(plans),
        "look": looked / listed.size,
        "all_segments": read / share / listed.size,
    }


def main() -> None:
    """Measures, prints, writes the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--segment_s", type=float, default=300.0)
    parser.add_argument("--every", type=int, default=1, help="decode one of so many segments")
    parser.add_argument("--folder", default=".", help="where to put the recording meanwhile")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    figures = {}
    for way, settings in WAYS.items():
        path = Path(options.folder, "reads.mp3")
        try:
            path.write_bytes(write_mp3(options.hours, settings))
            figures[way] = of_way = measure(path, options.segment_s, options.every)
        finally:
            path.unlink(missing_ok=True)
        print(
            f"{way}: {of_way['size_mb']:.0f} MB, {of_way['segments']} segments; the look reads "
            f"{of_way['look']:.3f} × its size, all segments {of_way['all_segments']:.3f} ×",
            flush=True,
        )
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
