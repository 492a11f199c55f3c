"""The examples in docstrings run: every number that a docstring shows is what the code returns."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import genbench

PACKAGE = Path(genbench.__file__).parent


def with_examples() -> list[str]:
    """The modules of genbench whose docstrings hold examples."""
    paths = [path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text()]
    parts = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in sorted(paths)]
    return [".".join(part) for part in parts]


@pytest.mark.parametrize("name", with_examples())
def test_examples_of_docstrings_give_the_numbers_that_stand_there(name, capsys):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0, f"{name}: no docstring of a public object holds its examples"
    assert results.failed == 0, capsys.readouterr().out
