"""What a suite has to do: which runs lack training, which records are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genbench.config.config import Config
from genbench.config.keys import changes
from genbench.errors import InputError
from genbench.suites.suite import Suite
from genbench.system.files import check_target

__all__ = ["Plan", "lacking", "needed_by", "out_of_reach", "plan_suite"]


class Plan:
    """One run of a suite, and where its records will lie.

    Making one checks that the data are here, and the weights of the feature extractor.

    Args:
        config: What to train.
        variants: Names of the evaluations that become rows; none where the run is only needed by
            others.
        out: Folder with records/ and pictures/.
        device: Where it is evaluated.
        runs: The run folder is <runs>/<dataset>/<model>/s<seed>; None: the run_dir of the
            configuration.

    Raises:
        InputError: Something is missing or wrong.
    """

    def __init__(
        self,
        config: Config,
        variants: tuple[str, ...],
        out: Path,
        device: str,
        runs: Path | None = None,
    ) -> None:
        from genbench.evaluation.resolve import resolve_run
        from genbench.runs.build import Loaded, build
        from genbench.runs.folder import Run

        self.data, model = build(config)
        if runs is not None:
            config = Config(
                config.name,
                _placed(config.resolved, config.name, runs / self.data.name),
                config.trust,
                config.origin,
            )
        self.config = config
        self.variants = variants
        self.out = out
        self.device = device
        self.run = Run(Path(config.resolved["run_dir"]))
        self.label = f"{self.data.name}/{config.name} seed {config.seed}"
        self.steps = 1 + bool(variants)
        self.budget = config.budget.images if model.players() else 0
        loaded = Loaded(self.run, config, self.data, model)
        self.records: list[Path] = []
        if variants:
            targets = resolve_run(loaded, out, variants, device).targets
            self.records = [target.path for target in targets]
        for record in self.records:
            check_target(record)

    def done(self) -> bool:
        """Whether every record is there, and whole.

        Raises:
            InputError: One is damaged.
        """
        from genbench.records.store import read_record

        records = [read_record(path) for path in self.records if path.exists()]
        return len(records) == len(self.records)

    def trained(self) -> bool:
        """Whether there is nothing left to train, since it is finished or has diverged."""
        state = self.run.state()
        # Runs of older versions have noted no needs: training notes them, and does nothing else.
        noted = state["config"] is not None
        return noted and (state["status"] == "diverged" or self.run.is_done(self.budget))


def _placed(resolved: dict[str, Any], name: str, runs: Path) -> dict[str, Any]:
    """A resolved configuration with the folder of its run, <runs>/<model>/s<seed>, and those of the
    runs that it needs.
    """
    needs = {
        key: _placed(tree, tree["name"], runs) for key, tree in resolved.get("needs", {}).items()
    }
    return {
        **resolved,
        "run_dir": str(runs / name / f"s{resolved['seed']}"),
        **({"needs": needs} if needs else {}),
    }


def needed_by(plan: Plan, plans: Sequence[Plan]) -> list[Plan]:
    """The plans of the runs that one needs."""
    folders = {tree["run_dir"] for tree in plan.config.resolved.get("needs", {}).values()}
    return [other for other in plans if str(other.run.path) in folders]


def out_of_reach(plans: Sequence[Plan]) -> dict[Plan, str]:
    """Runs without their records that can have none, since one that they need diverged, which is
    final; a line about each.
    """
    diverged: dict[Plan, Plan] = {}
    for plan in plans:  # A needed run comes before those that need it.
        for needed in needed_by(plan, plans):
            ended = diverged.get(needed) or (
                needed if needed.run.state()["status"] == "diverged" else None
            )
            if ended and not plan.trained():
                diverged.setdefault(plan, ended)
    return {
        plan: f"{plan.label}: {ended.label}, which it needs, diverged"
        for plan, ended in diverged.items()
    }


def lacking(plans: Sequence[Plan]) -> list[Plan]:
    """What is to be done, in order: runs without their records, and untrained ones that such a run
    needs.

    What is out of reach is not among them.

    Raises:
        InputError: A record is damaged.
    """
    missing = {id(plan) for plan in plans if plan.variants and not plan.done()} - {
        id(plan) for plan in out_of_reach(plans)
    }
    for plan in reversed(plans):  # A needed run comes before those that need it.
        if id(plan) in missing:
            missing |= {id(other) for other in needed_by(plan, plans) if not other.trained()}
    return [plan for plan in plans if id(plan) in missing]


def plan_suite(suite: Suite, device: str, trust: Sequence[str] = ()) -> list[Plan]:
    """A plan for every run, each with a folder of its own, after those of the runs that it needs.

    Raises:
        InputError: Something is wrong with the suite or with one of its runs.
    """
    entries = [
        Plan(config, variants, suite.out, device, suite.runs)
        for config, variants in suite.pairs(trust)
    ]
    by_folder: dict[str, Plan] = {}
    for plan in entries:
        if by_folder.setdefault(str(plan.run.path), plan) is not plan:
            raise InputError(
                f"suite {suite.name}: two entries would train in {plan.run.path}; give one of them"
                " another name"
            )
    ordered: dict[str, Plan] = {}

    def place(plan: Plan) -> None:
        for name, config in plan.config.needs.items():
            folder = config.resolved["run_dir"]
            needed = by_folder[folder] = by_folder.get(folder) or Plan(
                config, (), suite.out, device
            )
            needed_tree = needed.config.resolved
            asked_tree = config.resolved
            if differences := changes(needed_tree, asked_tree) or changes(asked_tree, needed_tree):
                raise InputError(
                    f"suite {suite.name}: {plan.label} needs another {needed.label} as its {name}"
                    f" than this suite trains: {'; '.join(differences)}"
                )
            place(needed)
        ordered.setdefault(str(plan.run.path), plan)

    for plan in entries:
        place(plan)
    return list(ordered.values())
