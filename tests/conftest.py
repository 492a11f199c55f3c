"""One thread per worker: two cores run two workers, and reductions keep one order. Data is decoded once per session.

Recipes for data that must be fetched run on stand-ins of the same layout and shape: the embedded digits, enlarged.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

# before anything reads them, and for every process that a test starts
os.environ["GENBENCH_DATA"] = os.environ.get(
    "GENBENCH_TEST_DATA", str(Path(tempfile.gettempdir()) / f"genbench-tests-{os.getuid()}")
)
os.environ["WANDB_MODE"] = "offline"
os.environ["OMP_NUM_THREADS"] = "1"

import copy
import dataclasses
import importlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.config.config import Config
from genbench.config.find import configs, find_config
from genbench.config.recipe import load_config, written_out
from genbench.config.tree import set_key
from genbench.system.files import write_atomic

if TYPE_CHECKING:
    from genbench.runs.folder import Run

torch.set_num_threads(1)
# no test cuts the power, and waiting for the disk takes a core as long as a tenth of the work
os.fsync = lambda file: None

CONFIGS = configs()


def classes_of(tree: object) -> tuple[str, ...]:
    """Every class that a part of a configuration names, optimizers apart."""
    if not isinstance(tree, dict):
        return ()
    return (
        tree.get("class_path", ""),
        *(path for key, value in tree.items() if key != "optimizer" for path in classes_of(value)),
    )


@cache
def recipe_tree(name: str) -> dict[str, Any]:
    """A recipe with what it builds on; to read, not to change."""
    return written_out(find_config(name))


def parts_of(tree: object, kind: type) -> dict[str, Any]:
    """The objects of one kind that a configuration names, such as its schedules, by their class and arguments."""
    from genbench.config.instantiate import instantiate

    parts = {}
    for node in _class_nodes(tree):
        module, _, name = node["class_path"].rpartition(".")
        if issubclass(getattr(importlib.import_module(module), name), kind):
            arguments = [f"{key}={value}" for key, value in node.items() if key != "class_path"]
            parts[f"{name}({', '.join(arguments)})"] = instantiate(kind, node)
    return parts


def _class_nodes(tree: object) -> Iterator[dict[str, Any]]:
    """The parts of a configuration that name a class of the package."""
    if isinstance(tree, dict):
        if str(tree.get("class_path")).startswith("genbench."):
            yield tree
        for value in tree.values():
            yield from _class_nodes(value)


@cache
def parts_of_recipes(kind: type) -> dict[str, Any]:
    """The objects of one kind that the recipes name, each once: a new one in a recipe is tested as those before it are."""
    parts = {}
    for name in CONFIGS:
        tree = recipe_tree(name)
        # classes of data are not imported
        parts |= parts_of({key: value for key, value in tree.items() if key != "data"}, kind)
    return parts


def _kind(name: str) -> tuple[tuple[str, ...], frozenset[str]]:
    model = recipe_tree(name)["model"]
    return classes_of(model), frozenset(model) - {"conditional"}


def _last_is_best(name: str) -> tuple[bool, bool, str]:
    """A model of p(x), on the smallest data."""
    conditional = recipe_tree(name)["model"].get("conditional", False)
    return not conditional, name.startswith(("digits/", "points2d/")), name


# one recipe, on the smallest data, for every model with its networks and the arguments that it sets: what does not depend on sizes
# is tested on these; by name, the recipes that learn from others, and from which
PUPILS = {name: needs for name in CONFIGS if (needs := recipe_tree(name).get("needs"))}
_ALONE = [name for name in CONFIGS if name not in PUPILS]
DISTINCT = sorted({_kind(name): name for name in sorted(_ALONE, key=_last_is_best)}.values())


def _cheapest_is_best(name: str) -> tuple[bool, str]:
    return name.startswith("points2d/"), name


# what the frame does for a model, whatever its networks: one recipe for each class of model, the smallest; and, of the games, one
# with batch normalisation
BY_CLASS = sorted(
    {
        **{_kind(name)[0][0]: name for name in sorted(DISTINCT, key=_cheapest_is_best)},
        "batch normalisation": "digits/gan",
    }.values()
)


def absent(programs: str) -> NoReturn:
    """Skip a test for want of programs; with CI=true, where they are installed, that is an error."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and so not skipped: {programs}", pytrace=False)
    pytest.skip(programs)


def pytest_configure():
    write_stand_ins(Path(os.environ["GENBENCH_DATA"]))


TESTS = Path(__file__).parent
# a process that begins one of them last keeps the others waiting
LONGEST = (
    "contract/test_contract.py",
    "training/test_train.py",
    "tracking/test_wandb.py",
    "explore/test_explore.py",
    "promises/test_own_files.py",
    "system/test_layout.py",
    "promises/test_ddp.py",
    "suites/test_jobs.py",
    "promises/test_installed.py",
    "test_readme.py",
    "suites/test_suite.py",
    "evaluation/test_evaluate.py",
)
assert all((TESTS / name).is_file() for name in LONGEST)


