"""What a model promises to its users: they read it beside the model before any worker starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from model.calls import CountingRule
from model.expected import PeakDensities
from model.windows import (
    SAMPLE_RATE_HZ,
    WINDOW_S,
    WINDOW_SAMPLES,
    Grid,
    Padding,
    windows_every,
)

CONTRACT_VERSION = 3
CONTRACT_FILE = "contract.json"
MODEL_FILE = "model.keras"
MOST_INPUT_S = 600
"""Audio that a worker can hold for one input."""


class ContractError(ValueError):
    """A contract that cannot be read, or that asks for audio the pipeline does not deliver."""


@dataclass(frozen=True)
class ServingContract:
    """Saved as ``contract.json`` beside every exported model.

    Attributes:
        name: what the model is called, for example ``onset``.
        version: tells two models of that name apart; copied into every row of output.
        label: what a score is the score of.
        hop_s: distance between windows, in seconds, for which the rule was chosen.
        rule: how scores become calls.
        front_end: the network's front end in words, for people.
        training_data_sha256: hash over everything the model was trained on.
        model_sha256: hash of the file ``model.keras``.
        sample_rate_hz, window_samples: the audio of a window.
        input_samples: audio the network takes at once.
        context_samples: of that, what lies before and after what it scores.
        step_samples: from one score of an input to the next; 0 where an input is a window and has
            one score.
        short_input_samples: shorter inputs that it takes as well, context included, ascending.
        padding: where zeros go in a window that holds less audio than its length.
        metrics: figures measured when the model was made.
        libraries: versions of the libraries that made it.
        schema_version: version of this file's layout.
    """

    name: str
    version: str
    label: str
    hop_s: float
    rule: CountingRule
    front_end: str
    training_data_sha256: str
    model_sha256: str
    sample_rate_hz: int = SAMPLE_RATE_HZ
    window_samples: int = WINDOW_SAMPLES
    input_samples: int = WINDOW_SAMPLES
    context_samples: int = 0
    step_samples: int = 0
    short_input_samples: tuple[int, ...] = ()
    padding: Padding = "end"
    metrics: Mapping[str, float] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    schema_version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        if self.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ContractError(
                f"the model wants {self.sample_rate_hz} Hz audio, this pipeline delivers "
                f"{SAMPLE_RATE_HZ} Hz"
            )
        if self.window_samples != WINDOW_SAMPLES:
            raise ContractError(
                f"the model wants windows of {self.window_samples} samples, this pipeline "
                f"delivers {WINDOW_SAMPLES}"
            )
        scored = self.input_samples - 2 * self.context_samples
        is_window = (scored, self.context_samples) == (WINDOW_SAMPLES, 0)
        is_window = is_window and not self.short_input_samples
        if not (is_window if not self.step_samples else self._has_steps(scored)):
            raise ContractError(
                f"the model wants inputs of {self.input_samples} samples with a context of "
                f"{self.context_samples} for a score every {self.step_samples}; this pipeline "
                f"delivers windows of {WINDOW_SAMPLES}, or whole steps of at most a window with "
                f"their context, {MOST_INPUT_S} s in all"
            )
        if self.padding not in get_args(Padding):
            raise ContractError(f"padding {self.padding!r}: it is one of {get_args(Padding)}")
        if not 0 < self.hop_s <= WINDOW_S:
            raise ContractError(f"hop_s {self.hop_s}: it must lie between 0 and {WINDOW_S} s")

    def _has_steps(self, scored: int) -> bool:
        shorter = [length - 2 * self.context_samples for length in self.short_input_samples]
        return (
            0 < self.step_samples <= WINDOW_SAMPLES
            and self.context_samples >= 0
            and 0 < scored <= self.input_samples <= MOST_INPUT_S * SAMPLE_RATE_HZ
            and [*shorter, scored] == sorted({*shorter, scored})
            and all(n > 0 and n % self.step_samples == 0 for n in (*shorter, scored))
        )

    def grid(self, hop_samples: int) -> Grid:
        """Where the network's inputs and scores lie.

        Args:
            hop_samples: between windows, where windows are what it takes.
        """
        if not self.step_samples:
            return windows_every(hop_samples)
        scored = self.input_samples - 2 * self.context_samples
        return Grid(
            self.input_samples,
            scored,
            self.context_samples,
            self.step_samples,
            self.short_input_samples,
        )

    @property
    def model_version(self) -> str:
        """Name and version as one word, as every row of output has it."""
        return f"{self.name}-{self.version}"

    def to_json(self) -> str:
        """The contract as the text of ``contract.json``."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ServingContract:
        """Reads what ``to_json`` wrote.

        Raises:
            ContractError: no JSON, a field missing, unknown or of the wrong kind, or a model that
                this pipeline cannot feed.
        """
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise ContractError(f"it is not JSON: {error}") from error
        if isinstance(raw, dict) and raw.get("schema_version", 0) != CONTRACT_VERSION:
            raise ContractError(
                f"contract schema {raw.get('schema_version')}, this pipeline reads "
                f"{CONTRACT_VERSION}: train the model again or use the pipeline it was made with"
            )
        if isinstance(raw, dict):  # models trained before 0.2 take inputs of one length
            raw.setdefault("short_input_samples", [])
        values = _checked(cls, raw, "contract")
        rule = _checked(CountingRule, raw["rule"], "counting rule")
        if rule["evidence"] is not None:
            rule["evidence"] = _checked(PeakDensities, rule["evidence"], "counting rule's evidence")
        try:
            if rule["evidence"] is not None:
                rule["evidence"] = PeakDensities.of(rule["evidence"])
            values["rule"] = CountingRule(**rule)
            values["short_input_samples"] = tuple(values["short_input_samples"])
            return cls(**values)
        except ContractError:
            raise
        except (TypeError, ValueError) as error:
            raise ContractError(str(error)) from error


def _checked(cls: type, raw: Any, what: str) -> dict[str, Any]:
    """``raw`` as keyword arguments of ``cls``, refused when keys are missing or unknown."""
    if not isinstance(raw, dict):
        raise ContractError(f"the {what} is not a JSON object")
    names = {f.name for f in fields(cls)}
    if missing := names - raw.keys():
        raise ContractError(f"the {what} lacks {', '.join(sorted(missing))}")
    if unknown := raw.keys() - names:
        raise ContractError(f"the {what} has unknown fields {', '.join(sorted(unknown))}")
    return dict(raw)


def read_contract(directory: str, read: Callable[[str], bytes]) -> ServingContract:
    """The contract of the model in a folder, once its model file is known to be the one described.

    Args:
        directory: what to call the folder in messages.
        read: gives a file of the folder by its name, or raises OSError.

    Raises:
        ContractError: a file is absent, the contract cannot be met, or the model file is another.
    """
    try:
        text = read(CONTRACT_FILE)
    except OSError:
        raise ContractError(
            f"{directory}: lacks {CONTRACT_FILE}; give the folder that capuchinbird train wrote"
        ) from None
    try:
        contract = ServingContract.from_json(text)
    except ContractError as error:
        raise ContractError(f"{directory}: {CONTRACT_FILE}: {error}") from None
    try:
        network = read(MODEL_FILE)
    except OSError:
        raise ContractError(f"{directory}: lacks {MODEL_FILE}") from None
    if hashlib.sha256(network).hexdigest() != contract.model_sha256:
        raise ContractError(
            f"{directory}: {MODEL_FILE} is not the file that {CONTRACT_FILE} describes (checksums "
            "differ); copy the whole folder again"
        )
    return contract
