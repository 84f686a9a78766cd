"""Draw one recording or clip as the model hears it: waveform, spectrogram, scores and calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.audio.decoders import AudioError
from model.audio.recording import Recording
from model.calls import Call, CountingRule, find_calls
from model.contract import ServingContract
from model.quiet import without_decoder_notes
from model.scoring import score_by_contract
from model.spectrogram import spectrogram_db
from model.windows import SAMPLE_RATE_HZ, WINDOW_S, Samples, Starts, samples_from_seconds
from pipeline.commands import MODEL
from pipeline.inference.model_folder import check_model
from pipeline.inference.score import InputScorer, ModelLoader
from pipeline.options import RELEASED_MODEL, Command, flag, refusing, say
from pipeline.options.values import above, not_negative
from pipeline.report.spectrograms import TOP_HZ, shown_range_db
from pipeline.storage import files
from pipeline.tables.score_scale import TICKS, score_place, score_text

MOST_DRAWN_S = 600.0
_WAVE, _SCORE, _CALL = "#555555", "#0072B2", "#D55E00"
_SCORE_OF = "score of window\n(at its middle)", "score\n(where a moo begins)"
_COLUMNS = 2000  # a picture shows no more


@dataclass(frozen=True)
class ScoredStretch:
    """A stretch of a recording, its scores and its calls.

    Attributes:
        recording_s: length of the whole recording.
        begin_s: where the stretch begins in it.
        samples: its audio, mono, 16 kHz.
        starts: first samples of what the scores are of, from the start of the stretch.
        scores: float32 ``[n]``.
        calls: times from the start of the stretch.
    """

    recording_s: float
    begin_s: float
    samples: Samples
    starts: Starts
    scores: Samples
    calls: tuple[Call, ...]
    rule: CountingRule


def score_stretch(
    recording: str, scorer: InputScorer, contract: ServingContract, begin_s: float, length_s: float
) -> ScoredStretch:
    """Reads and scores a stretch of a recording, with the contract's windows and counting rule.

    Raises:
        AudioError: the recording cannot be opened, or the stretch lies past its end.
    """
    with files.open_to_read(recording) as source, Recording(source, recording) as opened:
        first = samples_from_seconds(begin_s)
        n_samples = min(opened.info.n_samples - first, samples_from_seconds(length_s))
        if n_samples <= 0:
            raise AudioError(f"{recording}: ends before {begin_s:g} s")
        samples = opened.read(first, n_samples).samples
        recording_s = opened.info.duration_s
    starts, scores = score_by_contract(samples, scorer.score, contract)
    calls = find_calls(starts, scores, contract.rule, n_samples)
    return ScoredStretch(recording_s, begin_s, samples, starts, scores, calls, contract.rule)


def draw(stretch: ScoredStretch, title: str) -> Any:
    """A matplotlib figure: waveform, spectrogram, scores and calls over the same time."""
    from matplotlib.figure import Figure

    end_s = stretch.begin_s + len(stretch.samples) / SAMPLE_RATE_HZ
    figure = Figure(figsize=(12, 7), layout="constrained")
    wave, levels, scores = figure.subplots(3, 1, sharex=True, height_ratios=[1, 2.4, 1.2])
    part = f" ({stretch.begin_s:g} to {end_s:.1f} s of {stretch.recording_s:.1f} s)"
    is_whole = end_s - stretch.begin_s >= stretch.recording_s - 0.1
    calls = f"{len(stretch.calls)} call{'' if len(stretch.calls) == 1 else 's'}"
    figure.suptitle(f"{title}{'' if is_whole else part}: {calls}")

    low, high = _envelope(stretch.samples)
    times = np.linspace(stretch.begin_s, end_s, len(low))
    wave.fill_between(times, low, high, color=_WAVE, linewidth=0.3)
    wave.set(ylabel="amplitude", ylim=(-1, 1))

    levels_db = spectrogram_db(stretch.samples, top_hz=TOP_HZ)
    darkest, brightest = shown_range_db(levels_db)
    levels.imshow(
        levels_db,
        origin="lower",
        aspect="auto",
        extent=(stretch.begin_s, end_s, 0, TOP_HZ / 1000),
        cmap="cividis",
        vmin=darkest,
        vmax=brightest,
        interpolation="antialiased",
    )
    levels.set(ylabel="frequency (kHz)")

    middles_s = stretch.begin_s + stretch.starts / SAMPLE_RATE_HZ + stretch.rule.score_s / 2
    threshold = float(score_place(stretch.rule.threshold))
    places = score_place(stretch.scores)
    scores.plot(middles_s, places, color=_SCORE, marker=".", markersize=3, linewidth=1)
    scores.axhline(threshold, color=_WAVE, linestyle="--", linewidth=1)
    scores.annotate(
        f"threshold {score_text(stretch.rule.threshold)}",
        (1, threshold),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        ha="right",
        color=_WAVE,
    )
    scores.set(ylabel=_SCORE_OF[stretch.rule.score_s < WINDOW_S], ylim=(-0.02, 1.08))
    scores.set_yticks(score_place(TICKS), [f"{score:g}" for score in TICKS])
    scores.set(xlabel="time in the recording (s)", xlim=(stretch.begin_s, end_s))
    for call in stretch.calls:
        for panel in (wave, levels, scores):
            panel.axvspan(
                stretch.begin_s + call.start_s,
                stretch.begin_s + call.end_s,
                color=_CALL,
                alpha=0.18 if panel is not levels else 0,
                linewidth=0,
            )
        for edge_s in (call.start_s, call.end_s):
            levels.axvline(stretch.begin_s + edge_s, color="white", linestyle=":", linewidth=1.2)
    return figure


def _envelope(samples: Samples) -> tuple[Samples, Samples]:
    """Lowest and highest sample in each of at most ``_COLUMNS`` stretches."""
    parts = np.array_split(samples, min(_COLUMNS, len(samples)))
    return (
        np.array([part.min() for part in parts], np.float32),
        np.array([part.max() for part in parts], np.float32),
    )


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    file: str = flag("the recording; a path or a gs:// URI", "FILE", word="only")
    model: str = flag(MODEL, default=RELEASED_MODEL)
    output: str = flag("the picture to write", "PNG")
    begin_s: float = flag("where in the recording to begin", "SECONDS", not_negative, default=0.0)
    length_s: float = flag("how much to draw at most", "SECONDS", above(0), default=MOST_DRAWN_S)


COMMAND = Command("show", Flags, __doc__, ("show recordings/a.wav --output a.png",))


def main(argv: Sequence[str]) -> None:
    """Draws. UsageError: there is nothing to draw or no model to ask."""
    flags = COMMAND.parse(argv)
    with refusing(AudioError, OSError):
        with (
            without_decoder_notes(),
            files.open_to_read(flags.file) as source,
            Recording(source, flags.file),
        ):
            pass  # a file that cannot be opened is refused before the model is loaded
        contract = check_model(flags.model)
        scorer = ModelLoader(flags.model)()
        stretch = score_stretch(flags.file, scorer, contract, flags.begin_s, flags.length_s)
        Path(flags.output).parent.mkdir(parents=True, exist_ok=True)
        title = files.identity(flags.file).rpartition("/")[2]
        draw(stretch, title).savefig(flags.output, format="png", dpi=120)
    for call in stretch.calls:
        start_s, end_s = (stretch.begin_s + t for t in (call.start_s, call.end_s))
        say(f"call from {start_s:.1f} to {end_s:.1f} s, score {score_text(call.score)}")
    say(flags.output, picture=flags.output, calls=[asdict(call) for call in stretch.calls])
