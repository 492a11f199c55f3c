"""A suite as jobs of a SLURM cluster: an array over the runs that are lacking, then one job for the tables.

Runs that need others are arrays of their own, one for all that need the same: each waits until those have succeeded (afterok), and
is cancelled where one fails. The tables wait until all have ended, well or not.

Every submission has a folder <runs>/slurm/<name>: the manifest, the two batch scripts (slurm/*.sbatch with the site's lines filled
in), and a log for every run. <name> is also the jobs' name, by which the queue is asked who still waits or works.
"""

from __future__ import annotations

import datetime
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genbench.errors import GenbenchError, InputError, nearest
from genbench.files import expand_home, files_below, last_line, lock, read_json, shipped, write_atomic
from genbench.typed import read_value
from genbench.yaml12 import load_settings

if TYPE_CHECKING:
    from genbench.suite import Plan, Suite

__all__ = ["Array", "Cluster", "Job", "Submission", "jobs", "load_cluster", "prepare", "ranges", "script", "submit"]


@dataclass(frozen=True)
class Cluster:
    """What a site wants: a file of configs/cluster/. Options that are None are left to the site's defaults.

    Args:
        name: Name of its file.
        partition: sbatch --partition.
        account: sbatch --account.
        qos: sbatch --qos.
        gres: sbatch --gres, per node; {devices} stands for the devices of a run.
        time: sbatch --time of a run.
        cpus: sbatch --cpus-per-task.
        mem: sbatch --mem.
        array_limit: Runs at once, of each array.
        device: cpu or cuda: where runs are evaluated.
        setup: Lines of the batch script before the command.
        container: Words before the command.
        genbench: Words of the command on a node; None: that of the login node, in a container `genbench`.
        options: Further options of sbatch.
    """

    name: str
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    gres: str | None = None
    time: str | None = None
    cpus: int = 1
    mem: str | None = None
    array_limit: int | None = None
    device: str = "cpu"
    setup: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    genbench: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()

    def directives(self, devices: int, num_nodes: int) -> list[str]:
        """Options of sbatch for a job with so many devices on each of so many nodes."""
        gres = self.gres and self.gres.replace("{devices}", str(devices))
        named = {"partition": self.partition, "account": self.account, "qos": self.qos, "gres": gres, "time": self.time,
                 "mem": self.mem, "cpus-per-task": self.cpus, "nodes": num_nodes, "ntasks-per-node": devices}  # fmt: skip
        return [f"--{key}={value}" for key, value in named.items() if value is not None] + list(self.options)

    def command(self) -> list[str]:
        """How genbench is called on a node."""
        here = ["genbench"] if self.container else [sys.executable, "-m", "genbench.cli"]
        return [*self.container, *(self.genbench or here)]


