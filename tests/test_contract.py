import json
from typing import Any

import pytest

from model.contract import ContractError, ServingContract
from model.windows import Grid, windows_every
from tests.fakes import contract


def test_a_contract_survives_its_file() -> None:
    made = contract(metrics={"recall": 0.5}, libraries={"keras": "3"}, padding="front")
    assert ServingContract.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate_hz": 44_100}, "wants 44100 Hz"),
        ({"window_samples": 32_000}, "windows of 32000 samples"),
        ({"padding": "middle"}, "padding"),
        ({"input_samples": 50_000}, "inputs of 50000 samples"),
        ({"context_samples": 100}, "a context of 100"),
        ({"input_samples": 60_000, "step_samples": 7000}, "a score every 7000"),
        ({"input_samples": 10**8, "step_samples": 1000}, "600 s in all"),
        ({"short_input_samples": [30_000]}, "inputs of 48000 samples"),
        ({"hop_s": 4.0}, "hop_s"),
        ({"schema_version": 99}, "schema 99"),
        ({"surprise": 1}, "unknown fields surprise"),
        ({"rule": {"threshold": 0.5}}, "counting rule lacks"),
        ({"rule": "loud ones"}, "not a JSON object"),
        ({"hop_s": "one second"}, "not supported"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    raw = {**json.loads(contract().to_json()), **change}
    with pytest.raises(ContractError, match=message):
        ServingContract.from_json(json.dumps(raw))


def test_a_model_with_context_has_a_grid_of_its_own() -> None:
    made = contract(input_samples=60_000, context_samples=10_000, step_samples=2000)
    assert made.grid(16_000) == Grid(60_000, 40_000, 10_000, 2000)
    assert contract().grid(16_000) == windows_every(16_000)
    with_context = {"input_samples": 60_000, "context_samples": 10_000, "step_samples": 2000}
    shorter = contract(**with_context, short_input_samples=(22_000, 30_000))
    assert shorter.grid(16_000) == Grid(60_000, 40_000, 10_000, 2000, (22_000, 30_000))
    assert ServingContract.from_json(shorter.to_json()) == shorter
    for lengths in ((30_000, 22_000), (21_000,), (20_000,), (60_000,)):
        with pytest.raises(ContractError):
            contract(**with_context, short_input_samples=lengths)


def test_a_contract_without_shorter_inputs_is_read() -> None:
    raw = json.loads(contract().to_json())
    del raw["short_input_samples"]
    assert ServingContract.from_json(json.dumps(raw)) == contract()


def test_a_contract_of_an_older_layout_is_refused_in_one_line() -> None:
    raw = json.loads(contract().to_json())
    del raw["input_samples"]
    with pytest.raises(ContractError, match="schema 1, this pipeline reads 3: train"):
        ServingContract.from_json(json.dumps({**raw, "schema_version": 1}))


def test_a_missing_field_is_named() -> None:
    raw = json.loads(contract().to_json())
    del raw["label"]
    with pytest.raises(ContractError, match="lacks label"):
        ServingContract.from_json(json.dumps(raw))


def test_something_else_is_refused() -> None:
    with pytest.raises(ContractError, match="not JSON"):
        ServingContract.from_json("call me a contract")
