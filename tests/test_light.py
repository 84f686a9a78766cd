"""Light modules stay light: a worker, a notebook or --help must not wait for TensorFlow."""

import subprocess
import sys

import pytest

LIGHT = [
    "model.audio",
    "model.calls",
    "model.contract",
    "model.windows",
    "pipeline.options",
    "pipeline.records",
]


def heavy_modules_after(code):
    code += (
        "\nimport sys"
        "\nprint(*{m.split('.')[0] for m in sys.modules} & {'tensorflow', 'keras', 'apache_beam'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[-2]


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_neither_tensorflow_nor_beam(module):
    assert heavy_modules_after(f"import {module}") == ""


def test_help_imports_neither_tensorflow_nor_beam():
    code = (
        "import contextlib\n"
        "from pipeline.__main__ import main\n"
        "with contextlib.suppress(SystemExit): main(['count', '--help'])\n"
    )
    assert heavy_modules_after(code) == ""


def test_the_model_package_does_not_know_the_pipeline():
    code = (
        "import pathlib, importlib, sys\n"
        "for path in sorted(pathlib.Path('model').rglob('*.py')):\n"
        "    text = path.read_text()\n"
        "    assert 'import pipeline' not in text and 'from pipeline' not in text, path\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
