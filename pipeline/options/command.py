"""A command's flags, declared once: as the fields of a frozen dataclass.

A field's type and default say what a flag takes; ``flag`` says the rest. From these come the help,
the checks, shell completion and the values themselves::

    @dataclass(frozen=True)
    class Clips:
        run: str = flag("output folder of a run", "RESULTS", word="only")
        per_site: int = flag("at most so many of each site", "N", at_least(1), default=50)

    CLIPS = Command("clips", Clips, __doc__, ("clips results",))
    flags = CLIPS.parse(argv)

Argparse does the parsing. Before it, words are sorted: those that only Beam knows go to Beam.
"""

from __future__ import annotations

import argparse
import difflib
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cached_property
from types import NoneType, UnionType
from typing import Any, Generic, Literal, NoReturn, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

from pipeline import __version__
from pipeline.options import console, values

COMMANDS = {
    "count": "count the calls in recordings (the default when flags come first)",
    "demo": "make recordings with calls at known times, count them, compare",
    "plan": "say what counting would take and cost; start nothing",
    "join": "make the tables of recordings that were counted in shares",
    "status": "say where runs into an output stand, here and on other machines",
    "rescore": "count again from kept scores, with another threshold or rule",
    "report": "make report.html from the tables of earlier runs",
    "show": "draw one recording as the model hears it",
    "serve": "open results in a browser: every call, any recording, answers",
    "review": "draw clips of a run, and make a page to label them by ear",
    "verify": "estimate from labels how many calls there are, with intervals",
    "recorders": "list a run's recorders: battery, temperature, and doubtful clocks",
    "clips": "cut calls out of recordings, each as an audio file of its own",
    "labels": "turn annotations of other programs into labels of a run's calls",
    "histories": "make detection histories for occupancy and abundance models",
    "captures": "match what neighbouring recorders caught, for capture-recapture",
    "lek": "say what calls tell of leks: bouts, rates, turns, least number of males",
    "publish-data": "make a Camtrap DP package and a Darwin Core archive of a run",
    "train": "train a model on annotated recordings or clips",
    "evaluate": "measure a model on annotated recordings",
    "examples": "write training examples as TFRecord files",
    "publish": "copy a model into a bucket and point jobs to it",
    "tables": "make or update the tables and views in BigQuery",
    "canaries": "count recordings with known counts; exit with 4 if one differs",
    "drift": "keep the scores of an output as the reference for drift warnings",
    "columns": "print docs/outputs.md, the meaning of every column",
    "completion": "print what completes these commands in bash, zsh or fish",
}

EXIT_CODES = """\
exit codes:
  0    done; each input has a row, failed ones too
  1    the job itself failed, or shares of it are missing; run it again
  2    bad arguments, no input, unreadable model or unwritable output; nothing was started
  3    done, but more than --max_failed_fraction of the inputs failed
  4    a canary was counted differently (canaries)
  130  interrupted; no file was left half-written
  143  ended by SIGTERM, as by a scheduler or a service; no file was left half-written
"""

_T = TypeVar("_T")


class UsageError(Exception):
    """Something the caller must change before anything can start: one line, exit code 2."""


@contextmanager
def refusing(*kinds: type[Exception], about: str = "") -> Iterator[None]:
    """Raises errors of these kinds as ``UsageError``, in their words.

    Args:
        kinds: that the caller can do something about.
        about: what stands before their words, such as a flag.
    """
    try:
        yield
    except BrokenPipeError:  # nobody reads on, as behind "| head"
        raise
    except kinds as error:
        raise UsageError(f"{about}{error}") from None


@dataclass(frozen=True)
class Flag:
    """How a field is given on the command line.

    Attributes:
        help: what it is, for ``--help``. Its default is added unless the text speaks of one.
        metavar: what stands for the value in the help.
        parse: makes a value of a word, or raises ValueError; the field's type does unless given.
        name: of the flag, where the field has another one.
        word: given as a bare word: instead of the flag ("only"), or as well ("too").
        choices: the values it takes, where the type does not say them.
        several: takes all words up to the next flag, not one.
        group: heading in the help.
    """

    help: str
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    name: str = ""
    word: Literal["", "only", "too"] = ""
    choices: tuple[str, ...] = ()
    several: bool = False
    group: str = ""


def flag(help: str | Flag, *more: Any, default: _T = MISSING, **named: Any) -> _T:  # type: ignore[assignment]
    """A field that is a flag, required without a default; see ``Flag`` for what else it takes."""
    declared = help if isinstance(help, Flag) else Flag(help, *more, **named)
    return field(default=default, metadata={"flag": declared})


class _Help(argparse.HelpFormatter):
    """Keeps line breaks of texts around the flags."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Their commands are indented and may be long.
        fill = textwrap.TextWrapper(
            width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        ).fill
        lines = text.splitlines()
        return "\n".join(indent + line if line.startswith(" ") else fill(line) for line in lines)


class Parser(argparse.ArgumentParser):
    """Raises what is wrong as a ``UsageError``, in one line without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see --help")

    @property
    def flags(self) -> dict[str, argparse.Action]:
        """What the words that begin with dashes do."""
        return self._option_string_actions


