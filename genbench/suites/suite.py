"""The file of a suite: which configurations are trained with which seeds, and where results go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from genbench.config.check import settings_of
from genbench.config.config import Config
from genbench.config.find import find_config
from genbench.config.keys import own_key
from genbench.config.overrides import Override
from genbench.config.recipe import load_config
from genbench.errors import InputError, nearest
from genbench.system.locations import checkout, expand_home, project_root, shipped
from genbench.system.typed import Count, Filled, Pattern, Text, read_yaml_as
from genbench.system.yaml12 import check_yaml_name

__all__ = ["Entry", "Suite", "SuiteFile", "load_suite"]

# The name of a suite has at most this many bytes, so that names of files that begin with it, such
# as the folder of a submission to SLURM, are possible everywhere.
_LONGEST_NAME = 200

Folder = Annotated[str, Pattern(r"[^\0]+", "a folder such as runs/mine")]


@dataclass(frozen=True)
class Entry:
    """One line of a suite: a recipe, and which of its evaluations become rows.

    Args:
        config: Name or path of the recipe.
        evaluations: Names of evaluations; None: all of the recipe.
        overrides: Keys of the recipe and their values. They count more than those of the suite.
    """

    config: Text
    evaluations: Annotated[tuple[str, ...], Filled()] | None = None
    overrides: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _refuse_twice("evaluations", self.evaluations or ())
        _refuse_placed(self.overrides)


@dataclass(frozen=True)
class SuiteFile:
    """What the file of a suite may say.

    Args:
        entries: What is trained, in this order, for every seed.
        out: Folder of records and boards, seen from the checkout; empty: runs/<name of the suite>.
        runs: Folder of the run folders; empty: that of `out`.
        seeds: Training seeds of every entry.
        overrides: Keys of recipes and their values, for every entry.
    """

    entries: Annotated[tuple[Entry, ...], Filled()]
    out: Folder = ""
    runs: Folder = ""
    seeds: Annotated[tuple[Count, ...], Filled()] = (0,)
    overrides: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _refuse_twice("seeds", self.seeds)
        _refuse_placed(self.overrides)


@dataclass(frozen=True)
class Suite:
    """A suite whose file is checked.

    Args:
        name: Name of the file, without .yaml.
        out: Folder of records and boards.
        runs: Folder of the run folders.
        seeds: Training seeds of every entry.
        overrides: Keys of recipes and their values, for every entry.
        entries: What is trained, in this order, for every seed.
    """

    name: str
    out: Path
    runs: Path
    seeds: tuple[int, ...]
    overrides: dict[str, Any]
    entries: tuple[Entry, ...]

    def pairs(self, trust: Sequence[str] = ()) -> list[tuple[Config, tuple[str, ...]]]:
        """Every run of the suite, seed by seed; all are checked before anything is trained.

        Args:
            trust: Modules outside genbench that configurations may name.

        Returns:
            Configurations, each with the names of the evaluations that become rows.

        Raises:
            InputError: A configuration is missing or wrong.
        """
        return [self._pair(entry, seed, trust) for seed in self.seeds for entry in self.entries]

    def _pair(
        self, entry: Entry, seed: int, trust: Sequence[str]
    ) -> tuple[Config, tuple[str, ...]]:
        config = self._config(entry, seed, trust)
        known = tuple(config.evaluations)
        for name in entry.evaluations or ():
            if name not in known:
                raise InputError(
                    f"suite {self.name}: {entry.config} has no evaluation {name!r};"
                    f" {nearest(name, known)}"
                )
        if entry.evaluations is None:
            return config, known
        return config, entry.evaluations

    def _config(self, entry: Entry, seed: int, trust: Sequence[str]) -> Config:
        """The configuration of an entry. Each run that it needs is the one that this suite trains
        by the same recipe.
        """
        tree = {**self.overrides, **(entry.overrides or {}), "seed": seed}
        overrides: list[Override] = [*tree.items()]
        config = load_config(entry.config, overrides, trust)
        if not config.needs:
            return config
        by_recipe = {find_config(other.config): other for other in self.entries}
        needs: list[Override] = []
        for name, need in config.resolved["needs"].items():
            recipe = need["recipe"]
            if recipe is None:
                # The recipe holds the configuration of the needed run, written out.
                needs += [(f"needs.{name}.{key}", value) for key, value in self.overrides.items()]
                continue
            other = by_recipe.get(find_config(recipe), Entry(recipe))
            needed = self._config(other, seed, trust)
            content = {"recipe": recipe, "name": needed.name, **needed.resolved}
            needs.append((f"needs.{name}", content))
        return load_config(entry.config, [*needs, *overrides], trust)


def load_suite(name: str | Path) -> Suite:
    """Read a suite.

    Args:
        name: A YAML file, or the name of one in configs/suites/.

    Raises:
        InputError: The file is missing, or a key or a value is wrong.
    """
    folder = shipped("configs", "suites")
    for path in (expand_home(name), folder / f"{name}.yaml"):
        if path.is_file():
            check_yaml_name(path, "suite", "genbench list names the shipped ones")
            return _read_suite(path)
    names = [path.stem for path in folder.glob("*.yaml")]
    raise InputError(f"no suite {str(name)!r}; {nearest(str(name), names)}")


def _read_suite(path: Path) -> Suite:
    if (size := len(os.fsencode(path.stem))) > _LONGEST_NAME:
        raise InputError(
            f"the name {path.stem[:40]}... of a suite has {size} bytes, and is part of names of "
            f"files: at most {_LONGEST_NAME} are right"
        )
    file = read_yaml_as(SuiteFile, path)
    out = file.out or f"runs/{path.stem}"
    return Suite(
        name=path.stem,
        out=_folder(out, f"{path}: out"),
        runs=_folder(file.runs or out, f"{path}: runs"),
        seeds=file.seeds,
        overrides=file.overrides or {},
        entries=file.entries,
    )


def _folder(text: str, where: str) -> Path:
    """A folder of a suite, seen from the checkout."""
    path = project_root() / expand_home(text)
    root = checkout()
    if root is not None and root.is_relative_to(path.resolve()):
        raise InputError(
            f"{where} is {text!r}, the checkout itself or above it,"
            " not a folder below it, such as runs/mine"
        )
    return path


def _refuse_placed(overrides: dict[str, Any] | None) -> None:
    """Refuse overrides of what the suite itself decides: seeds and folders of runs.

    Raises:
        ValueError: The line names the key.
    """
    for path, _ in settings_of(overrides or {}):
        key = ".".join(map(str, path))
        if key == "seed":
            raise ValueError(
                "overrides cannot set the seed; seeds of the suite are those of every entry"
            )
        if own_key(key) == "run_dir":
            raise ValueError(
                f"overrides cannot set {key}; the folder of a run is "
                "<runs>/<dataset>/<model>/s<seed>, and runs of the suite says where"
            )


def _refuse_twice(key: str, values: Sequence[Any]) -> None:
    """Refuse a list that names something twice.

    Raises:
        ValueError: The line names it.
    """
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f"{key}: {value} is given twice; once is right")
