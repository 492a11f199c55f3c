"""The number of processes, and which of them this one is. They are started by srun, by torchrun, or
by the command itself.

This is read from the environment, so that it is known before torch is imported.
"""

from __future__ import annotations

import os

from genbench.errors import InputError

__all__ = ["check_layout", "in_slurm_step", "is_primary", "taken_for_slurm"]


def in_slurm_step() -> bool:
    """Whether srun started this process. A batch script, and a shell in an allocation, belong to a
    job but not to a step.
    """
    return "SLURM_STEP_ID" in os.environ and not _interactive()


def taken_for_slurm() -> bool:
    """Whether Lightning takes this process for a task of SLURM, which it does in a batch script
    without srun too.
    """
    return (
        "SLURM_NTASKS" in os.environ
        and not _interactive()
        and "TORCHELASTIC_RUN_ID" not in os.environ
    )


def is_primary() -> bool:
    """Whether this process is the first of all, which is the one that writes."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return os.environ.get("RANK", "0") == "0"
    if in_slurm_step():
        return os.environ.get("SLURM_PROCID", "0") == "0"
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def check_layout(devices: int, num_nodes: int) -> None:
    """Compare the number of processes that the command asks for with the number that was started,
    before any process waits for one that never comes.

    Args:
        devices: Processes per node.
        num_nodes: Number of nodes.

    Raises:
        InputError: Another number was started, or none where the cluster has to start them.
    """
    asked = f"{devices} device{'s' * (devices > 1)} on {num_nodes} node{'s' * (num_nodes > 1)}"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        if (started := int(os.environ["WORLD_SIZE"])) != devices * num_nodes:
            raise InputError(
                f"torchrun started {started} processes, for {asked}; both numbers must be the same"
            )
    elif in_slurm_step():
        tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))
        if (tasks, nodes) != (devices * num_nodes, num_nodes):
            raise InputError(
                f"srun started {tasks} tasks on {nodes} nodes, for {asked}; "
                f"right is srun --nodes={num_nodes} --ntasks-per-node={devices}"
            )
        if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise InputError(
                f"srun was told a number of tasks, but not --ntasks-per-node={devices}, which is"
                " needed"
            )
    elif "SLURM_JOB_ID" in os.environ and not _interactive() and "LOCAL_RANK" not in os.environ:
        if devices * num_nodes > 1:
            raise InputError(
                f"a SLURM job without srun is one process, for {asked}; put srun before the command"
            )
        if (tasks := int(os.environ.get("SLURM_NTASKS", "1"))) > 1:
            raise InputError(
                f"the SLURM job has {tasks} tasks, for {asked}; put srun before the command, or ask"
                " for one task"
            )
    elif num_nodes > 1 and "MASTER_ADDR" not in os.environ:
        raise InputError(f"no cluster started this command, for {asked}; srun or torchrun would")


def _interactive() -> bool:
    """Whether this is an interactive shell of SLURM, whose tasks are not the processes of a run.
    Lightning decides by the same names.
    """
    return os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