def pytest_collection_modifyitems(items):
    """Files that take long come first."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


RUNS = TESTS.parent / "runs"


def pytest_sessionstart(session):
    session.runs_before = set(RUNS.rglob("*"))


def pytest_sessionfinish(session):
    """With CI=true, where nobody else works in the checkout, tests that leave something in its runs/ are an error."""
    left = sorted(map(str, set(RUNS.rglob("*")) - session.runs_before))
    if left and os.environ.get("CI") == "true" and not hasattr(session.config, "workerinput"):
        print(f"\ntests have left {len(left)} files in runs/: {', '.join(left[:3])}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def write_stand_ins(root: Path) -> None:
    """MNIST's idx files and CIFAR-10's zips, 5,240 training images (of which 5,000 are held out) and 64 test images each."""
    parts = {"train": 5_240, "test": 64}
    if all((root / f"cifar10-32x32-{part}.zip").exists() for part in parts):
        return
    from sklearn.datasets import load_digits  # takes a second

    digits = load_digits()
    for part, n in parts.items():
        rows = np.arange(n) % len(digits.target)
        y = digits.target[rows].astype(np.uint8)
        x = np.kron(digits.images[rows] * 15, np.ones((1, 3, 3))).astype(np.uint8)
        x[:, 0, 0] = np.arange(n) % 251  # no two alike
        grey = np.pad(x, ((0, 0), (2, 2), (2, 2)))
        idx = root / "MNIST" / "raw" / f"{'t10k' if part == 'test' else part}"
        write_atomic(idx.with_name(f"{idx.name}-images-idx3-ubyte"), _idx(grey))
        write_atomic(idx.with_name(f"{idx.name}-labels-idx1-ubyte"), _idx(y))
        write_atomic(
            root / f"cifar10-32x32-{part}.zip", _zip(np.pad(grey, ((0, 0), (2, 2), (2, 2))), y)
        )


def _idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def _zip(grey: np.ndarray, y: np.ndarray) -> bytes:
    archive, labels = io.BytesIO(), []
    with zipfile.ZipFile(archive, "w") as file:
        for i, (image, label) in enumerate(zip(grey, y)):
            # colours that depend on the class
            png, tint = io.BytesIO(), (np.array([1, label % 3, label % 2]) + 1) / 3
            Image.fromarray((image[..., None] * tint).astype(np.uint8)).save(
                png, "png", compress_level=1
            )
            file.writestr(f"{i:05d}.png", png.getvalue())
            labels.append([f"{i:05d}.png", int(label)])
        file.writestr("dataset.json", json.dumps({"labels": labels}))
    return archive.getvalue()


@pytest.fixture(autouse=True)
def seeded():
    """Weights that a test draws do not depend on which tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def double():
    """Float64 as the default type: tests of mathematics ask for 1e-10, not for luck."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@cache
def checked(name: str, given: tuple[str, ...]) -> Config:
    """The smoke version of a recipe; to copy, not to change. To check one takes a tenth of a second, and tests ask for thousands."""
    return load_config(name, given, smoke=True)


def tiny_in(place: Path) -> Callable[..., Config]:
    """A function from a recipe's name to its smoke version in a folder below `place`, beside which lie the runs that it needs."""

    def make(name: str, *overrides: str, folder: str = "run") -> Config:
        chosen = {
            override.partition("=")[0] for override in overrides
        }  # an option that is given twice is refused
        paths = {"run_dir": place / folder}
        # a preview takes longer than the training between two of them: tests of previews ask for them
        given = ["wandb.mode=disabled", "trainer.preview_every=1000000"]
        for need in recipe_tree(name).get("needs", {}):
            paths[f"needs.{need}.run_dir"] = place / need
            given.append(f"needs.{need}.wandb.mode=disabled")
        paths = {key: path for key, path in paths.items() if key not in chosen}
        given = [override for override in given if override.partition("=")[0] not in chosen]
        # checked somewhere else first, so that tests share what was checked
        config = checked(name, (*[f"{key}=/{key}" for key in paths], *given, *overrides))
        resolved = copy.deepcopy(config.resolved)
        for key, path in paths.items():
            set_key(resolved, key, str(path))
        return dataclasses.replace(config, resolved=resolved)

    return make


@pytest.fixture
def tiny(tmp_path):
    """A function from a recipe's name to its smoke version in a folder of the test's own."""
    return tiny_in(tmp_path)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A function from a recipe's name and overrides to its smoke run, which is trained once; to copy, not to change."""
    from genbench.training.train import train  # not in the process that only deals the tests

    @cache
    def make(name: str, *overrides: str) -> Run:
        return train(tiny_in(tmp_path_factory.mktemp("trained"))(name, *overrides))

    return make


@pytest.fixture
def trained(trained_once, tmp_path):
    """A function from a recipe's name and overrides to its smoke run, in a folder of the test's own: what `train(tiny(...))` gives.

    A test asks for it before it patches anything, since others get the same.
    """
    from genbench.runs.folder import Run

    def make(name: str, *overrides: str, folder: str = "run") -> Run:
        assert torch.get_default_dtype() == torch.float32
        assert name not in PUPILS
        source, target = trained_once(name, *overrides).path, tmp_path / folder
        shutil.copytree(source, target)
        for file in ("config.yaml", "state.json"):
            text = (target / file).read_text()
            assert str(source) in text
            (target / file).write_text(text.replace(str(source), str(target)))
        run = Run(target)
        state = json.loads((target / "state.json").read_text())
        del state["digest"]  # that of the folder it was trained in
        run.write_state(**state)
        return run

    return make
