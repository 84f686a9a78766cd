"""A trained network and its contract as a folder, and back.

The folder holds ``model.keras``, ``contract.json``, ``metrics.json`` (what was measured on it),
``golden.json`` (a few windows, described so that they can be made again, and their scores) and
``README.md`` (its card).
Loading reads the contract first and runs no code from the folder: Keras in safe mode, layers of
``model.network`` only, no pickles.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from model.contract import CONTRACT_FILE, MODEL_FILE, ContractError, ServingContract, read_contract
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES, Samples

METRICS_FILE = "metrics.json"
GOLDEN_FILE = "golden.json"
CARD_FILE = "README.md"

INNER_BATCH = 32
"""Windows scored at once. Every call of the network has this shape, so a score depends neither on
how many windows came with it nor on how the recording was cut. Longer inputs go one by one."""


_ALIGNED_BYTES = 64  # TensorFlow copies what lies elsewhere


class KerasModel(Protocol):
    """As much of ``keras.Model`` as is needed here."""

    def save(self, filepath: str) -> None: ...
    def __call__(self, inputs: Any, *, training: bool) -> Any: ...


class Scorer:
    """A network ready to score.

    Args:
        network: waveform ``[batch, input_samples]`` in, scores ``[batch, k]`` out.
        input_samples: length of an input.
        short_samples: other lengths that it takes.
    """

    def __init__(
        self,
        network: KerasModel,
        input_samples: int = WINDOW_SAMPLES,
        short_samples: Sequence[int] = (),
    ) -> None:
        batch = INNER_BATCH if input_samples == WINDOW_SAMPLES else 1
        self._graphs = {n: _Graph(network, batch, n) for n in (input_samples, *short_samples)}
        self._graphs[input_samples].load()

    def score(self, inputs: Samples) -> Samples:
        """Scores 0 to 1: float32 ``[n, input_samples]`` in, float32 ``[n, k]`` out."""
        graph = self._graphs.get(inputs.shape[-1])
        if inputs.ndim != 2 or graph is None:
            lengths = " or ".join(str(n) for n in self._graphs)
            raise ValueError(f"inputs of shape {inputs.shape}: expected [n, {lengths}]")
        return graph.score(inputs)


class _Graph:
    """A network for inputs of one length, traced when it is needed: this takes 0.2 s."""

    def __init__(self, network: KerasModel, batch: int, input_samples: int) -> None:
        self._network, self._shape = network, (batch, input_samples)
        self._buffers = _Buffers(self._shape)
        self._traced: Callable[[Any], Any] | None = None
        self._tracing = threading.Lock()

    def load(self) -> Callable[[Any], Any]:
        """The function of a tensor, traced once."""
        import tensorflow as tf

        with self._tracing:
            if self._traced is None:
                self._traced = tf.function(
                    lambda inputs: self._network(inputs, training=False),
                    input_signature=[tf.TensorSpec(self._shape, tf.float32)],
                    autograph=False,
                ).get_concrete_function()
            return self._traced

    def score(self, inputs: Samples) -> Samples:
        """Scores of inputs, a batch at a time."""
        import tensorflow as tf

        network, batch, scores, buffer = self.load(), self._shape[0], [], self._buffers.own
        for first in range(0, len(inputs), batch):
            count = min(batch, len(inputs) - first)
            buffer[:count] = inputs[first : first + count]
            buffer[count:] = 0
            # tf.constant would copy it twice.
            tensor = tf.experimental.dlpack.from_dlpack(buffer.__dlpack__())
            scores.append(network(tensor).numpy()[:count])
        return np.concatenate(scores) if scores else np.zeros((0, 1), np.float32)


class _Buffers(threading.local):
    """An array for each thread, where TensorFlow can read it without making a copy."""

    def __init__(self, shape: tuple[int, int]) -> None:
        n = math.prod(shape)
        memory = np.zeros(n + _ALIGNED_BYTES // 4, np.float32)
        first = -memory.ctypes.data % _ALIGNED_BYTES // 4
        self.own = memory[first : first + n].reshape(shape)


class LoadedModel(Scorer):
    """An exported network ready to score, with its contract."""

    def __init__(self, network: KerasModel, contract: ServingContract) -> None:
        super().__init__(network, contract.input_samples, contract.short_input_samples)
        self.contract = contract


def export_model(
    network: KerasModel,
    contract: ServingContract,
    directory: Path,
    metrics: Mapping[str, Any],
    card: Callable[[ServingContract], str] | None = None,
) -> ServingContract:
    """Writes the folder, replacing one that is there; it is never half written.

    Args:
        network: what to save.
        contract: its contract; ``model_sha256`` and ``version`` are filled in here.
        directory: the folder to make.
        metrics: everything measured, for ``metrics.json``.
        card: makes the text of ``README.md``; none is written without.

    Returns:
        The contract as written.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        network.save(str(partial / MODEL_FILE))
        digest = hashlib.sha256((partial / MODEL_FILE).read_bytes()).hexdigest()
        # Another training on the same data with the same seed may differ on another machine.
        contract = replace(contract, model_sha256=digest, version=digest[:8])
        (partial / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
        _write_json(partial / METRICS_FILE, metrics)
        if card:
            (partial / CARD_FILE).write_text(card(contract), encoding="utf-8")
        scorer = LoadedModel(_load_keras(partial / MODEL_FILE), contract)
        _write_json(partial / GOLDEN_FILE, golden_scores(scorer))
        partial.chmod(0o755)
        _replace(partial, directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return contract


def load_exported(directory: str | os.PathLike[str]) -> LoadedModel:
    """The model in a folder.

    Raises:
        ContractError: the folder lacks a file, its contract cannot be met, or its model file is
            not the one the contract was written for.
    """
    folder = Path(directory)
    contract = read_contract(str(folder), lambda name: (folder / name).read_bytes())
    return LoadedModel(_load_keras(folder / MODEL_FILE), contract)


def golden_scores(model: LoadedModel) -> dict[str, float]:
    """The highest score in an input that holds nothing but one of the golden windows."""
    grid = model.contract.grid(WINDOW_SAMPLES)
    start = np.zeros(1, np.int64)
    return {
        name: float(model.score(grid.cut(window, start, model.contract.padding)).max())
        for name, window in golden_windows().items()
    }


def golden_windows() -> dict[str, Samples]:
    """Windows whose scores are kept with a model, made from arithmetic alone.

    Silence, noise, a tone, and a call as the network should know it: growl, then flat harmonics.
    """
    time_s = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE_HZ
    noise = np.random.Generator(np.random.PCG64(1)).standard_normal(WINDOW_SAMPLES)
    moo = (time_s > 0.6) & (time_s < 2.7)
    harmonics = sum(np.cos(2 * np.pi * 140 * k * time_s + k * k) for k in range(3, 12))
    growl = np.convolve(noise, np.cos(2 * np.pi * 650 * time_s[:400]) * np.hanning(400), "same")
    call = 0.05 * moo * harmonics + 0.004 * growl * (time_s < 0.6)
    windows = {
        "silence": np.zeros(WINDOW_SAMPLES),
        "noise": 0.05 * noise,
        "tone": 0.1 * np.sin(2 * np.pi * 700 * time_s),
        "call": call + 0.005 * noise,
        "faint call": 0.3 * call + 0.05 * noise,
    }
    return {name: window.astype(np.float32) for name, window in windows.items()}


def _load_keras(path: Path) -> KerasModel:
    import keras

    import model.network  # noqa: F401  registers the layers a model file may name

    try:
        network: KerasModel = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ContractError(f"{path}: cannot be loaded ({reason})") from error
    return network


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _replace(new: Path, directory: Path) -> None:
    """Puts ``new`` where ``directory`` is. A folder cannot be swapped in one step: the old one is
    moved aside first, and back if the second step fails."""
    old = directory.with_name(f".{directory.name}-old-{os.getpid()}")
    if directory.exists():
        os.replace(directory, old)
    try:
        os.replace(new, directory)
    except OSError:
        if old.exists():
            os.replace(old, directory)
        raise
    shutil.rmtree(old, ignore_errors=True)
