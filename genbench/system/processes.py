"""Several processes that measure together: which of them this is, which images it computes, and the
results of all in the order of the images.

Work is dealt in chunks of consecutive global indices. The last chunk is padded to full size and its
results are cut, so that every image is computed by the same arithmetic whatever the number of
processes.
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

# A collective operation of torch.distributed raises an error with such a message when another
# process has ended.
_ENDED = re.compile(r"[Cc]onnection (closed|reset|refused)|[Bb]roken pipe|NCCL|[Tt]imed out")


def settle_torch() -> None:
    """Set the number of threads and the precision of convolutions.

    One thread is used unless OMP_NUM_THREADS says otherwise: a second thread makes small networks a
    fifth faster, and twenty times slower where its core is busy with something else. TF32 is off, so
    that float32 means float32 in convolutions on a GPU.
    """
    torch.backends.cudnn.allow_tf32 = False
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


def rank() -> int:
    """The number of this process among all, from 0."""
    if distributed.is_initialized():
        return distributed.get_rank()
    return 0


def world_size() -> int:
    """The number of processes."""
    if distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def join(devices: int, num_nodes: int, device: str) -> str:
    """Become one of several processes: of those that srun or torchrun started, or else of as many
    copies of this command, which are started here.

    Args:
        devices: Processes per node, one device each.
        num_nodes: Number of nodes.
        device: Kind of device: cpu or cuda.

    Returns:
        The device of this process.

    Raises:
        InputError: The machine has fewer devices, or the cluster started another number of
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
    except (ValueError, RuntimeError) as error:
        # Another number of tasks was started by srun.
        raise InputError(
            f"--devices {devices} --num-nodes {num_nodes}: {' '.join(str(error).split())}"
        ) from None
    return str(fabric.device)


def end_with_lost_process() -> None:
    """Make Lightning end the first process with one line and exit code 75 when a process that it
    started is killed.

    By itself Lightning sends SIGKILL within five seconds and says nothing. A process that computes
    would learn of the loss only at its next collective operation.
    """
    from lightning.fabric.strategies.launchers import subprocess_script

    observer: Any = subprocess_script._ChildProcessObserver
    observer._terminate_all = _end_all


def _end_all(observer: Any) -> None:
    """End all processes of the command, this one with exit code 75.

    Args:
        observer: Lightning's observer of the processes that it started.
    """
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
    """Inside the `with` block, the error of a collective operation after another process has ended
    becomes exit code 75.

    Args:
        what: What the processes work on, such as the path of a run, for the message.

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
    """The answer of the first process, on every process. One process may see a file before another
    does, so they would decide differently.
    """
    if world_size() == 1:
        return answer
    answers = [answer]
    with stop_if_process_lost():
        distributed.broadcast_object_list(answers)
    return answers[0]


def unanimous(answer: bool) -> bool:
    """Whether the answers of all processes are True."""
    if world_size() == 1:
        return answer
    answers: list[Any] = [None] * world_size()
    with stop_if_process_lost():
        distributed.all_gather_object(answers, answer)
    return all(answers)


def wait() -> None:
    """Block until all processes have reached this point."""
    if world_size() > 1:
        with stop_if_process_lost():
            distributed.barrier()


@contextmanager
def first_alone() -> Iterator[bool]:
    """Let the first process do the work of the `with` block while the others wait at its end. If it
    fails, all processes end.

    Yields:
        Whether this is the first process. The others must do nothing in the block.

    Raises:
        GenbenchError: The first process failed; raised in the others, with its message.
    """
    failure: list[str | None] = [None]
    try:
        yield rank() == 0
    except BaseException as error:
        failure = [f"the first process failed: {error or type(error).__name__}"]
        raise
    finally:
        if world_size() > 1:
            with stop_if_process_lost():
                distributed.broadcast_object_list(failure)
    if failure[0] is not None:
        raise GenbenchError(failure[0])


def chunks(n: int, chunk: int) -> Iterator[tuple[int, range]]:
    """Deal the indices 0, ..., n - 1 to the processes in chunks.

    Args:
        n: Number of images.
        chunk: Size of a chunk.

    Yields:
        For each chunk of this process its first index and its indices. All chunks have full size,
        so that the last one may go beyond n - 1.
    """
    for first in range(rank() * chunk, n, world_size() * chunk):
        yield first, range(first, first + chunk)


def collected(parts: list[tuple[int, T]]) -> list[T]:
    """The results of the chunks of all processes, on every process.

    Args:
        parts: First index and result of every chunk of this process.

    Returns:
        The results in the order of the indices.
    """
    if world_size() > 1:
        everyone: list[Any] = [None] * world_size()
        with stop_if_process_lost():
            distributed.all_gather_object(everyone, parts)
        parts = [part for shard in everyone for part in shard]
    return [result for _, result in sorted(parts, key=lambda part: part[0])]


def gathered(parts: list[tuple[int, Tensor]], device: str) -> Tensor:
    """The rows of all processes in one tensor, on every process.

    Args:
        parts: First index and rows, (n, ...), of every chunk of this process.
        device: Where the result goes.

    Returns:
        The rows in the order of the indices, (N, ...).
    """
    return torch.cat(
        [rows.to(device) for rows in collected([(first, rows.cpu()) for first, rows in parts])]
    )
