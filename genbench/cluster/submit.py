"""A suite as jobs of a SLURM cluster: an array over the runs that are lacking, then one job for the
tables.

Runs that need other runs are in arrays of their own, one array for all that need the same. Each
waits until the needed runs have succeeded (afterok), and is cancelled if one of them fails. The job
of the tables waits until all arrays have ended, whether their runs succeeded or not (afterany).

Every submission has a folder <runs>/slurm/<name>: the manifest, the two batch scripts
(slurm/*.sbatch with the site's lines filled in), and a log for every run. <name> is also the name
of the jobs, by which they are found in the queue.
"""

from __future__ import annotations

import datetime
import shlex
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from genbench.cluster.queue import jobs, sbatch
from genbench.cluster.script import Submission, job_arrays, prepare, ranges
from genbench.cluster.site import Cluster
from genbench.errors import GenbenchError, InputError
from genbench.system.files import write_atomic
from genbench.system.lock import lock

if TYPE_CHECKING:
    from genbench.suites.suite import Suite

__all__ = ["submit"]


def submit(
    suite: Suite, cluster: Cluster, trust: Sequence[str] = (), dry_run: bool = False
) -> Iterator[str]:
    """Submit what a suite lacks.

    Runs that wait or work in the queue are not submitted again.

    Args:
        suite: The suite.
        cluster: The settings of the site.
        trust: Modules outside genbench that configurations may name.
        dry_run: Yield the commands and scripts, and submit nothing.

    Yields:
        Lines that say what was done, or what would be done.

    Raises:
        InputError: The suite, its data or the cluster's settings are wrong; or sbatch is missing or
            refuses.
    """
    if shutil.which("sbatch") is None and not dry_run:
        raise InputError(
            "no sbatch on the PATH: --slurm is for the login node of a SLURM cluster;"
            " --dry-run prints the scripts"
        )
    if dry_run:
        yield from _submit(suite, cluster, trust, dry_run)
        return
    # Two submissions at once would both find the same runs lacking.
    with lock(suite.runs / "slurm"):
        yield from _submit(suite, cluster, trust, dry_run)


def _submit(suite: Suite, cluster: Cluster, trust: Sequence[str], dry_run: bool) -> Iterator[str]:
    """The lines of `submit`, while the lock keeps others from submitting runs of these folders."""
    from genbench.suites.manifest import Manifest
    from genbench.suites.plan import lacking, out_of_reach, plan_suite

    plans = plan_suite(suite, cluster.device, trust)
    missing = lacking(plans)
    folders = {str(plan.run.path) for plan in plans}
    queued = {job.run_dir: job for job in jobs(suite.runs) if job.live and job.run_dir in folders}
    tasks = [
        k for k, plan in enumerate(plans) if plan in missing and str(plan.run.path) not in queued
    ]
    done = len(plans) - len(missing)
    waiting = len(missing) - len(tasks)
    counts = f"{done} done, {waiting} in the queue, {len(tasks)} to submit"
    yield f"{suite.name}: {len(plans)} runs, {counts}"
    yield from (f"not evaluated: {line}" for line in out_of_reach(plans).values())
    earlier = tuple(sorted({job.array for job in queued.values()}))
    if not tasks:
        if not queued:
            command = shlex.join(["genbench", "table", str(suite.out), "--write"])
            yield f"nothing to submit; the tables, at once: {command}"
        newest = max(queued.values(), key=lambda job: job.manifest.stat().st_mtime, default=None)
        # The runs wait, but sbatch refused the job of the tables, or somebody cancelled it.
        if newest is not None and not newest.tables:
            submission = Submission(newest.manifest.parent, {}, (), None, earlier, tuple(trust))
            tables = submission.tables(())
            if dry_run:
                yield shlex.join(tables)
            else:
                yield f"job {sbatch(tables)}: tables, after all"
        return
    name = f"{suite.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    folder = suite.runs / "slurm" / name
    manifest = Manifest.of(folder / "manifest.json", suite, plans, cluster.device, tasks)
    layouts = {(plans[k].config.trainer.devices, plans[k].config.trainer.num_nodes) for k in tasks}
    submission = prepare(
        folder, cluster, layouts, job_arrays(plans, tasks, queued), earlier, tuple(trust)
    )
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
            number = sbatch(submission.array(array, numbers))
        except GenbenchError:
            if not numbers:
                shutil.rmtree(folder)
            raise
        numbers |= dict.fromkeys(array.tasks, number)
        after = ""
        if array.after:
            after = f" after {', '.join(map(str, array.after))}"
        yield f"job {number}: runs {ranges(array.tasks)}{after}; logs: {folder}"
    yield f"job {sbatch(submission.tables(dict.fromkeys(numbers.values())))}: tables, after all"
