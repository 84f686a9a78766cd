"""Is the least number of males right? Choruses of known sources, counted and asked.

``python -m benchmarks.lek CLIPS`` mixes calls of 1 to 6 sources of the challenge's clips, by turns
or at random, 6 to 20 dB over noise; each source calls 3 to 10 times and takes 5.5 s or more from
one of its calls to the next. Sources with a clip in which two birds call are left out. The released
model counts the calls, ``model.voice`` measures them, ``pipeline.lek.males`` says how many males
they need.

``--season FOLDER`` writes the tables of a season there instead, 3 sites of 20 nights with calls of
known sources, has ``capuchinbird lek`` look at them, and compares.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.harness import RELEASED, parser, write_json
from model.calls import Floats, find_calls
from model.export import LoadedModel, load_exported
from model.scoring import score_by_contract
from model.training.sounds import Rng, add_sound, band_power, coloured_noise, faded, gain_between
from model.voice import REACH_SAMPLES, Voice, measure_call, onset_step
from model.windows import SAMPLE_RATE_HZ, Samples
from pipeline.lek.males import LIMITED, TYPICAL, VERSATILE, Calls, OneBird, least_males
from pipeline.lek.page import write_lek
from pipeline.lek.season import Lek, season
from pipeline.lek.stretches import stretches_of
from pipeline.records import DetectedCall, RecordingCount, column_names
from pipeline.survey.findings import read_survey
from pipeline.tables.csv_text import csv_line
from pipeline.tables.schema import cells

WAYS = ("by turns", "at random")
MOST_BIRDS = 6
LEAST_REPEAT_S = 5.5
SITES = {"Alder": 2, "Birch": 4, "Cedar": 6}
NIGHTS = 20
BOUTS_AN_HOUR = 4.0


@dataclass(frozen=True)
class Clip:
    """A clip of one call; ``onset`` is where its moo begins, a sample."""

    audio: Samples
    onset: int


def read_clips(folder: Path) -> dict[str, list[Clip]]:
    """Clips of calls with an onset that is sure, by source, at 16 kHz."""
    paths = {path.stem: path for path in sorted(folder.glob("*/*"))}
    clips: dict[str, list[Clip]] = defaultdict(list)
    with (folder / "clips.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["call"] == "1" and row["sure"] == "1":
                audio, _ = soundfile.read(paths[Path(row["clip"]).stem], dtype="float32")
                onset = round(float(row["onset_s"]) * SAMPLE_RATE_HZ)
                clips[row["source"]].append(Clip(audio, onset))
    return dict(clips)


def call_times(rng: Rng, way: str, n_birds: int) -> list[tuple[float, int]]:
    """When which bird's moo begins, in order of time."""
    left = rng.integers(3, 11, n_birds)
    if way == "at random":
        times = []
        for bird, n in enumerate(left):
            free_s = 180.0 - LEAST_REPEAT_S * n
            starts = np.sort(rng.uniform(0, free_s, n)) + LEAST_REPEAT_S * np.arange(n)
            times += [(5 + float(start), bird) for start in starts]
        return sorted(times)
    order, last = rng.permutation(n_birds), np.full(n_birds, -np.inf)
    times, now_s, turn = [], 5.0, 0
    while left.sum():
        bird = int(order[turn % n_birds])
        turn += 1
        if left[bird]:
            now_s = max(now_s, float(last[bird]) + rng.uniform(LEAST_REPEAT_S, 9))
            times.append((now_s, bird))
            left[bird] -= 1
            last[bird] = now_s
            now_s += rng.uniform(3.6, 6)
    return times


def chorus(
    rng: Rng, birds: Sequence[Sequence[Clip]], times: Sequence[tuple[float, int]]
) -> Samples:
    """Clips of birds over noise, each call another of its bird's clips."""
    n = round((times[-1][0] + 8) * SAMPLE_RATE_HZ)
    audio = coloured_noise(rng, n, rng.uniform(0, 2)).astype(np.float64)
    audio *= 0.003 / np.sqrt(band_power(audio))
    nearness = [gain_between(rng, 6, 20) for _ in birds]
    for time_s, bird in times:
        clip = birds[bird][int(rng.integers(len(birds[bird])))]
        gain = 0.003 * nearness[bird] / np.sqrt(band_power(clip.audio) + 1e-12)
        add_sound(audio, faded(clip.audio, 0.1) * gain, round(time_s * SAMPLE_RATE_HZ) - clip.onset)
    return (audio / max(1.0, float(np.abs(audio).max()))).astype(np.float32)


