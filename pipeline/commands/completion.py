"""Print what completes these commands and their flags in a shell. bash reads it from
~/.local/share/bash-completion/completions/capuchinbird, zsh from a file _capuchinbird in a folder
of its $fpath, fish from ~/.config/fish/completions/capuchinbird.fish.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from pipeline.options import COMMANDS, Command, flag, say

_FILES = {"DIR": "directory", "FILE": "file", "RESULTS": "directory", "PATTERN": "file"}
"""By what stands for a value in the help: what completes it."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The flags."""

    shell: Literal["bash", "zsh", "fish"] = flag("the shell it is for", "SHELL", word="only")


COMMAND = Command(
    "completion", Flags, __doc__, ("completion bash", "completion zsh", "completion fish")
)


def main(argv: Sequence[str]) -> None:
    """Prints the script."""
    shell = COMMAND.parse(argv).shell
    import shtab

    whole = argparse.ArgumentParser("capuchinbird")
    of_commands = whole.add_subparsers()
    for name, summary in COMMANDS.items():
        command = import_module(f"pipeline.commands.{name.replace('-', '_')}")
        parser = command.COMMAND.parser
        for action in parser._actions:
            if kind := _FILES.get(str(action.metavar)):
                action.complete = shtab.FILE if kind == "file" else shtab.DIR
        of_commands.add_parser(name, help=summary, parents=[parser], add_help=False)
    say(shtab.complete(whole, shell))
