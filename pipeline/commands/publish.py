"""``python -m pipeline.commands.publish``: put an exported model where jobs find it.

A version is a folder of its own, written once and never changed, so a job that runs on keeps its
model. Only when all of it is there does the pointer ``current.json`` name it, in one write.

    gs://BUCKET/models/compact-1/model.keras, contract.json
    gs://BUCKET/models/current.json

``--model=gs://BUCKET/models`` then means the version that the pointer names at the job's start, and
``--model=gs://BUCKET/models/compact-1`` that version. To go back, publish the older one again.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any

from model.contract import CONTRACT_FILE, MODEL_FILE
from pipeline.options import RELEASED_MODEL, UsageError
from pipeline.storage import files
from pipeline.storage.buckets import storage_client

POINTER = "current.json"
NOTES = ("metrics.json", "golden.json", "reference.json")
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
    from pipeline.launch import read_contract

    contract = read_contract(model)
    version = contract.model_version
    folder = files.join(destination, version)
    bucket = storage_client().bucket(destination.removeprefix("gs://").partition("/")[0])
    beside = [name for name in NOTES if files.exists(files.join(model, name))]
    for name in (*beside, MODEL_FILE, CONTRACT_FILE):
        content = files.read_bytes(files.join(model, name))
        blob = bucket.blob(_object_name(files.join(folder, name)))
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
    current = bucket.blob(_object_name(files.join(destination, POINTER)))
    current.cache_control = "no-store"  # else the old version would be served for up to an hour
    current.upload_from_string(text, content_type="application/json", checksum="crc32c")
    return folder


def resolve(model: str) -> str:
    """The folder that a folder of versions points to; any other folder is itself."""
    if files.is_local(model):
        return model
    try:
        pointer = json.loads(files.read_bytes(files.join(model, POINTER)))
    except OSError:
        return model
    return files.join(model, pointer["version"])


def _object_name(uri: str) -> str:
    return uri.removeprefix("gs://").partition("/")[2]


def main(argv: list[str] | None = None) -> int:
    """Publishes a model. Returns an exit code, see ``options.EXIT_CODES``."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.commands.publish",
        description="Copy a model into a folder of its version, then point to it.",
    )
    parser.add_argument(
        "--model", default=RELEASED_MODEL, metavar="DIR", help="default: the released model"
    )
    parser.add_argument("--to", required=True, metavar="gs://BUCKET/FOLDER")
    known = parser.parse_args(argv)
    if not known.to.startswith("gs://"):
        parser.error(f"--to {known.to}: write it as gs://BUCKET/FOLDER")
    try:
        print(publish(known.model, known.to.rstrip("/")))
    except (UsageError, OSError) as error:
        print(f"pipeline.commands.publish: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
