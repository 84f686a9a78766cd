"""A model's folder, here or in a bucket: which version it means, whether it can be used."""

from __future__ import annotations

import json

from model.contract import ContractError, ServingContract, read_contract
from pipeline.options import UsageError
from pipeline.storage import files

POINTER = "current.json"
"""Names the version in use in a folder of versions, see ``pipeline.commands.publish``."""


def current_version(model: str) -> str:
    """The folder that a folder of versions points to; any other folder is itself."""
    if files.is_local(model):
        return model
    try:
        pointer = json.loads(files.read_bytes(files.join(model, POINTER)))
    except OSError:
        return model
    return files.join(model, pointer["version"])


def check_model(model: str) -> ServingContract:
    """The contract of the model in a folder.

    Raises:
        UsageError: no whole model is there, or this pipeline cannot feed it.
    """
    try:
        return read_contract(model, lambda name: files.read_bytes(files.join(model, name)))
    except ContractError as error:
        raise UsageError(f"--model {error}") from None