def counted_calls(network: LoadedModel, audio: Samples) -> Calls:
    """The calls that a network counts, measured as a job does."""
    contract = network.contract
    starts, scores = score_by_contract(audio, network.score, contract)
    times, voices = [], []
    for call in find_calls(starts, scores, contract.rule, len(audio)):
        near = int(np.searchsorted(starts, call.peak_s * SAMPLE_RATE_HZ, "right")) - 1
        step = int(starts[onset_step(scores, max(0, near))])
        first = max(0, step - REACH_SAMPLES)
        onset = step - first + contract.step_samples // 2
        times.append(call.start_s)
        voices.append(measure_call(audio[first : step + REACH_SAMPLES], onset))
    return Calls(np.array(times), *_columns(voices))


def sources_of_several(network: LoadedModel, clips: dict[str, list[Clip]]) -> set[str]:
    """Sources with a clip of two calls or more: who calls in their others is not known."""
    rng = np.random.default_rng(0)
    return {
        name
        for name, of in clips.items()
        if any(len(counted_calls(network, chorus(rng, [[c]], [(5.0, 0)])).begin_s) > 1 for c in of)
    }


def _columns(voices: Sequence[Voice | None]) -> tuple[Floats, Floats]:
    pairs = [(v.spacing_hz, v.spacing_error_hz) if v else (None, None) for v in voices]
    values = np.array([[np.nan if x is None else x for x in pair] for pair in pairs])
    values = values.reshape(-1, 2)
    return values[:, 0], values[:, 1]


def main() -> None:
    """Prints the table."""
    asked = parser(__doc__)
    asked.add_argument("clips", type=Path)
    asked.add_argument("--choruses", type=int, default=20, help="of each number of birds and way")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--season", help="folder for a season's tables and page")
    options = asked.parse_args()
    clips = read_clips(options.clips)
    network = load_exported(str(RELEASED))
    several = sources_of_several(network, clips)
    print(
        f"left out, as two birds call in a clip of theirs: {', '.join(sorted(several)) or 'none'}"
    )
    clips = {name: of for name, of in clips.items() if name not in several}
    if options.season:
        print("\n".join(judge_season(clips, options.season, options.seed)))
    else:
        figures = list(judge_choruses(network, clips, options.choruses, options.seed))
        write_json(options.json, figures)


BIRDS: dict[str, OneBird] = {"low": VERSATILE, "least": TYPICAL, "high": LIMITED}


