"""The SLURM job that a process belongs to, as a lock notes it, and whether such a job has ended."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Any

from genbench.system.typed import Count

__all__ = ["NotedJob", "job_is_over", "this_job", "was_requeued"]


@dataclass(frozen=True, kw_only=True)
class NotedJob:
    """What a lock notes of the SLURM job of its owner: the fields of `this_job`.

    Attributes:
        job: Number of the job; None outside a job.
        requeued: How often it was requeued.
        cluster: Name of the cluster.
    """

    job: str | None = None
    requeued: Count = 0
    cluster: str = ""


def this_job() -> dict[str, Any]:
    """Number and cluster of the SLURM job that this process belongs to, and how often the job was
    requeued; empty outside a job.
    """
    job = os.environ.get("SLURM_JOB_ID")
    cluster = os.environ.get("SLURM_CLUSTER_NAME", "")
    if job:
        return {
            "job": job,
            "requeued": int(os.environ.get("SLURM_RESTART_COUNT", 0)),
            "cluster": cluster,
        }
    return {}


def was_requeued(owner: NotedJob) -> bool:
    """Whether the owner of a lock was this job before it was requeued; its node may be gone."""
    job = this_job()
    same = bool(job) and owner.job == job["job"] and owner.cluster == job["cluster"]
    return same and owner.requeued < job["requeued"]


def job_is_over(owner: NotedJob) -> bool:
    """Whether SLURM says that the job of a lock's owner has ended.

    SLURM is asked only inside a job of the same cluster.
    """
    job = owner.job or ""
    cluster = this_job().get("cluster")
    if not (job.isdigit() and cluster and owner.cluster == cluster):
        return False
    command = ["squeue", "--noheader", f"--jobs={job}", "--Format=State:|,RestartCnt:|"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    # The job ended some time ago, or the queue does not answer.
    if asked.returncode:
        return "Invalid job id" in asked.stderr
    return not any(
        _runs(line, owner.requeued) for line in asked.stdout.splitlines() if line.strip()
    )


def _runs(line: str, requeued: int) -> bool:
    """Whether a line of squeue is about a job that runs and was requeued at most so often.

    Args:
        line: State and number of requeues, with | between them.
        requeued: Number of requeues.
    """
    state, restarts, *_ = (word.strip() for word in f"{line}||".split("|"))
    return (
        state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED")
        and int(restarts or 0) <= requeued
    )
