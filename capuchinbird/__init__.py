"""Count Capuchinbird calls from Python.

    tables = capuchinbird.count("recordings", "results")
    tables.counts[["recording", "outcome", "call_count"]]
    capuchinbird.draw("recordings/a.wav", length_s=60)

What is in ``__all__`` is public and changes only with a note in the changelog; ``model`` and
``pipeline`` may change at any time. DataFrames need pandas, the extra ``python`` of the wheel
(docs/installing.md).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from model.calls import Call
from pipeline import __version__
from pipeline.options import RELEASED_MODEL

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.figure import Figure

    from pipeline.records import DetectedCall, RecordingCount

    Audio = npt.NDArray[np.floating]

__all__ = [
    "Call",
    "CommandError",
    "Tables",
    "__version__",
    "calls_in",
    "count",
    "draw",
    "read",
    "run",
]

_Flag = str | os.PathLike[str] | float | bool | None
_DONE = (0, 3)  # as EXIT_CODES has it: all done, or done and some recordings failed


class CommandError(Exception):
    """A command was refused or failed. The command has printed why.

    Attributes:
        exit_code: as ``capuchinbird --help`` explains it.
    """

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(f"capuchinbird {command} ended with exit code {exit_code}")
        self.exit_code = exit_code


@dataclass(frozen=True)
class Tables:
    """What an output folder holds; columns as docs/outputs.md describes them.

    Attributes:
        counts: a row for each recording.
        calls: a row for each call.
        run: run.json.
    """

    counts: pd.DataFrame
    calls: pd.DataFrame
    run: Mapping[str, Any]


def run(command: str, *words: str | os.PathLike[str], **flags: _Flag | Iterable[str]) -> int:
    """Runs a command as the command line does, in this process.

    Args:
        command: such as ``count``, ``rescore`` or ``clips``.
        words: what stands without a flag, such as a folder.
        flags: by name: ``threshold=0.9`` is ``--threshold=0.9``, ``True`` the flag alone, an
            iterable the flag several times; None and False leave it out.

    Returns:
        0, or 3 where some recordings could not be read.

    Raises:
        CommandError: it was refused or failed.
    """
    from pipeline.__main__ import main

    arguments = [command, *(os.fspath(word) for word in words)]
    for name, value in flags.items():
        several = isinstance(value, Iterable) and not isinstance(value, str)
        for one in value if several else [value]:  # type: ignore[union-attr]
            if one is True:
                arguments.append(f"--{name}")
            elif one is not None and one is not False:
                text = os.fspath(one) if isinstance(one, os.PathLike) else one
                arguments.append(f"--{name}={text}")
    code = main(arguments)
    if code not in _DONE:
        raise CommandError(command, code)
    return code


def count(
    recordings: str | os.PathLike[str],
    output: str | os.PathLike[str],
    **flags: _Flag | Iterable[str],
) -> Tables:
    """Counts the recordings in a folder or bucket; what ``output`` holds already is kept.

    Args:
        recordings: a folder, a file, a pattern or a gs:// URI.
        output: the folder of the tables.
        flags: of ``capuchinbird count``, see ``run``.

    Raises:
        CommandError: as ``run``.
    """
    run("count", recordings, output=output, **flags)
    return read(output)


def read(output: str | os.PathLike[str]) -> Tables:
    """Reads the tables of an output folder or of a gs:// URI.

    Text is ``string``, numbers are ``Int64`` and ``float64``, times ``datetime64``. Where a cell is
    empty the value is missing.

    Raises:
        OSError: no run has written there, or a table is damaged.
    """
    from pipeline.records import DetectedCall, RecordingCount
    from pipeline.tables.read import read_results

    results = read_results(os.fspath(output))
    return Tables(
        _frame(results.recordings, RecordingCount), _frame(results.calls, DetectedCall), results.run
    )


def calls_in(
    audio: Audio,
    sample_rate_hz: float,
    *,
    model: str = RELEASED_MODEL,
    threshold: float | None = None,
) -> tuple[Call, ...]:
    """The calls in audio that is in memory, found as in a recording of that audio.

    Args:
        audio: −1 to 1, ``[n]`` or ``[n, channels]``.
        sample_rate_hz: of it.
        model: a folder or a gs:// URI of a model.
        threshold: score that makes a call, 0 to 1; the model's own unless given.

    Raises:
        AudioError: there is no audio.
        ValueError: the threshold does not lie between 0 and 1.
    """
    import soundfile

    from model.audio.recording import read_all
    from model.calls import find_calls
    from model.scoring import score_by_contract

    file = io.BytesIO()
    soundfile.write(file, audio, round(sample_rate_hz), subtype="FLOAT", format="WAV")
    file.seek(0)
    samples = read_all(file)
    loaded = _model(model)
    contract = loaded.contract
    rule = contract.rule if threshold is None else replace(contract.rule, threshold=threshold)
    starts, scores = score_by_contract(samples, loaded.score, contract)
    return find_calls(starts, scores, rule, len(samples))


def draw(
    recording: str | os.PathLike[str],
    begin_s: float = 0.0,
    length_s: float = 600.0,
    *,
    model: str = RELEASED_MODEL,
) -> Figure:
    """A picture of a recording as the model scores it: waveform, spectrogram, scores and calls.

    Args:
        recording: a file or a gs:// URI.
        begin_s, length_s: where to begin, and how much to draw at most.
        model: a folder or a gs:// URI of a model.

    Raises:
        AudioError: the recording cannot be opened, or ends before ``begin_s``.
    """
    from pipeline.commands import show

    name, loaded = os.fspath(recording), _model(model)
    stretch = show.score_stretch(name, loaded, loaded.contract, begin_s, length_s)
    return show.draw(stretch, os.path.basename(name))  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _model(directory: str) -> Any:
    from pipeline.inference.score import ModelLoader

    return ModelLoader(directory)()


def _frame(rows: Iterable[object], kind: type[RecordingCount] | type[DetectedCall]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    from pipeline.tables.parquet import arrow_table

    types = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
    return arrow_table(list(rows), kind).to_pandas(types_mapper=types.get)
