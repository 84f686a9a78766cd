"""Copy a model into a folder of its version, then point to it.

A version is a folder of its own, written once and never changed, so a job that runs on keeps its
model. Only when all of it is there does the pointer ``current.json`` name it, in one write.

    gs://BUCKET/models/onset-1/model.keras, contract.json
    gs://BUCKET/models/current.json

``--model=gs://BUCKET/models`` then means the version that the pointer names at the job's start, and
``--model=gs://BUCKET/models/onset-1`` that version. To go back, publish the older one again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model.contract import CONTRACT_FILE, MODEL_FILE
from pipeline.commands import MODEL
from pipeline.inference.model_folder import POINTER, check_model
from pipeline.options import RELEASED_MODEL, Command, UsageError, flag, refusing, say
from pipeline.storage import buckets, files

NOTES = ("README.md", "metrics.json", "golden.json", "reference.json")
"""Not needed for scoring, but kept with the model where they lie beside it."""


def publish(model: str, destination: str) -> str:
    """Copies a model into a version folder, then points to it.

    Args:
        model: folder with the model, here or in a bucket.
        destination: ``gs://BUCKET/FOLDER`` for all versions.

    Returns:
        The version's folder.

    Raises:
        UsageError: no whole model there, or other content under the same version.
    """
    contract = check_model(model)
    version = contract.model_version
    folder = files.join(destination, version)
    beside = [name for name in NOTES if files.exists(files.join(model, name))]
    for name in (*beside, MODEL_FILE, CONTRACT_FILE):
        content = files.read_bytes(files.join(model, name))
        bucket, path = buckets.located(files.join(folder, name))
        blob = bucket.blob(path)
        if not blob.exists():
            # Generation 0 is no object: two people cannot both write a version.
            blob.upload_from_string(content, if_generation_match=0, checksum="crc32c")
        elif blob.download_as_bytes() != content:
            raise UsageError(
                f"{folder}: {name} of another model lies there under this version; "
                "export the model under a new one"
            )
    pointer: dict[str, Any] = {
        "version": version,
        "model_sha256": contract.model_sha256,
        "published_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(pointer, indent=2) + "\n"
    bucket, path = buckets.located(files.join(destination, POINTER))
    current = bucket.blob(path)
    current.cache_control = "no-store"  # else the old version would be served for up to an hour
    current.upload_from_string(text, content_type="application/json", checksum="crc32c")
    return folder


def _in_a_bucket(text: str) -> str:
    if not text.startswith("gs://"):
        raise ValueError(f"{text}: write it as gs://BUCKET/FOLDER")
    return text


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    model: str = flag(MODEL, default=RELEASED_MODEL)
    to: str = flag("where all versions lie", "gs://BUCKET/FOLDER", _in_a_bucket)


COMMAND = Command(
    "publish", Flags, __doc__, ("publish --model my_model --to gs://my-bucket/models",)
)


def main(argv: Sequence[str]) -> None:
    """Publishes a model."""
    flags = COMMAND.parse(argv)
    with refusing(OSError):
        folder = publish(flags.model, flags.to.rstrip("/"))
    say(folder, version=folder)