def judge_choruses(
    network: LoadedModel, clips: dict[str, list[Clip]], n: int, seed: int
) -> Iterator[dict[str, object]]:
    """How often the least number is above the truth, and within one of it."""
    above_of, within_of = [], []
    print("| way | birds | calls | counted | above | within one | mean | low above | high above |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for way in WAYS:
        for n_birds in range(1, MOST_BIRDS + 1):
            rng = np.random.default_rng((seed, WAYS.index(way), n_birds))
            numbers: dict[str, list[int]] = defaultdict(list)
            sung = counted = 0
            for _ in range(n):
                names = rng.choice(sorted(clips), n_birds, replace=False)
                times = call_times(rng, way, n_birds)
                calls = counted_calls(network, chorus(rng, [clips[name] for name in names], times))
                sung, counted = sung + len(times), counted + len(calls.begin_s)
                for name, bird in BIRDS.items():
                    numbers[name].append(least_males(calls, bird))
            least = np.array(numbers["least"])
            above = {name: float(np.mean(np.array(of) > n_birds)) for name, of in numbers.items()}
            within = float(np.mean(np.abs(least - n_birds) <= 1))
            above_of.append((above["least"], above["low"], above["high"]))
            within_of.append(within)
            print(
                f"| {way} | {n_birds} | {sung} | {counted} | {above['least']:.2f} | {within:.2f} "
                f"| {least.mean():.1f} | {above['low']:.2f} | {above['high']:.2f} |",
                flush=True,
            )
            yield {"way": way, "birds": n_birds, "least": numbers}
    above_all = np.mean(above_of, axis=0)
    print(
        f"| all | | | | {above_all[0]:.3f} | {np.mean(within_of):.3f} | "
        f"| {above_all[1]:.3f} | {above_all[2]:.3f} |"
    )


@dataclass(frozen=True)
class Truth:
    """Of a site: what was sung. ``bouts`` with a call in recorded time, ``cv`` over nights."""

    males: int
    calls: int
    hours: float
    bouts: int
    cv: float


def judge_season(clips: dict[str, list[Clip]], folder: str, seed: int) -> list[str]:
    """Writes tables of a season, reads them as the command does, and compares."""
    rng = np.random.default_rng(seed)
    voices = {
        name: [v for clip in of if (v := measure_call(clip.audio, clip.onset)) and v.spacing_hz]
        for name, of in clips.items()
        if len(of) >= 3
    }
    rows: list[RecordingCount] = []
    calls: list[DetectedCall] = []
    truths = {}
    for site, n_males in SITES.items():
        males = [voices[name] for name in rng.choice(sorted(voices), n_males, replace=False)]
        truths[site] = _sing(rng, site, males, rows, calls)
    top = Path(folder)
    top.mkdir(parents=True, exist_ok=True)
    for name, kind, table in (
        ("counts.csv", RecordingCount, rows),
        ("calls.csv", DetectedCall, sorted(calls, key=lambda c: (c.recording, c.start_s))),
    ):
        lines = [csv_line(column_names(kind)), *(csv_line(cells(row)) for row in table)]
        (top / name).write_text("".join(lines), encoding="utf-8")
    survey = read_survey(folder)
    stretches = stretches_of(survey, "night")
    result = season(stretches)
    write_lek(str(top / "lek"), result, stretches, "night", ())
    lines = [
        "| site | calls an hour: truth | lek | bouts: truth | lek | males: truth | lek "
        "| cv: truth | nights for ±20 % | overlaps, by chance, p |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in (row for row in result.rows if row.scope == "site"):
        truth = truths[row.site]
        lines.append(_line(row, truth))
        nights = [r for r in result.rows if r.site == row.site and r.scope == "period"]
        above = sum(r.least_males > truth.males for r in nights)
        near = sum(abs(r.least_males - truth.males) <= 1 for r in nights)
        lines.append(f"{row.site}: nights above the truth {above}, within one {near}, of {NIGHTS}")
    return lines


def _line(row: Lek, truth: Truth) -> str:
    overlaps = "–"
    if row.overlaps is not None:
        overlaps = f"{row.overlaps}, {row.overlaps_expected:.0f}, {row.overlaps_p}"
    return (
        f"| {row.site} | {truth.calls / truth.hours:.1f} | {row.calls_per_h:.1f} "
        f"[{row.calls_per_h_low:.1f}, {row.calls_per_h_high:.1f}] | {truth.bouts} | {row.bouts} "
        f"[{row.bouts_low}, {row.bouts_high}] | {truth.males} | {row.least_males} "
        f"[{row.least_males_low}, {row.least_males_high}] | {truth.cv:.2f} | {row.periods_needed} "
        f"[{row.periods_needed_low}, {row.periods_needed_high}] | {overlaps} |"
    )


def _sing(
    rng: Rng,
    site: str,
    males: Sequence[Sequence[Voice]],
    rows: list[RecordingCount],
    calls: list[DetectedCall],
) -> Truth:
    """A site's season: at dawn and at dusk 1.5 h in files of half an hour; birds take turns."""
    sung, bouts, rates = 0, 0, []
    for night in range(NIGHTS):
        mood = np.exp(rng.normal(0, 0.35))
        tonight = 0
        for begins in ("17:00:00", "05:00:00"):
            day = 10 + night + (begins < "12")
            start = datetime.fromisoformat(f"2024-06-01T{begins}") + timedelta(days=day - 10)
            times: list[tuple[float, int]] = []
            for first_s in np.sort(rng.uniform(0, 5400, rng.poisson(BOUTS_AN_HOUR * 1.5 * mood))):
                present = rng.permutation(len(males))[: 1 + int(rng.integers(len(males)))]
                bout = call_times(rng, "by turns", len(present))
                if times and first_s < times[-1][0] + 240:
                    continue
                times += [(first_s + t, int(present[b])) for t, b in bout if first_s + t < 5390]
                bouts += 1
            names = []
            for part in range(3):
                began = start + timedelta(minutes=30 * part)
                names.append(f"{site}/{began:%Y%m%d_%H%M%S}.wav")
                rows.append(_recording(names[-1], site, began))
            for time_s, male in times:
                voice = males[male][int(rng.integers(len(males[male])))]
                part = int(time_s // 1800)
                calls.append(_call(names[part], site, time_s - 1800 * part, voice))
            tonight += len(times)
        sung += tonight
        rates.append(tonight / 3.0)
    cv = float(np.std(rates, ddof=1) / np.mean(rates))
    return Truth(len(males), sung, NIGHTS * 3.0, bouts, cv)


def _recording(name: str, site: str, began: datetime) -> RecordingCount:
    return RecordingCount(
        recording=name, outcome="ok", call_count=0, duration_s=1800.0, heard_s=1800.0,
        silent_share=0.0, dropout_share=0.0, site=site, recorded_local=began.isoformat(),
        counting="calls", threshold=0.5, hop_s=1.25, model_version="made up", run_id="made up",
        schema_version=3,
    )  # fmt: skip


def _call(name: str, site: str, start_s: float, voice: Voice) -> DetectedCall:
    return DetectedCall(
        recording=name, start_s=start_s, end_s=start_s + 3.8, score=0.99, windows=2, site=site,
        label="Perissocephalus tricolor", model_version="made up", run_id="made up",
        schema_version=3, spacing_hz=voice.spacing_hz, spacing_error_hz=voice.spacing_error_hz,
        moo_s=voice.moo_s,
    )  # fmt: skip


if __name__ == "__main__":
    main()
