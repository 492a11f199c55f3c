"""Several processes that measure as one: which of them this is, which images are its own,
everybody's results in index order.

Work is dealt in chunks of consecutive global indices, the last one padded and cut, so that every
image is computed by the same arithmetic whatever the number of processes.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from genbench.errors import GenbenchError, InputError, Stopped
from genbench.system.launch import check_layout

__all__ = [
    "agreed",
    "chunks",
    "collected",
    "end_with_lost_process",
    "first_alone",
    "gathered",
    "join",
    "rank",
    "settle_torch",
    "stop_if_process_lost",
    "unanimous",
    "wait",
    "world_size",
]

T = TypeVar("T")

# what a collective says on the processes that are left
_ENDED = re.compile(r"[Cc]onnection (closed|reset|refused)|[Bb]roken pipe|NCCL|[Tt]imed out")


def settle_torch() -> None:
    """One thread, unless OMP_NUM_THREADS says otherwise: a second one gains small networks a fifth,
    and costs them a factor of twenty where its core is busy with something else. And float32 means
    float32: convolutions on a GPU would use TF32.
    """
    torch.backends.cudnn.allow_tf32 = False
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def rank() -> int:
    """The number of this process, 0 where it is alone."""
    if distributed.is_initialized():
        return distributed.get_rank()
    return 0


def world_size() -> int:
    """How many processes there are."""
    if distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def join(devices: int, num_nodes: int, device: str) -> str:
    """Become one of several processes: those that srun or torchrun started, else as many copies of
    this command.

    Args:
        devices: Processes per node, one device each.
        num_nodes: Nodes.
        device: Kind of device: cpu or cuda.

    Returns:
        The device of this process.

    Raises:
        InputError: There are not so many devices, or the cluster started another number of
            processes.
    """
    check_layout(devices, num_nodes)
    if devices * num_nodes == 1:
        return device
    from lightning.fabric import Fabric

    kind = device.partition(":")[0]
    if kind == "cuda" and torch.cuda.device_count() < devices:
        raise InputError(
            f"--devices {devices}: this machine has {torch.cuda.device_count()} CUDA devices"
        )
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    end_with_lost_process()
    try:
        fabric = Fabric(accelerator=kind, devices=devices, num_nodes=num_nodes, strategy="ddp")
        fabric.launch()
    except (
        ValueError,
        RuntimeError,
    ) as error:  # tasks that srun started and devices that were asked for differ
        raise InputError(
            f"--devices {devices} --num-nodes {num_nodes}: {' '.join(str(error).split())}"
        ) from None
    return str(fabric.device)


def end_with_lost_process() -> None:
    """Have Lightning end the first process with one line and exit code 75 where one that it started
    is killed.

    Its own way is SIGKILL, within five seconds, and silence. A process that computes meets no
    collective, which would tell it before.
    """
    from lightning.fabric.strategies.launchers import subprocess_script

    observer: Any = subprocess_script._ChildProcessObserver
    observer._terminate_all = _end_all


def _end_all(observer: Any) -> None:
    for process in observer._child_processes:
        process.kill()
    print(
        "genbench: another process of this command ended; the same command goes on",
        file=sys.stderr,
        flush=True,
    )
    os._exit(Stopped.exit_code)


@contextmanager
def stop_if_process_lost(what: str = "this command") -> Iterator[None]:
    """Turn what a collective says on the processes that are left into exit code 75.

    Raises:
        Stopped: Another process ended; the same command goes on.
    """
    try:
        yield
    except RuntimeError as error:
        if not (distributed.is_initialized() and _ENDED.search(str(error))):
            raise
        raise Stopped(f"another process of {what} ended; the same command goes on") from None


def agreed(answer: bool) -> bool:
    """The answer of the first process: one process may see a file before another does."""
    if world_size() == 1:
        return answer
    answers = [answer]
    with stop_if_process_lost():
        distributed.broadcast_object_list(answers)
    return answers[0]


def unanimous(answer: bool) -> bool:
    """Whether the answer of every process is yes."""
    if world_size() == 1:
        return answer
    answers: list[Any] = [None] * world_size()
    with stop_if_process_lost():
        distributed.all_gather_object(answers, answer)
    return all(answers)


def wait() -> None:
    """Until every process is here."""
    if world_size() > 1:
        with stop_if_process_lost():
            distributed.barrier()


@contextmanager
def first_alone() -> Iterator[bool]:
    """What the first process does while the others wait; the value says whether this is it. If it
    fails, all end.

    Raises:
        GenbenchError: In the others, what the first one said when it failed.
    """
    said: list[str | None] = [None]
    try:
        yield rank() == 0
    except BaseException as error:
        said = [f"the first process failed: {error or type(error).__name__}"]
        raise
    finally:
        if world_size() > 1:
            with stop_if_process_lost():
                distributed.broadcast_object_list(said)
    if said[0] is not None:
        raise GenbenchError(said[0])


def chunks(n: int, chunk: int) -> Iterator[tuple[int, range]]:
    """This process's chunks of 0 .. n - 1, as (first index, indices): every one of full size, the
    last one beyond n.
    """
    for first in range(rank() * chunk, n, world_size() * chunk):
        yield first, range(first, first + chunk)


def collected(parts: list[tuple[int, T]]) -> list[T]:
    """What all processes made of their chunks, in index order, on every process. `parts`: (first
    index, result) of this one.
    """
    if world_size() > 1:
        everyone: list[Any] = [None] * world_size()
        with stop_if_process_lost():
            distributed.all_gather_object(everyone, parts)
        parts = [part for shard in everyone for part in shard]
    return [result for _, result in sorted(parts, key=lambda part: part[0])]


def gathered(parts: list[tuple[int, Tensor]], device: str) -> Tensor:
    """The rows of all processes in index order, (N, ...), on every process. `parts`: (first index,
    rows) of this one.
    """
    return torch.cat(
        [rows.to(device) for rows in collected([(first, rows.cpu()) for first, rows in parts])]
    )
