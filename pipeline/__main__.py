"""``capuchinbird``, also ``python -m pipeline``: finds the command and runs it."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn

from model.quiet import without_collecting
from pipeline import __version__
from pipeline.options import COMMANDS, EXIT_CODES, UsageError, console
from pipeline.options.extras import remedy_for


def overview() -> str:
    """The commands, a line each."""
    lines = [f"  {name:12} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: capuchinbird COMMAND [FLAGS]",
            "",
            "Count Capuchinbird calls in recordings, for example:",
            "  capuchinbird count recordings/ --output results",
            "",
            "commands (each explains its flags with --help):",
            *lines,
            "",
            EXIT_CODES,
        ]
    )


def check_credentials(arguments: Sequence[str]) -> None:
    """Refuses buckets where there are no credentials.

    Raises:
        UsageError: it says how to get some.
    """
    asks_for_help = {"-h", "--help", "--version"} & {*arguments}
    if asks_for_help or not any("gs://" in argument for argument in arguments):
        return
    from pipeline.storage.buckets import has_credentials

    if not has_credentials():
        raise UsageError(
            "gs://: no Google credentials on this machine; run: gcloud auth application-default "
            "login, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"
        )


class _PlainWords(logging.Formatter):
    """What this program logs is written as it writes everything else: in one line, for people."""

    def format(self, record: logging.LogRecord) -> str:
        who = record.name.partition(".")[0]
        ours = who in ("pipeline", "model")
        return f"{'capuchinbird' if ours else record.name}: {super().format(record)}"


def _log_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainWords())
    # Beam 2.77 says so of an installation without the extra gcp, at its import.
    handler.addFilter(lambda record: "apitools not found" not in record.getMessage())
    return handler


def module_of(command: str) -> str:
    """The module in ``pipeline.commands`` that a command lies in."""
    return command.replace("-", "_")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code that ``options.EXIT_CODES`` explains."""
    # Each parser of arguments looks for translations, and Beam makes hundreds of parsers.
    os.environ["LANGUAGE"] = "C"
    # NumPy's matrices are small here: a thread for each core would spin and find nothing to do.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    logging.basicConfig(handlers=[_log_handler()])
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview(), end="")
        return 0
    if arguments[0] == "--version":
        print(f"capuchinbird {__version__}")
        return 0
    name = "count" if arguments[0].startswith("-") else arguments.pop(0)
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "see capuchinbird --help"
        if os.path.exists(name) or "://" in name:
            hint = f"to count recordings: capuchinbird count {name} --output results"
        console.remark(f"no command {name}; {hint}")
        return 2
    console.begin([mode for mode in console.MODES if f"--{mode}" in arguments])
    code, error = _run(name, arguments)
    if error:
        console.remark(error, command=name)
    console.conclude(name, code, error)
    return code


def _run(name: str, arguments: Sequence[str]) -> tuple[int, str]:
    """Runs a command. Returns its exit code and what was wrong."""
    try:
        check_credentials(arguments)
        with without_collecting():
            command = import_module(f"pipeline.commands.{module_of(name)}")
        return int(command.main(arguments) or 0), ""
    except UsageError as error:
        return 2, str(error)
    except _Terminated:
        return 143, "ended by SIGTERM; no file was left half-written"
    except ImportError as error:
        if remedy := remedy_for(error):
            return 2, remedy
        raise
    except KeyboardInterrupt:
        return 130, "interrupted; no file was left half-written"


class _Terminated(KeyboardInterrupt):
    """A scheduler or a service ends this process: all is tidied up as after Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # who asks again need not wait
    raise _Terminated


def run_and_leave() -> NoReturn:
    """``main`` as a process, which ends without taking TensorFlow apart, object by object."""
    code = 1
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):  # Windows pipes text in an old encoding
        sys.stdout.reconfigure(errors="backslashreplace")

    def leave() -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(code)

    atexit.register(leave)  # the first, and so called last: all others have cleaned up
    try:
        code = main()
    except BrokenPipeError:  # nobody reads on, as behind "| head"
        sys.exit(code)
    except SystemExit as exit:  # what argparse raises
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        raise
    sys.exit(code)


if __name__ == "__main__":
    run_and_leave()
