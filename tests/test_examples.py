"""The examples in docstrings show what happens."""

import doctest
import importlib
import re

import pytest

from tests.test_house import modules

WITH_EXAMPLES = sorted(
    name
    for name, path in modules().items()
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, attempted = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert attempted
    assert not failed
