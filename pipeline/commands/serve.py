"""Open the results of a run in a browser of this machine: the page, every call, any recording, and
an answer to each call with one click. Nothing is written but the answers. Ctrl-C ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands import RESULTS, SPEECH, Speech, check_speech
from pipeline.options import Command, UsageError, flag, refusing, say
from pipeline.options.values import at_least

PORT = 8765


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    run: str = flag(RESULTS)
    labels: str = flag(
        "where answers are kept (default: RESULTS/labels-browsed.csv)", "FILE", default=""
    )
    observer: str = flag("who answers", "NAME", default="")
    port: int = flag("of this machine; 0 takes a free one", "N", at_least(0), default=PORT)
    speech: Speech = flag(SPEECH, default="")


COMMAND = Command("serve", Flags, __doc__, ("serve results", "serve results --observer Ana"))


def main(argv: Sequence[str]) -> None:
    """Serves until it is interrupted. UsageError: no tables there, or the port is taken."""
    flags = COMMAND.parse(argv)
    check_speech(flags.speech)
    from pipeline.serving.answers import Answers
    from pipeline.serving.pages import Pages
    from pipeline.serving.server import HOST, server_of
    from pipeline.storage import files

    with refusing(OSError, ValueError):
        name = flags.labels or files.join(flags.run, "labels-browsed.csv")
        answers = Answers(name, flags.observer)
        pages = Pages(flags.run, answers, flags.speech)
    try:
        server = server_of(pages, flags.port)
    except (OSError, OverflowError) as error:
        raise UsageError(f"--port {flags.port}: {error}; try --port 0") from None
    say(
        f"open http://{HOST}:{server.server_address[1]}/ in a browser of this machine; Ctrl-C ends "
        f"this\nanswers are kept in {name}"
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say(f"next: capuchinbird histories {flags.run} --labels {name}" if len(answers) else "")
    finally:
        server.server_close()
