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
    """Put the lines of a site into a batch script of slurm/.

    Args:
        template: The script. The lines between "# --- site" and "# --- end of site", which serve
            its use by hand, are replaced.
        directives: Options of sbatch.
        setup: Lines of shell before the command.
        command: The words that call genbench.

    Returns:
        The script, as text.
    """
    options = [f"#SBATCH {option}" for option in directives]
    lines = [*options, *setup, f"genbench=({shlex.join(command)})"]
    parts = re.fullmatch(r"(.*# --- site\n).*?(# --- end of site\n.*)", template, re.DOTALL)
    assert parts is not None
    return parts[1] + "".join(f"{line}\n" for line in lines) + parts[2]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as the option --array of sbatch takes them: 0, 1, 2, 5 -> "0-2,5"."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


def _literal(path: Path) -> str:
    """A file name for the option --output of sbatch, where a per cent sign begins a pattern."""
    return str(path).replace("%", "%%")


@dataclass(frozen=True)
class Array:
    """Runs that wait for the same others.

    Args:
        tasks: Numbers of the runs.
        after: What the runs need: numbers of runs of this submission, and jobs of earlier ones as
            <array>_<task>.
    """

    tasks: tuple[int, ...]
    after: tuple[int | str, ...] = ()

    def dependency(self, numbers: dict[int, str]) -> list[str]:
        """Options of sbatch that make the array wait.

        Args:
            numbers: Number of the array of every run that was submitted before.
        """
        if not self.after:
            return []
        needed = [f"{numbers[run]}_{run}" if isinstance(run, int) else run for run in self.after]
        return [f"--dependency={':'.join(('afterok', *needed))}", "--kill-on-invalid-dep=yes"]


@dataclass(frozen=True)
class Submission:
    """What will be submitted.

    Args:
        folder: Folder of the manifest, the scripts and the logs.
        files: Content of the scripts, by name.
        arrays: The runs. An array comes after those that it waits for.
        limit: Runs of an array at a time; None for any number.
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
        """The command that submits an array.

        Args:
            array: The array.
            numbers: Number of the array of every run that was submitted before.
        """
        tasks = f"--array={ranges(array.tasks)}"
        if self.limit:
            tasks += f"%{self.limit}"
        return [
            "sbatch",
            "--parsable",
            tasks,
            *array.dependency(numbers),
            str(self.folder / "suite.sbatch"),
            *self.arguments,
        ]

    def tables(self, arrays: Iterable[str]) -> list[str]:
        """The command that submits the tables, to be written when the arrays have ended.

        Args:
            arrays: Numbers of the arrays.
        """
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
        """Arguments of both scripts: the manifest, and the modules that the command line trusts.

        The manifest does not name these, since no file may say what is trusted.
        """
        return [
            str(self.folder / "manifest.json"),
            *(word for module in self.trust for word in ("--trust", module)),
        ]


def job_arrays(plans: Sequence[Plan], tasks: Sequence[int], queued: dict[str, Job]) -> list[Array]:
    """Group the runs to submit by what they must wait for.

    Args:
        plans: Every run of the suite.
        tasks: Numbers of the runs to submit.
        queued: Jobs in the queue, by run folder.

    Returns:
        One array for all runs that wait for the same needed runs. A needed run is submitted with
        them, or is in the queue already.
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
    """The commands and scripts of a submission, as text. Nothing is written or submitted.

    Args:
        folder: Where the scripts will lie. The name of the folder is that of the jobs.
        cluster: The site.
        layouts: (devices, nodes) of the runs.
        arrays: The runs.
        earlier: Jobs that the tables wait for too.
        trust: Modules outside genbench that the runs may name.

    Raises:
        InputError: The runs have several layouts, which an array cannot have.
    """
    if len(layouts) > 1:
        several = ", ".join(f"{devices} x {nodes}" for devices, nodes in sorted(layouts))
        raise InputError(
            "runs of one array share trainer.devices and trainer.num_nodes,"
            f" and these have {several}: two suites"
        )
    ((devices, num_nodes),) = layouts
    files = {}
    for name, log, layout in (
        ("suite.sbatch", "%a.log", (devices, num_nodes)),
        ("tables.sbatch", "tables.log", (1, 1)),
    ):
        template = shipped("slurm", name).read_text()
        output = shlex.quote(f"{_literal(folder)}/{log}")
        directives = [f"--job-name={folder.name}", f"--output={output}"]
        directives += cluster.directives(*layout)
        files[name] = script(template, directives, cluster.setup, cluster.command())
    return Submission(folder, files, tuple(arrays), cluster.array_limit, earlier, trust)
