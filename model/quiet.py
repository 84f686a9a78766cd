"""Starting without needless things: TensorFlow's chatter, libraries that others import, and
looking for garbage among modules.

The chatter comes from C++ static initialisers, which read no logging level.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder

_NOISE = re.compile(
    rb"absl::InitializeLog\(\)|oneDNN custom operations|Could not find cuda drivers"
    rb"|cpu_feature_guard|To enable the following instructions|TensorRT|cuda_executor"
)

_NOTES = re.compile(rb"^(Note|Warning): |libmpg123|^\s*$")
"""mpg123 parts its notes by empty lines."""

_UNUSED = (
    "google.cloud.pubsub",
    "googleapiclient",
    "matplotlib",
    "pandas",
    "PIL",
    "scipy.sparse",
    "sklearn",
)
"""Beam, PyArrow and Keras import these where they are installed, for features that counting does
not use. Together they are a good quarter of the time until a job starts."""


class _NotFound(MetaPathFinder):
    """Finds some libraries not installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname in _UNUSED:
            raise ModuleNotFoundError(f"{fullname} is not used here", name=fullname)


@contextmanager
def without_unused_libraries() -> Iterator[None]:
    """For a first import of Beam or TensorFlow: it finds some optional libraries not installed.

    Afterwards they can be imported as ever.
    """
    finder = _NotFound()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def without_collecting() -> Iterator[None]:
    """For imports: what they make is there to stay, and is not looked through for garbage again.

    Looking is a quarter of the time that an import of Beam and TensorFlow takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def without_start_up_noise() -> Iterator[None]:
    """Drops known messages of a first ``import tensorflow`` from standard error.

    Everything else that is written meanwhile appears when the body has ended.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        yield
        return
    with without_lines(_NOISE):
        yield


@contextmanager
def without_decoder_notes() -> Iterator[None]:
    """Drops what mpg123 writes of damaged MP3s: the caller says what could not be decoded."""
    with without_lines(_NOTES):
        yield


@contextmanager
def without_lines(noise: re.Pattern[bytes]) -> Iterator[None]:
    """Drops some lines from standard error, also those that libraries write.

    Everything else that is written meanwhile appears when the body has ended.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not noise.search(line):
                    os.write(2, line)
