"""Pictures of training and evaluation, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from model.spectrogram import spectrogram_db
from model.training.clips import Example
from model.training.measure import Reliability
from model.windows import SAMPLE_RATE_HZ


def draw_curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Learning curves: loss, and precision and recall on validation windows, epoch by epoch."""
    figure = Figure(figsize=(10, 3), layout="constrained")
    epochs = np.arange(1, len(history) + 1)
    for axes, name in zip(figure.subplots(1, 3), ("loss", "precision", "recall"), strict=True):
        if name == "loss":
            axes.plot(epochs, [row[name] for row in history], label="training")
        axes.plot(epochs, [row[f"validation_{name}"] for row in history], label="validation")
        axes.set(xlabel="epoch", title=name)
        axes.grid(alpha=0.3)
    figure.axes[0].legend()
    _save(figure, path)


def draw_clips(examples: Sequence[Example], path: Path, most: int = 4) -> None:
    """Waveform and spectrogram of some calls (top) and some backgrounds (bottom)."""
    calls = [e for e in examples if e.kind == "call"]
    others = [e for e in examples if e.kind == "background"]
    shown = [_spread(calls, most), _spread(others, most)]
    figure = Figure(figsize=(3 * most, 8), layout="constrained")
    grid = figure.subplots(4, most, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, group in enumerate(shown):
        for column, example in enumerate(group):
            audio = example.audio[: 8 * SAMPLE_RATE_HZ]
            wave, picture = grid[2 * row][column], grid[2 * row + 1][column]
            wave.set_axis_on()
            wave.plot(np.arange(len(audio)) / SAMPLE_RATE_HZ, audio, linewidth=0.3)
            wave.set_title(f"{example.source} {example.offset / SAMPLE_RATE_HZ:.1f} s", size=8)
            draw_spectrogram(picture, audio)
    _save(figure, path)


def draw_spectrogram(axes: Any, audio: npt.NDArray[np.float32]) -> None:
    """Spectrogram of a few seconds, 0 to 2.5 kHz, 60 dB deep."""
    axes.set_axis_on()
    power = spectrogram_db(audio, step_samples=160, top_hz=2500)
    axes.imshow(
        power,
        origin="lower",
        aspect="auto",
        extent=(0, len(audio) / SAMPLE_RATE_HZ, 0, 2.5),
        vmin=power.max() - 60,
        vmax=power.max(),
        cmap="magma",
    )
    axes.set(xlabel="s", ylabel="kHz")


def draw_reliability(diagram: Reliability, path: Path) -> None:
    """Share of positives against score: on the diagonal a score is a probability."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.plot(diagram.score, diagram.share, "o-")
    for x, y, count in zip(diagram.score, diagram.share, diagram.count, strict=True):
        axes.annotate(str(count), (x, y), size=7)
    axes.set(xlabel="mean score", ylabel="share of windows with a call", title="Reliability")
    _save(figure, path)


def draw_lines(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str, str],
    path: Path,
) -> None:
    """Lines x → y by name; ``labels`` are x, y and the title."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for name, (x, y) in lines.items():
        axes.plot(x, y, "o-" if len(x) < 20 else "-", label=name)
    axes.set(xlabel=labels[0], ylabel=labels[1], title=labels[2], ylim=(0, 1.03))
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def draw_scene(audio: npt.NDArray[np.float32], title: str, path: Path) -> None:
    """A spectrogram on its own: a miss, a false call, a window to review."""
    figure = Figure(figsize=(5, 2.4), layout="constrained")
    axes = figure.subplots()
    draw_spectrogram(axes, audio)
    axes.set_title(title, size=8)
    _save(figure, path)


def _spread(examples: Sequence[Example], most: int) -> list[Example]:
    places = np.linspace(0, len(examples) - 1, min(most, len(examples))).astype(int)
    return [examples[i] for i in places]


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
