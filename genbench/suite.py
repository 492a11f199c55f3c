"""A suite: (configuration, seed) pairs -> runs, records, tables and the page. The same command again does what is missing.

out: runs/quickstart             # records/, pictures/, <dataset>.md and index.html; in the checkout unless absolute
runs: runs/quickstart            # run folders: <runs>/<dataset>/<model>/s<seed>
seeds: [0]
overrides: {wandb.mode: offline} # for every run
entries:
  - config: digits/vae
  - config: digits/ddpm
    evaluations: [ddim50]        # which of the recipe's; all where not given

A run that another one `needs` comes before it: that of the entry of its recipe, where there is one, else a run that is trained by the
suite's overrides and not evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from genbench.config import Config, Override, changes, find_config, load_config
from genbench.errors import GenbenchError, InputError, nearest
from genbench.files import check_target, checkout, expand_home, project_root, shipped
from genbench.yaml12 import plain, read_yaml, source

__all__ = [
    "Entry", "Plan", "Reporter", "Suite", "bench", "finish", "lacking", "load_suite", "needed_by", "out_of_reach",
    "plan_suite",
]  # fmt: skip


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
        """Every run with the variants that are evaluated, seed by seed. Checks all before anything is trained.

        Raises:
            InputError: A configuration is missing or wrong.
        """
        return [self._pair(entry, seed, trust) for seed in self.seeds for entry in self.entries]

    def _pair(self, entry: Entry, seed: int, trust: Sequence[str]) -> tuple[Config, tuple[str, ...]]:
        config = self._config(entry, seed, trust)
        known = {name or "default": name for name in config.evaluations}
        for name in entry.evaluations or ():
            if name not in known:
                raise InputError(f"suite {self.name}: {entry.config} has no evaluation {name!r}; {nearest(name, known)}")
        return config, tuple(known[name] for name in entry.evaluations or known)

    def _config(self, entry: Entry, seed: int, trust: Sequence[str]) -> Config:
        """An entry's configuration; those that it needs are what this suite would train under their names."""
        given: list[Override] = [*{**self.overrides, **entry.overrides, "seed": seed}.items()]
        config = load_config(entry.config, given, trust)
        if not config.needs:
            return config
        here = {find_config(other.config): other for other in self.entries}
        needs: list[Override] = []
        for name, tree in config.resolved["needs"].items():
            if tree["recipe"] is not None:
                needed = self._config(here.get(find_config(tree["recipe"]), Entry(tree["recipe"])), seed, trust)
                needs.append((f"needs.{name}", {"recipe": tree["recipe"], "name": needed.name, **needed.resolved}))
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
        raise InputError(f"no suite {str(name)!r}; {nearest(str(name), [p.stem for p in folder.glob('*.yaml')])}")
    tree = read_yaml(path)
    right = ["out", "runs", "seeds", "overrides", "entries"]
    for key in tree:
        if key not in right:
            raise InputError(f"{path}: unknown key {key}; {nearest(key, right)}")
    entries = tree.get("entries")
    seeds = tree.get("seeds", [0])
    out = source(tree.get("out", f"runs/{path.stem}"))
    runs = source(tree["runs"]) if "runs" in tree else out
    places = {key: _folder(text, f"{path}: {key}", path.stem) for key, text in (("out", out), ("runs", runs))}
    _check_mapping(tree, path)
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) and "config" in e for e in entries):
        raise InputError(f"{path}: entries is a list of mappings, each with a config")
    if not isinstance(seeds, list) or not all(type(plain(seed)) is int and seed >= 0 for seed in seeds):
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
        raise InputError(f"{where} is {text!r}, the checkout itself or above it; right is a folder such as runs/{name}")
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
        raise InputError(f"{path}: overrides cannot set the seed; seeds of the suite are those of every entry")


class Reporter(Protocol):
    """Who is told how a suite proceeds."""

    def begin(self, steps: int) -> None:
        """There are so many steps to do."""

    def step(self, what: str, images: int = 0) -> None:
        """The next step begins: training so many images, or something else."""

    def progress(self, images: int, loss: float | None) -> None:
        """Images seen by the run in training."""

    def note(self, line: str) -> None:
        """Something to know."""

    def beside(self) -> Reporter:
        """Another reporter, for a run that goes on at the same time; it counts its steps among these."""

    def end(self) -> None:
        """The last step is over, and none follows for now."""


def bench(suite: Suite, reporter: Reporter, device: str = "cpu", trust: Sequence[str] = (), jobs: int | None = 1) -> list[Path]:
    """Train and evaluate whatever the suite lacks, then write tables and page.

    Args:
        suite: What to do.
        reporter: Who is told about it.
        device: Where runs are evaluated.
        trust: Modules outside genbench that configurations may name.
        jobs: How many runs are trained and scored at once; None: as many as fit this machine.

    Returns:
        The files of the leaderboard.

    Raises:
        InputError: Something is wrong with the suite, before anything is trained.
        Stopped: Interrupted; the same command goes on.
        GenbenchError: Some runs could not be evaluated; the others were, and the tables are written.
    """
    from genbench.complete import depends_on, note_complete, program_digest
    from genbench.jobs import perform_all

    program = program_digest()
    plans = plan_suite(suite, device, trust)
    files = depends_on(plans)
    failures = perform_all(plans, suite.name, reporter, trust, jobs)
    written = finish(plans, suite.out, reporter)
    for line in out_of_reach(plans).values():
        reporter.note(f"not evaluated: {line}")
    if failures:
        raise GenbenchError(f"not evaluated: {', '.join(failures)}; the same command tries them again")
    if device == "cpu" and files is not None and not trust and all(plan.done() for plan in plans if plan.variants):
        note_complete(suite, program, files)
    return written