@dataclass(frozen=True)
class Command(Generic[_T]):
    """A command and its flags.

    Attributes:
        name: as it is typed.
        declared: the dataclass whose fields are the flags.
        description: begins with what it does; the help shows this first paragraph.
        examples: command lines, each without the program's name.
        only: the fields that are flags of this command; all that ``flag`` makes unless given.
        changed: what this command says of a field in place of the field's own ``Flag``.
        fixed: values of fields that are no flags of this command.
        notes: what stands below the flags.
        takes_beam: flags that it does not have go to Beam, as the field ``beam_args``.
    """

    name: str
    declared: type[_T]
    description: str
    examples: tuple[str, ...]
    only: tuple[str, ...] = ()
    changed: Mapping[str, Flag] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    takes_beam: bool = False

    @cached_property
    def _declarations(self) -> dict[str, tuple[Field[Any], Flag, Any]]:
        """By the field's name: the field, its flag and its type."""
        kinds = type_hints(self.declared)
        return {
            one.name: (one, self.changed.get(one.name, one.metadata["flag"]), kinds[one.name])
            for one in fields(self.declared)  # type: ignore[arg-type]
            if "flag" in one.metadata and one.name not in self.fixed
            if not self.only or one.name in self.only
        }

    @cached_property
    def parser(self) -> Parser:
        """For argparse. Nothing is required and nothing has a default: ``parse`` adds these."""
        others = ", ".join(name for name in COMMANDS if name != self.name)
        summary = " ".join(self.description.partition("\n\n")[0].split())
        result = Parser(
            prog=f"capuchinbird {self.name}",
            usage=self._usage(),
            description="\n  capuchinbird ".join([f"{summary}\n\nFor example:", *self.examples]),
            epilog=f"{self.notes}\nother commands, each with --help: {others}".lstrip(),
            formatter_class=_Help,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        groups: dict[str, Any] = {"": result}
        for name, (one, flag, kind) in self._declarations.items():
            if flag.group not in groups:
                groups[flag.group] = result.add_argument_group(flag.group)
            _add(groups[flag.group], name, one, flag, kind)
        general = result.add_argument_group("of every command")
        for name, help_text in console.MODES.items():
            general.add_argument(f"--{name}", action="store_true", help=help_text)
        general.add_argument(
            "--config",
            metavar="FILE",
            help="a TOML file with flags by name, threshold = 0.8; a table, [count], holds for one "
            "command; what is said on the command line wins",
        )
        general.add_argument("--version", action="version", version=f"capuchinbird {__version__}")
        return result

    def _usage(self) -> str:
        needed = [
            f"{flag.metavar}{' ...' * (get_origin(kind) is tuple)}"
            if flag.word
            else f"{_shown_name(name, flag)} {flag.metavar}"
            for name, (one, flag, kind) in self._declarations.items()
            if flag.word or _is_required(one)
        ]
        return " ".join(["capuchinbird", self.name, *needed, "[FLAGS]"])

    def parse(self, argv: Sequence[str]) -> _T:
        """The command line as a value. Raises UsageError where it is wrong."""
        return self.read(argv)[0]

    def read(self, argv: Sequence[str]) -> tuple[_T, frozenset[str]]:
        """As ``parse``, and the names of the fields that the caller stated."""
        given, beam_args = self._parsed(argv)
        if file := given.pop("config", None):
            more, more_beam_args = self._parsed(list(self._words_in(file)))
            more.pop("config", None)
            given, beam_args = {**more, **given}, [*more_beam_args, *beam_args]
        console.begin([name for name in console.MODES if given.pop(name, False)])
        result = {**given, **self.fixed}
        if self.takes_beam:
            result["beam_args"] = tuple(beam_args)
        missing = [
            _shown_name(name, flag)
            for name, (one, flag, _) in self._declarations.items()
            if name not in result and _is_required(one)
        ]
        if missing:
            reason = f"the following arguments are required: {', '.join(missing)}"
            self.refuse(missing, beam_args, reason)
        return self.declared(**result), frozenset(given)

    def remark(self, *lines: str) -> None:
        """Prints remarks on standard error, a line each."""
        console.remark(*lines, command=self.name)

    def refuse(self, missing: Sequence[str], beam_args: Sequence[str], reason: str) -> NoReturn:
        """Says what is missing, or how it is spelt where it seems to be there."""
        unknown = [word.partition("=")[0] for word in beam_args if word.startswith("--")]
        for name in missing:
            for close in difflib.get_close_matches(name, unknown, n=1, cutoff=0.8):
                reason = f"no flag {close}; did you mean {name}?"
        self.parser.error(reason)

    def _parsed(self, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """What was given, by field, and words for Beam."""
        ours, beam_args = self._sort(argv)
        given = vars(self.parser.parse_intermixed_args(ours))
        for name, (_, _, kind) in self._declarations.items():
            words: list[Any] = given.pop(f"{name}_word", None) or []
            if get_origin(kind) is tuple and (words or name in given):
                given[name] = (*words, *given.get(name, ()))
            elif words:
                given.setdefault(name, words[0])
                if any(word != given[name] for word in words):
                    self.parser.error(f"{' '.join(map(str, words))}: one is expected here")
        return given, beam_args

    def _sort(self, argv: Sequence[str]) -> tuple[list[str], list[str]]:
        """Our words, spelt as argparse knows them, and Beam's."""
        ours: list[str] = []
        beam_args: list[str] = []
        words = list(argv)
        in_list = False  # of choices, between which commas may stand
        while words:
            word = words.pop(0)
            if not word.startswith("--") or word == "--":
                ours += _listed(word) if in_list else [word]
                continue
            name, equals, value = word.partition("=")
            name = self._spelt(name)
            action = self.parser.flags.get(name)
            in_list = False
            if action is None:
                beam_args += [name + equals + value]
                if not equals and words and not words[0].startswith("-"):
                    beam_args.append(words.pop(0))
            elif isinstance(action.nargs, str) and action.choices:
                in_list = True
                ours += [name, *_listed(value)]
            elif action.nargs is None and not equals and words and words[0][:2] != "--":
                ours.append(f"{name}={words.pop(0)}")  # such as -03:00, which is no flag
            else:
                ours.append(name + equals + value)
        return ours, beam_args

    def _spelt(self, name: str) -> str:
        """A flag as it is declared, or as Beam declares its own: with underscores."""
        spelt = f"--{name[2:].replace('-', '_')}"
        if spelt in self.parser.flags or self.takes_beam:
            return spelt
        close = [flag for flag in self.parser.flags if flag.startswith(spelt)]
        if len(close) != 1:
            close = difflib.get_close_matches(spelt, self.parser.flags, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.parser.error(f"no flag {name}{hint}")
        return close[0]

    def _words_in(self, file: str) -> Iterator[str]:
        """The flags in a TOML file, as words."""
        try:
            with open(file, "rb") as content:
                table = tomllib.load(content)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"--config {file}: {error}") from None
        own = table.pop(self.name, {})
        common = {name: value for name, value in table.items() if name not in COMMANDS}
        for name, value in {**common, **own}.items():
            flag = self._spelt(f"--{name}")
            if isinstance(value, dict):
                raise UsageError(f"--config {file}: [{name}] is no command")
            switch = isinstance(value, bool)
            for one in value if isinstance(value, list) else [value]:
                yield f"{flag}={str(one).lower() if switch else one}"


def _listed(word: str) -> Iterator[str]:
    return filter(None, map(str.strip, word.split(",")))


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _shown_name(name: str, flag: Flag) -> str:
    return flag.metavar or name if flag.word == "only" else f"--{flag.name or name}"


def _add(group: Any, name: str, one: Field[Any], flag: Flag, kind: Any) -> None:
    """Tells argparse of a field."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    how: dict[str, Any] = {"help": flag.help + _default(one.default, flag.help)}
    if kind is bool:
        shown = flag.name or (f"no_{name}" if one.default else name)
        on, off = ("store_false", "store_true") if one.default else ("store_true", "store_false")
        group.add_argument(f"--{shown}", dest=name, action=on, **how)
        # As templates write switches.
        for action, spellings in ((on, ("true", "True")), (off, ("false", "False"))):
            spelt = [f"--{shown}={value}" for value in spellings]
            group.add_argument(*spelt, dest=name, action=action, help=argparse.SUPPRESS)
        return
    many = get_origin(kind) is tuple
    if many:
        kind = get_args(kind)[0]
    if choices := flag.choices or (get_args(kind) if get_origin(kind) is Literal else ()):
        how["choices"] = choices
        canonical = {str(choice).lower(): choice for choice in choices}
        how["type"] = lambda text: canonical.get(text.lower(), text)
    else:
        numbers = {int: values.whole, float: values.number}
        how["type"] = _complaining(flag.parse or numbers.get(kind, kind))
    if flag.metavar:
        how["metavar"] = flag.metavar
    if flag.word:
        hidden = {"help": argparse.SUPPRESS} if flag.word == "too" else {}
        group.add_argument(f"{name}_word", nargs="*", default=None, **{**how, **hidden})
    if flag.word != "only":
        if many:
            how |= {"action": "extend", "nargs": "+"} if flag.several else {"action": "append"}
        group.add_argument(f"--{flag.name or name}", dest=name, **how)


def _complaining(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _default(default: Any, help_text: str) -> str:
    nothing: tuple[Any, ...] = (None, "", (), MISSING)
    is_said = "default" in help_text or isinstance(default, bool) or default in nothing
    shown = f"{default:g}" if isinstance(default, float) else default
    return "" if is_said else f" (default: {shown})"
