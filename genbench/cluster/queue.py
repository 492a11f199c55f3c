"""The queue of a SLURM cluster: submitting jobs, and asking what became of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genbench.errors import GenbenchError, InputError
from genbench.system.files import files_below, last_line
from genbench.system.json_files import read_json
from genbench.system.typed import read_value

__all__ = ["Job", "jobs", "sbatch"]


def sbatch(command: Sequence[str]) -> str:
    """Submit a job.

    Args:
        command: The words of the command, of which the first is sbatch.

    Returns:
        The number of the job.

    Raises:
        InputError: sbatch refuses.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise InputError(f"sbatch refuses: {reason}")
    return done.stdout.strip().partition(";")[0]


@dataclass(frozen=True)
class Job:
    """A run that was submitted.

    Args:
        run_dir: The run folder.
        manifest: The manifest of the submission.
        array: Number of the job array that the run is part of, while it is in the queue; else
            empty.
        task: Number of the run in that array.
        state: pending, running, preempted (it waits to go on), done, diverged or failed.
        line: The last line of the log.
        tables: Whether the job that writes the tables of this submission waits or works.
    """

    run_dir: str
    manifest: Path
    array: str
    task: int
    state: str
    line: str
    tables: bool

    @property
    def live(self) -> bool:
        """Whether the job waits or works."""
        return self.state in ("pending", "running", "preempted")


@dataclass(frozen=True)
class Result:
    """How a run ended, as its job noted it in <task>.json beside the manifest."""

    status: Literal["done", "diverged"]


def jobs(folder: Path) -> list[Job]:
    """Every run below a folder that was submitted, in the state of its last submission.

    Args:
        folder: The folder of the runs.

    Raises:
        GenbenchError: The queue does not answer.
        InputError: A manifest, or a file beside it, is damaged.
    """
    from genbench.suites.manifest import ManifestFile

    manifests = [
        path for path in files_below(folder, "manifest.json") if path.parents[1].name == "slurm"
    ]
    if not manifests:
        return []
    manifests.sort(key=lambda path: path.stat().st_mtime)
    queue = _queue()
    submitted: dict[str, Job] = {}
    for path in manifests:
        try:
            tree = read_value(ManifestFile, read_json(path))
            tables = (path.parent.name, None) in queue
            for k in tree.tasks:
                where = f"runs[{k}].config.run_dir"
                run_dir = read_value(str, tree.runs[k].config.get("run_dir"), where)
                ended = _result(path.with_name(f"{k}.json"))
                state, array = queue.get((path.parent.name, k), (ended, ""))
                line = last_line(path.with_name(f"{k}.log"))
                submitted[run_dir] = Job(run_dir, path, array, k, state, line, tables)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{path} or what lies beside it is damaged ({error}); remove its folder"
            ) from None
    return list(submitted.values())


def _result(path: Path) -> str:
    """How a run that is no longer in the queue ended: done, diverged, or failed where its job noted
    nothing.
    """
    if not path.exists():
        return "failed"
    result: Result = read_value(Result, read_json(path))
    return result.status


def _queue() -> dict[tuple[str, int | None], tuple[str, str]]:
    """Ask SLURM for the jobs that wait or work.

    The answer comes from the queue and not from files, since a submission that was killed may not
    have noted the number of its last array.

    Returns:
        (name, task) -> (state, number of the array). The job of the tables has the task None.
        Empty where there is no SLURM.
    """
    if shutil.which("squeue") is None:
        return {}
    form = "Name:|,ArrayTaskID:|,State:|,RestartCnt:|,ArrayJobID:|"
    try:
        asked: Any = subprocess.run(
            ["squeue", "--me", "--noheader", "--array", f"--Format={form}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        raise GenbenchError("squeue does not answer") from None
    if asked.returncode:
        raise GenbenchError(f"squeue: {' '.join(asked.stderr.split())}")
    queue = dict[tuple[str, int | None], tuple[str, str]]()
    for line in asked.stdout.splitlines():
        name, task, state, restarts, array, *_ = line.split("|")
        number = None
        if task.isdigit():
            number = int(task)
        queue[name, number] = (_stage(state, restarts), array)
    return queue


def _stage(state: str, restarts: str) -> str:
    """The state of a job in the words of `Job`."""
    if state not in ("PENDING", "REQUEUED", "SUSPENDED", "PREEMPTED"):
        return "running"
    if restarts.strip() in ("", "0"):
        return "pending"
    return "preempted"