class Plan:
    """One run of a suite, and where its records will lie.

    Making one checks that the data are here, and the weights of the feature extractor.

    Args:
        config: What to train.
        variants: Which evaluations become rows; none where it is only needed by others.
        out: Folder with records/ and pictures/.
        device: Where it is evaluated.
        runs: Its folder is <runs>/<dataset>/<model>/s<seed>; None: the configuration's run_dir.

    Raises:
        InputError: Something is missing or wrong.
    """

    def __init__(self, config: Config, variants: tuple[str, ...], out: Path, device: str, runs: Path | None = None) -> None:
        from genbench.build import build
        from genbench.evaluate import expected_record
        from genbench.run import Loaded, Run

        self.data, model = build(config)
        if runs is not None:
            config = Config(config.name, _placed(config.resolved, config.name, runs / self.data.name), config.trust)
        self.config, self.variants, self.out, self.device = config, variants, out, device
        self.run = Run(Path(config.resolved["run_dir"]))
        self.label = f"{self.data.name}/{config.name} seed {config.seed}"
        self.steps = 1 + bool(variants)
        self.budget = config.budget.images if model.players() else 0
        loaded = Loaded(self.run, config, self.data, model)
        self.records = [expected_record(loaded, variant, out, device) for variant in variants]
        for record in self.records:
            check_target(record)

    def done(self) -> bool:
        """Whether every record is there, and whole.

        Raises:
            InputError: One is damaged.
        """
        from genbench.leaderboard.record import read_record

        found = [read_record(path) for path in self.records if path.exists()]
        return len(found) == len(self.records)

    def trained(self) -> bool:
        """Whether there is nothing left to train, since it is finished or has diverged."""
        state = self.run.state()
        noted = state["config"] is not None  # a run of a version that noted none: training notes it, and does nothing else
        return noted and (state["status"] == "diverged" or self.run.is_done(self.budget))


def _placed(resolved: dict[str, Any], name: str, runs: Path) -> dict[str, Any]:
    """A resolved configuration with the folder of its run, <runs>/<model>/s<seed>, and those of the runs that it needs."""
    needs = {key: _placed(tree, tree["name"], runs) for key, tree in resolved.get("needs", {}).items()}
    return {**resolved, "run_dir": str(runs / name / f"s{resolved['seed']}"), **({"needs": needs} if needs else {})}


def needed_by(plan: Plan, plans: Sequence[Plan]) -> list[Plan]:
    """The plans of the runs that one needs."""
    folders = {tree["run_dir"] for tree in plan.config.resolved.get("needs", {}).values()}
    return [other for other in plans if str(other.run.path) in folders]


def out_of_reach(plans: Sequence[Plan]) -> dict[Plan, str]:
    """Runs without their records that can have none, since one that they need diverged, which is final; a line about each."""
    diverged: dict[Plan, Plan] = {}
    for plan in plans:  # a needed run comes before those that need it
        for needed in needed_by(plan, plans):
            ended = diverged.get(needed) or (needed if needed.run.state()["status"] == "diverged" else None)
            if ended and not plan.trained():
                diverged.setdefault(plan, ended)
    return {plan: f"{plan.label}: {ended.label}, which it needs, diverged" for plan, ended in diverged.items()}


def lacking(plans: Sequence[Plan]) -> list[Plan]:
    """What is to be done, in order: runs without their records, and untrained ones that such a run needs.

    What is out of reach is not among them.

    Raises:
        InputError: A record is damaged.
    """
    missing = {id(plan) for plan in plans if plan.variants and not plan.done()} - {id(plan) for plan in out_of_reach(plans)}
    for plan in reversed(plans):  # a needed run comes before those that need it
        if id(plan) in missing:
            missing |= {id(other) for other in needed_by(plan, plans) if not other.trained()}
    return [plan for plan in plans if id(plan) in missing]


def plan_suite(suite: Suite, device: str, trust: Sequence[str] = ()) -> list[Plan]:
    """A plan for every run, each with a folder of its own, after those of the runs that it needs.

    Raises:
        InputError: Something is wrong with the suite or with one of its runs.
    """
    entries = [Plan(config, variants, suite.out, device, suite.runs) for config, variants in suite.pairs(trust)]
    by_folder: dict[str, Plan] = {}
    for plan in entries:
        if by_folder.setdefault(str(plan.run.path), plan) is not plan:
            raise InputError(f"suite {suite.name}: two entries would train in {plan.run.path}; give one of them another name")
    ordered: dict[str, Plan] = {}

    def place(plan: Plan) -> None:
        for name, config in plan.config.needs.items():
            folder = config.resolved["run_dir"]
            needed = by_folder[folder] = by_folder.get(folder) or Plan(config, (), suite.out, device)
            theirs, its = needed.config.resolved, config.resolved
            if differences := changes(theirs, its) or changes(its, theirs):
                raise InputError(
                    f"suite {suite.name}: {plan.label} needs another {needed.label} as its {name} than this suite trains: "
                    f"{'; '.join(differences)}"
                )
            place(needed)
        ordered.setdefault(str(plan.run.path), plan)

    for plan in entries:
        place(plan)
    return list(ordered.values())


def finish(plans: Sequence[Plan], out: Path, reporter: Reporter) -> list[Path]:
    """The noise floors of every protocol, the tables and the page; returns their files, none where there are no records."""
    from genbench.evaluate import noise_floor
    from genbench.leaderboard import build

    reporter.step("tables")
    rows = [plan for plan in plans if plan.variants]
    floors = {(plan.data.name, plan.config.seed, plan.config.resolved["protocol"]): plan for plan in rows}
    for (_, seed, protocol), plan in floors.items():
        noise_floor(plan.data, seed, out, plan.device, protocol)
    return build(out) if (out / "records").is_dir() else []
