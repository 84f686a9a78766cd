"""A trained network and its contract as a folder, and back.

The folder holds ``model.keras``, ``contract.json``, ``metrics.json`` (what was measured on it) and
``golden.json`` (a few windows, described so that they can be made again, and their scores).
Loading reads the contract first and runs no code from the folder: Keras in safe mode, layers of
``model.network`` only, no pickles.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from model.contract import CONTRACT_FILE, MODEL_FILE, ContractError, ServingContract, read_contract
from model.windows import SAMPLE_RATE_HZ, WINDOW_SAMPLES, Samples

METRICS_FILE = "metrics.json"
GOLDEN_FILE = "golden.json"

INNER_BATCH = 32
"""Windows scored at once. Every call of the network has this shape, so a score depends neither on
how many windows came with it nor on how the recording was cut."""


class KerasModel(Protocol):
    """As much of ``keras.Model`` as is needed here."""

    def save(self, filepath: str) -> None: ...
    def __call__(self, inputs: Any, *, training: bool) -> Any: ...


class Scorer:
    """A network ready to score.

    Args:
        network: waveform ``[batch, 48000]`` in, score ``[batch, 1]`` out.
    """

    def __init__(self, network: KerasModel) -> None:
        import tensorflow as tf

        self._score = tf.function(
            lambda windows: network(windows, training=False)[:, 0],
            input_signature=[tf.TensorSpec([INNER_BATCH, WINDOW_SAMPLES], tf.float32)],
        ).get_concrete_function()
        self._constant = tf.constant

    def score(self, windows: Samples) -> Samples:
        """Scores of windows, float32 ``[n, 48000]`` in, float32 ``[n]`` out, each 0 to 1."""
        if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES:
            raise ValueError(f"windows of shape {windows.shape}: expected [n, {WINDOW_SAMPLES}]")
        scores = np.empty(len(windows), dtype=np.float32)
        for first in range(0, len(windows), INNER_BATCH):
            batch = np.ascontiguousarray(windows[first : first + INNER_BATCH], dtype=np.float32)
            count = len(batch)
            if count < INNER_BATCH:
                batch = np.concatenate(
                    [batch, np.zeros((INNER_BATCH - count, WINDOW_SAMPLES), np.float32)]
                )
            scores[first : first + count] = self._score(self._constant(batch)).numpy()[:count]
        return scores


class LoadedModel(Scorer):
    """An exported network ready to score, with its contract."""

    def __init__(self, network: KerasModel, contract: ServingContract) -> None:
        super().__init__(network)
        self.contract = contract


def export_model(
    network: KerasModel,
    contract: ServingContract,
    directory: Path,
    metrics: Mapping[str, Any],
) -> ServingContract:
    """Writes the folder, replacing one that is there; it is never half written.

    Args:
        network: what to save.
        contract: its contract; ``model_sha256`` and ``version`` are filled in here.
        directory: the folder to make.
        metrics: everything measured, for ``metrics.json``.

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
        windows = golden_windows()
        scores = Scorer(_load_keras(partial / MODEL_FILE)).score(np.stack(list(windows.values())))
        _write_json(
            partial / GOLDEN_FILE,
            {name: float(score) for name, score in zip(windows, scores, strict=True)},
        )
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
