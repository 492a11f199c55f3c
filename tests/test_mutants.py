"""The list of mistakes on purpose, `benchmarks/mutants.py`, fits the code: it is run by hand."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from genbench.system.locations import project_root

SCRIPT = project_root() / "benchmarks" / "mutants.py"
spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
assert spec is not None and spec.loader is not None
mutants = importlib.util.module_from_spec(spec)
sys.modules["mutants"] = mutants
spec.loader.exec_module(mutants)


@cache
def content_of(path):
    return (project_root() / path).read_text()


@cache
def functions_of(name):
    return {
        node.name
        for node in ast.parse(content_of(f"tests/{name}")).body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_mistake_can_be_made_and_its_tests_exist():
    wrong = []
    for mutation in mutants.MUTATIONS:
        text = content_of(mutation.path)
        if text.count(mutation.old) != 1:
            wrong.append(
                f"{mutation.path}: {mutation.old!r} stands there {text.count(mutation.old)} times"
            )
            continue
        before, after = ast.parse(text), ast.parse(text.replace(mutation.old, mutation.new))
        if ast.dump(before) == ast.dump(after):
            wrong.append(f"{mutation.path}: {mutation.name}: nothing is changed")
        for test in mutation.tests:
            name, _, function = test.partition("::")
            if function.partition("[")[0] not in functions_of(name):
                wrong.append(f"{mutation.path}: {mutation.name}: no test {test}")
    assert wrong == []


def test_mistakes_are_told_apart_and_spread_over_the_package():
    names = [mutation.name for mutation in mutants.MUTATIONS]
    assert len(set(names)) == len(names)
    edits = [(mutation.file, mutation.old, mutation.new) for mutation in mutants.MUTATIONS]
    assert len(set(edits)) == len(edits)
    subjects = {mutation.file.partition("/")[0] for mutation in mutants.MUTATIONS}
    assert {"model.py", "rng.py", "training", "config", "evaluation"} <= subjects
    assert {"data", "models", "nets", "metrics", "leaderboard"} <= subjects


def test_contributing_says_how_many_there_are():
    figure = re.search(
        r"makes (\d+) mistakes on purpose", " ".join(content_of("CONTRIBUTING.md").split())
    )
    assert figure is not None
    assert int(figure[1]) == len(mutants.MUTATIONS)


def test_a_mistake_is_made_in_a_copy_and_undone(tmp_path):
    (tmp_path / "genbench").mkdir()
    path = tmp_path / "genbench" / "a.py"
    path.write_text("x = 1\n")
    with mutants.edited(tmp_path, mutants.Mutation("one", "a.py", "x = 1", "x = 2", ())):
        assert path.read_text() == "x = 2\n"
    assert path.read_text() == "x = 1\n"
    absent = mutants.Mutation("two", "a.py", "y", "z", ())
    with pytest.raises(ValueError, match="stands there 0 times"), mutants.edited(tmp_path, absent):
        pytest.fail("it was made")


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_a_mistake_in_data_finds_and_leaves_no_decoded_copies(tmp_path, monkeypatch, before):
    monkeypatch.delenv("GENBENCH_TEST_DATA", raising=False)
    if before is not None:
        monkeypatch.setenv("GENBENCH_TEST_DATA", before)
    with mutants.own_data(tmp_path, mutants.Mutation("one", "nets/a.py", "x", "y", ())):
        assert os.environ.get("GENBENCH_TEST_DATA") == before
    with mutants.own_data(tmp_path, mutants.Mutation("two", "data/a.py", "x", "y", ())):
        assert list(tmp_path.iterdir()) == [Path(os.environ["GENBENCH_TEST_DATA"])]
    assert not list(tmp_path.iterdir())
    assert os.environ.get("GENBENCH_TEST_DATA") == before
