"""A suite written down: every run with its configuration as it was resolved, so that other
processes can do them one by one.

A cluster's jobs work from it: `genbench bench MANIFEST --task K` trains and evaluates run K,
`genbench bench MANIFEST --tables` writes the tables and says what is lacking. A suite file that
changes meanwhile changes nothing about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.config.check import check_config
from genbench.config.config import Config
from genbench.errors import Diverged, GenbenchError, InputError, nearest
from genbench.records.parts import DEFAULT
from genbench.suites.bench import finish
from genbench.suites.plan import Plan, lacking, out_of_reach
from genbench.suites.reporter import Reporter
from genbench.suites.stages import perform
from genbench.suites.suite import Suite
from genbench.system.files import last_line
from genbench.system.json_files import read_json, write_json
from genbench.system.typed import Count, read_value

__all__ = ["Manifest", "read_manifest", "run_task", "write_tables"]


@dataclass(frozen=True)
class Manifest:
    """The runs of a suite.

    Args:
        path: File of the manifest. Logs, and <K>.json when run K is done, lie beside it.
        suite: Name of the suite.
        out: Folder with records/ and pictures/.
        device: Where runs are evaluated.
        runs: The configuration of each run, with its run_dir, and the names of the evaluations that
            become rows. A needed run comes before those that need it.
        tasks: Numbers of the runs that were lacking.
        trust: Modules outside genbench that the configurations may name, as the command line says
            and never the file.
    """

    path: Path
    suite: str
    out: Path
    device: str
    runs: tuple[tuple[Config, tuple[str, ...]], ...]
    tasks: tuple[int, ...]
    trust: tuple[str, ...] = ()

    @staticmethod
    def of(path: Path, suite: Suite, plans: list[Plan], device: str, tasks: list[int]) -> Manifest:
        """The manifest of a suite.

        Args:
            path: Where it will be written.
            suite: The suite.
            plans: All runs of the suite.
            device: Where runs are evaluated.
            tasks: Numbers of the runs that are lacking.
        """
        runs = tuple((plan.config, plan.variants) for plan in plans)
        return Manifest(path, suite.name, suite.out, device, runs, tuple(tasks))

    def write(self) -> None:
        """Write the manifest, so that it appears whole or not at all."""
        runs = [
            {"name": c.name, "config": c.resolved, "variants": variants}
            for c, variants in self.runs
        ]
        tree = {"suite": self.suite, "out": str(self.out), "device": self.device}
        write_json(self.path, {**tree, "runs": runs, "tasks": self.tasks})

    def status_file(self, k: int) -> Path:
        """The file that says how run k ended."""
        return self.path.parent / f"{k}.json"

    def log_file(self, k: int) -> Path:
        """The log of the job of run k."""
        return self.path.parent / f"{k}.log"

    def label(self, k: int) -> str:
        """<dataset>/<model> seed <seed>, from the run's folder."""
        config, _ = self.runs[k]
        return (
            f"{Path(config.resolved['run_dir']).parents[1].name}/{config.name} seed {config.seed}"
        )


@dataclass(frozen=True)
class ManifestRun:
    """A run as the file of a manifest holds it: its recipe's name, its resolved configuration, and
    the evaluations that become rows.
    """

    name: str
    config: dict[str, Any]
    variants: tuple[str, ...]


@dataclass(frozen=True)
class ManifestFile:
    """What the file of a manifest holds: see `Manifest`."""

    suite: str
    out: str
    device: str
    runs: tuple[ManifestRun, ...]
    tasks: tuple[Count, ...]

    def __post_init__(self) -> None:
        for k in self.tasks:
            if k >= len(self.runs):
                raise ValueError(f"tasks has {k}, where there are {len(self.runs)} runs")


def read_manifest(path: Path, trust: tuple[str, ...] = ()) -> Manifest:
    """Read a manifest, and check every configuration of it.

    Args:
        path: File of the manifest.
        trust: Modules outside genbench that the configurations may name.

    Raises:
        InputError: The file is missing, or not a manifest.
    """
    try:
        file: ManifestFile = read_value(ManifestFile, read_json(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(
            f"{path} is not a manifest, which genbench bench SUITE --slurm writes: {error}"
        ) from None
    runs = []
    for k, run in enumerate(file.runs):
        config = check_config(run.config, run.name, trust, str(path))
        # Manifests of older versions have no name for the default evaluation.
        variants = tuple(variant or DEFAULT for variant in run.variants)
        for variant in variants:
            if variant not in config.evaluations:
                raise InputError(
                    f"{path}: run {k} has no evaluation {variant!r};"
                    f" {nearest(variant, config.evaluations)}"
                )
        runs.append((config, variants))
    return Manifest(path, file.suite, Path(file.out), file.device, tuple(runs), file.tasks, trust)


def run_task(manifest: Manifest, k: int, reporter: Reporter) -> None:
    """Train and evaluate one run, from wherever it stands. Its data and the weights of the extractor
    are looked for first.

    Args:
        manifest: The manifest.
        k: Number of the run.
        reporter: Is told about every step.

    Raises:
        InputError: There is no such run, or it lacks something.
        Diverged: The run has diverged, which is recorded.
        Stopped: Interrupted; the same command goes on.
    """
    from genbench.system.processes import rank

    if not 0 <= k < len(manifest.runs):
        raise InputError(
            f"{manifest.path} has no run {k}; choose from 0 to {len(manifest.runs) - 1}"
        )
    plan = Plan(*manifest.runs[k], manifest.out, manifest.device)
    status = "done"
    try:
        if not (plan.done() and plan.trained()):
            reporter.begin(plan.steps)
            perform(plan, manifest.suite, reporter, manifest.trust)
    except Diverged:
        status = "diverged"
        raise
    finally:
        if plan.done() and plan.trained() and rank() == 0:
            write_json(manifest.status_file(k), {"status": status})


def write_tables(manifest: Manifest, reporter: Reporter) -> list[Path]:
    """Write the tables and the page from the records that are there.

    Args:
        manifest: The manifest.
        reporter: Is told about every step.

    Returns:
        The files that were written.

    Raises:
        GenbenchError: Some runs are not evaluated; the line names them.
    """
    plans = dict[int, Plan]()
    wrong = dict[int, str]()
    for k, (config, variants) in enumerate(manifest.runs):
        try:
            plans[k] = Plan(config, variants, manifest.out, manifest.device)
            plans[k].done()
        except GenbenchError as error:
            wrong[k] = f"{manifest.label(k)} ({error})"
    whole = [plan for k, plan in plans.items() if k not in wrong]
    reporter.begin(1)
    written = finish([*plans.values()], manifest.out, reporter)
    missing = lacking(whole)
    wrong |= {
        k: f"{manifest.label(k)} ({last_line(manifest.log_file(k)) or 'not begun'})"
        for k, plan in plans.items()
        if plan in missing
    }
    for line in (*out_of_reach(whole).values(), *(line for _, line in sorted(wrong.items()))):
        reporter.note(f"not evaluated: {line}")
    if wrong:
        raise GenbenchError(
            f"{len(wrong)} of {len(manifest.runs)} runs are not evaluated; submitting the suite"
            " again tries them"
        )
    return written
