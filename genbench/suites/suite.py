"""A suite's file: (configuration, seed) pairs, and where their results go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.config.config import Config
from genbench.config.find import find_config
from genbench.config.overrides import Override
from genbench.config.recipe import load_config
from genbench.errors import InputError, nearest
from genbench.system.locations import checkout, expand_home, project_root, shipped
from genbench.system.yaml12 import plain, read_yaml, source

__all__ = ["Entry", "Suite", "load_suite"]


@dataclass(frozen=True)
class Entry:
    """One line of a suite: a recipe and which of its evaluations become rows."""

    config: str
    evaluations: tuple[str, ...] | None = None
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """A checked suite file."""

    name: str
    out: Path
    runs: Path
    seeds: tuple[int, ...]
    overrides: dict[str, Any]
    entries: tuple[Entry, ...]

    def pairs(self, trust: Sequence[str] = ()) -> list[tuple[Config, tuple[str, ...]]]:
        """Every run with the variants that are evaluated, seed by seed. Checks all before anything
        is trained.

        Raises:
            InputError: A configuration is missing or wrong.
        """
        return [self._pair(entry, seed, trust) for seed in self.seeds for entry in self.entries]

    def _pair(
        self, entry: Entry, seed: int, trust: Sequence[str]
    ) -> tuple[Config, tuple[str, ...]]:
        config = self._config(entry, seed, trust)
        known = {name or "default": name for name in config.evaluations}
        for name in entry.evaluations or ():
            if name not in known:
                raise InputError(
                    f"suite {self.name}: {entry.config} has no evaluation {name!r}; {nearest(name, known)}"
                )
        return config, tuple(known[name] for name in entry.evaluations or known)

    def _config(self, entry: Entry, seed: int, trust: Sequence[str]) -> Config:
        """An entry's configuration; those that it needs are what this suite would train under their
        names.
        """
        given: list[Override] = [*{**self.overrides, **entry.overrides, "seed": seed}.items()]
        config = load_config(entry.config, given, trust)
        if not config.needs:
            return config
        here = {find_config(other.config): other for other in self.entries}
        needs: list[Override] = []
        for name, tree in config.resolved["needs"].items():
            if tree["recipe"] is not None:
                needed = self._config(
                    here.get(find_config(tree["recipe"]), Entry(tree["recipe"])), seed, trust
                )
                needs.append(
                    (
                        f"needs.{name}",
                        {"recipe": tree["recipe"], "name": needed.name, **needed.resolved},
                    )
                )
            else:  # written out in the recipe
                needs += [(f"needs.{name}.{key}", value) for key, value in self.overrides.items()]
        return load_config(entry.config, [*needs, *given], trust)


def load_suite(name: str | Path) -> Suite:
    """A suite file, or the name of one in configs/suites/.

    Raises:
        InputError: It is missing, or not a suite.
    """
    folder = shipped("configs", "suites")
    path = next((p for p in (expand_home(name), folder / f"{name}.yaml") if p.is_file()), None)
    if path is None:
        raise InputError(
            f"no suite {str(name)!r}; {nearest(str(name), [p.stem for p in folder.glob('*.yaml')])}"
        )
    tree = read_yaml(path)
    right = ["out", "runs", "seeds", "overrides", "entries"]
    for key in tree:
        if key not in right:
            raise InputError(f"{path}: unknown key {key}; {nearest(key, right)}")
    entries = tree.get("entries")
    seeds = tree.get("seeds", [0])
    out = source(tree.get("out", f"runs/{path.stem}"))
    runs = source(tree["runs"]) if "runs" in tree else out
    places = {
        key: _folder(text, f"{path}: {key}", path.stem)
        for key, text in (("out", out), ("runs", runs))
    }
    _check_mapping(tree, path)
    if (
        not isinstance(entries, list)
        or not entries
        or not all(isinstance(e, dict) and "config" in e for e in entries)
    ):
        raise InputError(f"{path}: entries is a list of mappings, each with a config")
    if not isinstance(seeds, list) or not all(
        type(plain(seed)) is int and seed >= 0 for seed in seeds
    ):
        raise InputError(f"{path}: seeds is a list of integers, at least 0")
    return Suite(
        name=path.stem,
        out=places["out"],
        runs=places["runs"],
        seeds=tuple(map(int, seeds)),
        overrides=tree.get("overrides") or {},
        entries=tuple(_entry(entry, path) for entry in entries),
    )


def _folder(text: str | None, where: str, name: str) -> Path:
    """A folder of a suite, seen from the checkout."""
    if not text or "\0" in text:
        raise InputError(f"{where} is a folder such as runs/{name}, not {text!r}")
    path = project_root() / expand_home(text)
    root = checkout()
    if root is not None and root.is_relative_to(path.resolve()):
        raise InputError(
            f"{where} is {text!r}, the checkout itself or above it; right is a folder such as runs/{name}"
        )
    return path


def _entry(tree: dict[str, Any], path: Path) -> Entry:
    right = ["config", "evaluations", "overrides"]
    for key in tree:
        if key not in right:
            raise InputError(f"{path}: unknown key {key} of an entry; {nearest(key, right)}")
    _check_mapping(tree, path)
    config = source(tree["config"])
    evaluations = tree.get("evaluations")
    names = [source(name) for name in evaluations] if isinstance(evaluations, list) else []
    if config is None or not isinstance(evaluations, list | None) or None in names:
        raise InputError(f"{path}: config of an entry is a name, evaluations a list of names")
    chosen = None if evaluations is None else tuple(name for name in names if name is not None)
    return Entry(config, chosen, tree.get("overrides") or {})


def _check_mapping(tree: dict[str, Any], path: Path) -> None:
    if not isinstance(tree.get("overrides") or {}, dict):
        raise InputError(f"{path}: overrides maps keys to values, and is {tree['overrides']!r}")
    if "seed" in (tree.get("overrides") or {}):
        raise InputError(
            f"{path}: overrides cannot set the seed; seeds of the suite are those of every entry"
        )
