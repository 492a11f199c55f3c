"""The job scripts of a suite."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.cluster.queue import Job
from genbench.cluster.site import Cluster
from genbench.errors import InputError
from genbench.system.locations import shipped

if TYPE_CHECKING:
    from genbench.suites.plan import Plan

__all__ = ["Array", "Submission", "job_arrays", "prepare", "ranges", "script"]


def script(
    template: str, directives: Sequence[str], setup: Sequence[str], command: Sequence[str]
) -> str:
    """A batch script of slurm/ with the lines of a site in place of those that it has for use by
    hand.
    """
    lines = (
        [f"#SBATCH {option}" for option in directives]
        + list(setup)
        + [f"genbench=({shlex.join(command)})"]
    )
    found = re.fullmatch(r"(.*# --- site\n).*?(# --- end of site\n.*)", template, re.DOTALL)
    assert found is not None
    return found[1] + "".join(f"{line}\n" for line in lines) + found[2]


def ranges(numbers: Iterable[int]) -> str:
    """0, 1, 2, 5 -> 0-2,5: as --array wants them."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


def _literal(path: Path) -> str:
    """A file name for --output, where a per cent sign begins a pattern."""
    return str(path).replace("%", "%%")


@dataclass(frozen=True)
class Array:
    """Runs that wait for the same others.

    Args:
        tasks: Their numbers.
        after: What they need: numbers of runs of this submission, and jobs of earlier ones as
            <array>_<task>.
    """

    tasks: tuple[int, ...]
    after: tuple[int | str, ...] = ()

    def dependency(self, numbers: dict[int, str]) -> list[str]:
        """Options of sbatch, by the array's number for every run that was submitted before."""
        if not self.after:
            return []
        needed = [f"{numbers[run]}_{run}" if isinstance(run, int) else run for run in self.after]
        return [f"--dependency={':'.join(('afterok', *needed))}", "--kill-on-invalid-dep=yes"]


@dataclass(frozen=True)
class Submission:
    """What will be submitted.

    Args:
        folder: Of manifest, scripts and logs.
        files: Content of the scripts, by name.
        arrays: The runs; an array comes after those that it waits for.
        limit: Runs at once, of each array.
        earlier: Jobs with runs of this suite that are still in the queue: the tables wait for them
            too.
        trust: Modules outside genbench that the runs may name.
    """

    folder: Path
    files: dict[str, str]
    arrays: tuple[Array, ...]
    limit: int | None
    earlier: tuple[str, ...]
    trust: tuple[str, ...] = ()

    def array(self, array: Array, numbers: dict[int, str]) -> list[str]:
        """The command that submits an array, by the array's number for every run that was submitted
        before.
        """
        tasks = f"--array={ranges(array.tasks)}{f'%{self.limit}' if self.limit else ''}"
        return [
            "sbatch",
            "--parsable",
            tasks,
            *array.dependency(numbers),
            str(self.folder / "suite.sbatch"),
            *self.arguments,
        ]

    def tables(self, arrays: Iterable[str]) -> list[str]:
        """The command that submits the tables after the arrays."""
        after = ":".join(("afterany", *arrays, *self.earlier))
        return [
            "sbatch",
            "--parsable",
            f"--dependency={after}",
            str(self.folder / "tables.sbatch"),
            *self.arguments,
        ]

    @property
    def arguments(self) -> list[str]:
        """Of both scripts: the manifest, and what the command line trusts, which no file may say."""
        return [
            str(self.folder / "manifest.json"),
            *(word for module in self.trust for word in ("--trust", module)),
        ]


def job_arrays(plans: Sequence[Plan], tasks: Sequence[int], queued: dict[str, Job]) -> list[Array]:
    """The runs to submit, by what they must wait for: needed runs that are submitted with them, or
    wait or work already.
    """
    from genbench.suites.plan import needed_by

    groups: dict[tuple[int | str, ...], list[int]] = {}
    for k in tasks:
        after: list[int | str] = []
        for needed in needed_by(plans[k], plans):
            job = queued.get(str(needed.run.path))
            if not needed.trained():
                after.append(plans.index(needed) if job is None else f"{job.array}_{job.task}")
        groups.setdefault(tuple(after), []).append(k)
    return [Array(tuple(numbers), after) for after, numbers in groups.items()]


def prepare(
    folder: Path,
    cluster: Cluster,
    layouts: set[tuple[int, int]],
    arrays: Sequence[Array],
    earlier: tuple[str, ...] = (),
    trust: tuple[str, ...] = (),
) -> Submission:
    """Commands and scripts, as text.

    Args:
        folder: Where they will lie; its name is that of the jobs.
        cluster: The site.
        layouts: (devices, nodes) of the runs.
        arrays: The runs.
        earlier: Jobs that the tables wait for too.
        trust: Modules outside genbench that the runs may name.

    Raises:
        InputError: Runs of several layouts, which an array cannot have.
    """
    if len(layouts) > 1:
        found = ", ".join(f"{devices} x {nodes}" for devices, nodes in sorted(layouts))
        raise InputError(
            f"runs of one array share trainer.devices and trainer.num_nodes, and these have {found}: two suites"
        )
    ((devices, num_nodes),) = layouts
    templates = {
        name: shipped("slurm", name).read_text() for name in ("suite.sbatch", "tables.sbatch")
    }
    files = {}
    for file, template in templates.items():
        log, layout = (
            ("%a.log", (devices, num_nodes)) if file == "suite.sbatch" else ("tables.log", (1, 1))
        )
        directives = [
            f"--job-name={folder.name}",
            f"--output={shlex.quote(_literal(folder) + '/' + log)}",
        ]
        files[file] = script(
            template, directives + cluster.directives(*layout), cluster.setup, cluster.command()
        )
    return Submission(folder, files, tuple(arrays), cluster.array_limit, earlier, trust)
