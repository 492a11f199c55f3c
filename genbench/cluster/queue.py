"""What SLURM says of jobs."""

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
    """Submit; returns the job's number."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"sbatch refuses: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}"
        )
    return done.stdout.strip().partition(";")[0]


@dataclass(frozen=True)
class Job:
    """A run that was submitted.

    Args:
        run_dir: Its folder.
        manifest: Of its submission.
        array: Number of the job that it is part of, while it is in the queue; else empty.
        task: Its number there.
        state: pending, running, preempted (it waits to go on), done, diverged or failed.
        line: The last line of its log.
        tables: Whether the tables of its submission wait or work.
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
        """Whether it waits or works."""
        return self.state in ("pending", "running", "preempted")


@dataclass(frozen=True)
class Result:
    """What a run came to, as its job has noted it."""

    status: Literal["done", "diverged"]


def jobs(folder: Path) -> list[Job]:
    """Every run below a folder that was submitted, in its last submission.

    Raises:
        GenbenchError: The queue does not answer.
    """
    from genbench.suites.manifest import ManifestFile

    found: dict[str, Job] = {}
    manifests = [
        path for path in files_below(folder, "manifest.json") if path.parents[1].name == "slurm"
    ]
    manifests.sort(key=lambda path: path.stat().st_mtime)
    queue = _queue() if manifests else {}
    for path in manifests:
        try:
            tree = read_value(ManifestFile, read_json(path))
            tables = (path.parent.name, None) in queue
            for k in tree.tasks:
                run_dir = read_value(
                    str, tree.runs[k].config.get("run_dir"), f"runs[{k}].config.run_dir"
                )
                result = path.with_name(f"{k}.json")
                ended = (
                    read_value(Result, read_json(result)).status if result.exists() else "failed"
                )
                state, array = queue.get((path.parent.name, k), (ended, ""))
                found[run_dir] = Job(
                    run_dir, path, array, k, state, last_line(path.with_name(f"{k}.log")), tables
                )
        except (ValueError, OSError) as error:
            raise InputError(
                f"{path} or what lies beside it is damaged ({error}); remove its folder"
            ) from None
    return list(found.values())


def _queue() -> dict[tuple[str, int | None], tuple[str, str]]:
    """(name, task) -> state, number of the array; of every job that waits or works. Nothing where
    there is no SLURM.

    The queue alone is asked, and not a file: a submission that is killed has not noted its last
    number. No task: tables.
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
    found = dict[tuple[str, int | None], tuple[str, str]]()
    for line in asked.stdout.splitlines():
        name, task, state, restarts, array, *_ = line.split("|")
        waits = "preempted" if restarts.strip() not in ("", "0") else "pending"
        stands = waits if state in ("PENDING", "REQUEUED", "SUSPENDED", "PREEMPTED") else "running"
        found[name, int(task) if task.isdigit() else None] = (stands, array)
    return found