def load_cluster(name: str) -> Cluster:
    """A site's settings: a YAML file, or the name of one in configs/cluster/.

    Raises:
        InputError: It is missing, or a key or a value is wrong.
    """
    folder = shipped("configs", "cluster")
    path = next((p for p in (expand_home(name), folder / f"{name}.yaml") if p.is_file()), None)
    if path is None:
        raise InputError(f"no cluster {name!r}; {nearest(name, [p.stem for p in folder.glob('*.yaml')])}")
    tree = load_settings(path, ("partition", "account", "qos", "gres", "time", "mem", "device"))
    right = [field.name for field in fields(Cluster) if field.name != "name"]
    for key, value in tree.items():
        if key not in right:
            raise InputError(f"{path}: unknown key {key}; {nearest(key, right)}")
        if wanted := _unfit(key, value):
            raise InputError(f"{path}: {key} is {value!r}; right is {wanted}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in tree.items()}
    return Cluster(name=path.stem, **values)


def _unfit(key: str, value: Any) -> str | None:
    """What would be right for a key, where its value is not."""
    words = isinstance(value, list) and all(isinstance(word, str) for word in value)
    if key == "options":
        fits = words and all(option.startswith("-") and "\n" not in option for option in value)
        return None if fits else "a list of options of sbatch, such as --exclusive"
    if key in ("setup", "container", "genbench"):
        return None if words or (key == "genbench" and value is None) else "a list of texts"
    if key in ("cpus", "array_limit"):
        return None if (type(value) is int and value > 0) or (key != "cpus" and value is None) else "a number, at least 1"
    if key == "device":
        return None if value in ("cpu", "cuda") else "cpu or cuda"
    fits = value is None or (isinstance(value, str) and re.fullmatch(r"\S+", value) is not None)
    return None if fits else "a word, such as 24:00:00 for a time"


# --- text -----------------------------------------------------------------------------------------------------------------


def script(template: str, directives: Sequence[str], setup: Sequence[str], command: Sequence[str]) -> str:
    """A batch script of slurm/ with the lines of a site in place of those that it has for use by hand."""
    lines = [f"#SBATCH {option}" for option in directives] + list(setup) + [f"genbench=({shlex.join(command)})"]
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


# --- submission -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Array:
    """Runs that wait for the same others.

    Args:
        tasks: Their numbers.
        after: What they need: numbers of runs of this submission, and jobs of earlier ones as <array>_<task>.
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
        earlier: Jobs with runs of this suite that are still in the queue: the tables wait for them too.
        trust: Modules outside genbench that the runs may name.
    """

    folder: Path
    files: dict[str, str]
    arrays: tuple[Array, ...]
    limit: int | None
    earlier: tuple[str, ...]
    trust: tuple[str, ...] = ()

    def array(self, array: Array, numbers: dict[int, str]) -> list[str]:
        """The command that submits an array, by the array's number for every run that was submitted before."""
        tasks = f"--array={ranges(array.tasks)}{f'%{self.limit}' if self.limit else ''}"
        return ["sbatch", "--parsable", tasks, *array.dependency(numbers), str(self.folder / "suite.sbatch"), *self.arguments]

    def tables(self, arrays: Iterable[str]) -> list[str]:
        """The command that submits the tables after the arrays."""
        after = ":".join(("afterany", *arrays, *self.earlier))
        return ["sbatch", "--parsable", f"--dependency={after}", str(self.folder / "tables.sbatch"), *self.arguments]

    @property
    def arguments(self) -> list[str]:
        """Of both scripts: the manifest, and what the command line trusts, which no file may say."""
        return [str(self.folder / "manifest.json"), *(word for module in self.trust for word in ("--trust", module))]


def submit(suite: Suite, cluster: Cluster, trust: Sequence[str] = (), dry_run: bool = False) -> Iterator[str]:
    """Submit what a suite lacks; yields lines that say what was done, or would be.

    Runs that wait or work in the queue are not submitted again.

    Raises:
        InputError: The suite, its data or the cluster's settings are wrong; or sbatch is missing or refuses.
    """
    if shutil.which("sbatch") is None and not dry_run:
        raise InputError(
            "no sbatch on the PATH: --slurm is for the login node of a SLURM cluster; --dry-run prints the scripts"
        )
    if dry_run:
        yield from _submit(suite, cluster, trust, dry_run)
        return
    with lock(suite.runs / "slurm"):  # two submissions at once would both find the same runs lacking
        yield from _submit(suite, cluster, trust, dry_run)


def _submit(suite: Suite, cluster: Cluster, trust: Sequence[str], dry_run: bool) -> Iterator[str]:
    from genbench.manifest import Manifest
    from genbench.suite import lacking, out_of_reach, plan_suite

    plans = plan_suite(suite, cluster.device, trust)
    missing = lacking(plans)
    here = {str(plan.run.path) for plan in plans}
    queued = {job.run_dir: job for job in jobs(suite.runs) if job.live and job.run_dir in here}
    tasks = [k for k, plan in enumerate(plans) if plan in missing and str(plan.run.path) not in queued]
    counts = f"{len(plans) - len(missing)} done, {len(missing) - len(tasks)} in the queue, {len(tasks)} to submit"
    yield f"{suite.name}: {len(plans)} runs, {counts}"
    yield from (f"not evaluated: {line}" for line in out_of_reach(plans).values())
    earlier = tuple(sorted({job.array for job in queued.values()}))
    if not tasks:
        if not queued:
            yield f"nothing to submit; the tables, at once: genbench table {suite.out} --write"
        newest = max(queued.values(), key=lambda job: job.manifest.stat().st_mtime, default=None)
        if newest is not None and not newest.tables:  # sbatch refused them, or somebody cancelled them
            submission = Submission(newest.manifest.parent, {}, (), None, earlier, tuple(trust))
            yield shlex.join(submission.tables(())) if dry_run else f"job {_sbatch(submission.tables(()))}: tables, after all"
        return
    name = f"{suite.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    folder = suite.runs / "slurm" / name
    manifest = Manifest.of(folder / "manifest.json", suite, plans, cluster.device, tasks)
    layouts = {(plans[k].config.trainer.devices, plans[k].config.trainer.num_nodes) for k in tasks}
    submission = prepare(folder, cluster, layouts, _arrays(plans, tasks, queued), earlier, tuple(trust))
    numbers: dict[int, str] = {}
    if dry_run:
        for i, array in enumerate(submission.arrays):
            yield shlex.join(submission.array(array, numbers))
            numbers |= dict.fromkeys(array.tasks, f"ARRAY{i or ''}")
        yield shlex.join(submission.tables(dict.fromkeys(numbers.values())))
        for file, text in submission.files.items():
            yield f"\n{folder / file}:\n{text}"
        return
    manifest.write()
    for file, text in submission.files.items():
        write_atomic(folder / file, text)
    for array in submission.arrays:
        try:
            number = _sbatch(submission.array(array, numbers))
        except GenbenchError:
            if not numbers:
                shutil.rmtree(folder)
            raise
        numbers |= dict.fromkeys(array.tasks, number)
        after = f" after {', '.join(map(str, array.after))}" if array.after else ""
        yield f"job {number}: runs {ranges(array.tasks)}{after}; logs: {folder}"
    yield f"job {_sbatch(submission.tables(dict.fromkeys(numbers.values())))}: tables, after all"


def _arrays(plans: Sequence[Plan], tasks: Sequence[int], queued: dict[str, Job]) -> list[Array]:
    """The runs to submit, by what they must wait for: needed runs that are submitted with them, or wait or work already."""
    from genbench.suite import needed_by

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
        raise InputError(f"runs of one array share trainer.devices and trainer.num_nodes, and these have {found}: two suites")
    ((devices, num_nodes),) = layouts
    templates = {name: shipped("slurm", name).read_text() for name in ("suite.sbatch", "tables.sbatch")}
    files = {}
    for file, template in templates.items():
        log, layout = ("%a.log", (devices, num_nodes)) if file == "suite.sbatch" else ("tables.log", (1, 1))
        directives = [f"--job-name={folder.name}", f"--output={shlex.quote(_literal(folder) + '/' + log)}"]
        files[file] = script(template, directives + cluster.directives(*layout), cluster.setup, cluster.command())
    return Submission(folder, files, tuple(arrays), cluster.array_limit, earlier, trust)


def _sbatch(command: Sequence[str]) -> str:
    """Submit; returns the job's number."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"sbatch refuses: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}")
    return done.stdout.strip().partition(";")[0]


# --- the queue ------------------------------------------------------------------------------------------------------------


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
    from genbench.manifest import ManifestFile

    found: dict[str, Job] = {}
    manifests = [path for path in files_below(folder, "manifest.json") if path.parents[1].name == "slurm"]
    manifests.sort(key=lambda path: path.stat().st_mtime)
    queue = _queue() if manifests else {}
    for path in manifests:
        try:
            tree = read_value(ManifestFile, read_json(path))
            tables = (path.parent.name, None) in queue
            for k in tree.tasks:
                run_dir = read_value(str, tree.runs[k].config.get("run_dir"), f"runs[{k}].config.run_dir")
                result = path.with_name(f"{k}.json")
                ended = read_value(Result, read_json(result)).status if result.exists() else "failed"
                state, array = queue.get((path.parent.name, k), (ended, ""))
                found[run_dir] = Job(run_dir, path, array, k, state, last_line(path.with_name(f"{k}.log")), tables)
        except (ValueError, OSError) as error:
            raise InputError(f"{path} or what lies beside it is damaged ({error}); remove its folder") from None
    return list(found.values())


def _queue() -> dict[tuple[str, int | None], tuple[str, str]]:
    """(name, task) -> state, number of the array; of every job that waits or works. Nothing where there is no SLURM.

    The queue alone is asked, and not a file: a submission that is killed has not noted its last number. No task: tables.
    """
    if shutil.which("squeue") is None:
        return {}
    form = "Name:|,ArrayTaskID:|,State:|,RestartCnt:|,ArrayJobID:|"
    try:
        asked: Any = subprocess.run(
            ["squeue", "--me", "--noheader", "--array", f"--Format={form}"], capture_output=True, text=True, timeout=60
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
