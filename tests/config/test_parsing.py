"""What is parsed again is parsed once, and is what a new parse would give."""

from __future__ import annotations

import importlib
import shutil
import sys

import pytest
from conftest import CONFIGS
from jsonargparse import ArgumentError, ArgumentParser

from genbench.config.check import _parser
from genbench.config.class_paths import injected_names
from genbench.config.parsing import parse
from genbench.config.recipe import load_config
from genbench.config.tree import nested, own_warnings_only
from genbench.data.images import ImageData


class Counted:
    """A parser that counts what it parses."""

    def __init__(self, parser: ArgumentParser) -> None:
        self.parser = parser
        self.parses = 0

    def parse_object(self, tree):
        self.parses += 1
        return self.parser.parse_object(tree)


@pytest.fixture
def parser():
    made = ArgumentParser(exit_on_error=False)
    made.add_subclass_arguments(ImageData, "data")
    made.add_argument("--number", type=float, default=0)
    return Counted(made)


@pytest.mark.parametrize("name", CONFIGS[::7])
def test_the_second_time_gives_what_a_parse_gives(name):
    resolved = dict(load_config(name).resolved)
    resolved.pop("needs", None)
    parser = _parser(frozenset(injected_names(resolved["model"]["class_path"])))
    with own_warnings_only():
        anew = parser.parse_object(nested(resolved))
    assert parse(parser, resolved) == parse(parser, resolved) == anew


def test_one_text_is_parsed_once_and_its_copies_are_apart(parser):
    tree = {"data": {"class_path": "genbench.data.points2d.Points2d", "levels": 3}}
    first, second = parse(parser, tree), parse(parser, tree)
    assert parser.parses == 1 and first == second
    first.data.init_args.levels = 4
    assert second.data.init_args.levels == parse(parser, tree).data.init_args.levels == 3
    tree["data"]["levels"] = 5
    assert parse(parser, tree).data.init_args.levels == 5 and parser.parses == 2


@pytest.mark.parametrize(("a", "b"), [(1, 1.0), (1, True)])
def test_equal_numbers_of_two_kinds_are_two_texts(a, b, parser):
    for number in (a, b):
        try:
            parse(parser, {"number": number})
        except ArgumentError:
            assert number is True
    assert parser.parses == 2


def test_an_error_is_said_each_time(parser):
    wrong = {"data": {"class_path": "genbench.data.points2d.Points2d", "levls": 3}}
    for _ in range(2):
        with pytest.raises(ArgumentError, match="levls"), own_warnings_only():
            parse(parser, wrong)


USERS = """
import torch

class MyAdam(torch.optim.Adam):
    def __init__(self, params: list, lr: float = {lr}):
        super().__init__(params, lr=lr)
"""


@pytest.mark.parametrize(
    "given",
    ["model.optimizer={}", "model.optimizer={{class_path: {}}}"],
    ids=["name", "class_path"],
)
def test_a_class_of_a_user_is_read_anew(given, tmp_path, monkeypatch):
    """A module that is written again and imported again, as in a notebook."""
    monkeypatch.syspath_prepend(tmp_path)
    module = "genbench_users"
    seen = []
    for lr in (0.5, 0.25):
        (tmp_path / f"{module}.py").write_text(USERS.format(lr=lr))
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        config = load_config("digits/vae", [given.format(f"{module}.MyAdam")], (module,))
        seen.append(config.resolved["model"]["optimizer"]["lr"])
    assert seen == [0.5, 0.25]
    sys.modules.pop(module)
