"""Models as folders: what is written is what is read, whole or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from model.calls import CountingRule
from model.contract import CONTRACT_FILE, MODEL_FILE, ContractError, ServingContract
from model.export import (
    GOLDEN_FILE,
    METRICS_FILE,
    Scorer,
    export_model,
    golden_scores,
    load_exported,
)
from model.quiet import without_start_up_noise
from model.windows import ONSETS

pytestmark = pytest.mark.slow  # each needs a network

with without_start_up_noise():
    import tensorflow as tf

    from model.network import for_serving, onset


Exported = tuple[tf.keras.Model, ServingContract, Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    tf.keras.utils.set_random_seed(4)
    network = for_serving(onset())
    contract = ServingContract(
        name="onset",
        version="1",
        label="Perissocephalus tricolor",
        hop_s=1.0,
        rule=CountingRule(threshold=0.6, before_s=2.5, after_s=1.2),
        front_end="none",
        training_data_sha256="0" * 64,
        model_sha256="",
        input_samples=ONSETS.input_samples,
        context_samples=ONSETS.context_samples,
        step_samples=ONSETS.step_samples,
        metrics={"f1": 0.5},
    )
    folder = tmp_path_factory.mktemp("export") / "model"
    written = export_model(network, contract, folder, {"f1": 0.5})
    return network, written, folder


def test_what_was_written_is_read(exported: Exported) -> None:
    network, contract, folder = exported
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [CONTRACT_FILE, MODEL_FILE, METRICS_FILE, GOLDEN_FILE]
    )
    loaded = load_exported(folder)
    assert loaded.contract == contract
    noise = np.random.default_rng(0).normal(0, 0.1, (2, ONSETS.input_samples)).astype(np.float32)
    ours = Scorer(network, ONSETS.input_samples).score(noise)
    assert np.array_equal(loaded.score(noise), ours)
    assert ours.shape == (2, ONSETS.hop_samples // ONSETS.step_samples)


def test_golden_scores_are_replayed(exported: Exported) -> None:
    folder = exported[2]
    golden = json.loads((folder / GOLDEN_FILE).read_text())
    assert golden_scores(load_exported(folder)) == pytest.approx(golden, abs=1e-6)


def test_exporting_again_replaces_and_leaves_nothing_else(exported: Exported) -> None:
    network, contract, folder = exported
    export_model(network, contract, folder, {})
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_failed_export_leaves_the_old_model(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, contract, folder = exported
    before = (folder / CONTRACT_FILE).read_bytes()
    monkeypatch.setattr("model.export.golden_windows", lambda: {"wrong": np.zeros((3, 3))})
    with pytest.raises(ValueError, match="broadcast"):
        export_model(network, contract, folder, {})
    assert (folder / CONTRACT_FILE).read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_is_no_model_is_refused(exported: Exported, tmp_path: Path) -> None:
    folder = exported[2]
    with pytest.raises(ContractError, match=r"lacks contract\.json"):
        load_exported(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / MODEL_FILE).write_bytes((other / MODEL_FILE).read_bytes() + b"x")
    with pytest.raises(ContractError, match="checksums differ"):
        load_exported(other)
    (other / MODEL_FILE).unlink()
    with pytest.raises(ContractError, match=r"lacks model\.keras"):
        load_exported(other)


def test_a_model_file_runs_no_code(exported: Exported, tmp_path: Path) -> None:
    """Keras' safe mode refuses layers made of pickled Python."""
    contract = exported[1]
    inputs = tf.keras.layers.Input((48_000,))
    outputs = tf.keras.layers.Lambda(lambda x: x[:, :1] * 0)(inputs)
    network = tf.keras.Model(inputs, outputs)
    with pytest.raises(ContractError, match="cannot be loaded"):
        export_model(network, contract, tmp_path / "unsafe", {})
    assert not (tmp_path / "unsafe").exists()
