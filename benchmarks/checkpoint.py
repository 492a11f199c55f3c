"""What safety costs: a checkpoint, and the look for a signal that stands between two batches.

    python benchmarks/checkpoint.py [digits/vae digits/ddpm ...]

A checkpoint is written whole, with its hash, flushed to disk and renamed; the last two are kept. Its cost is that of the call that
the training loop waits for, in a run folder below the temporary folder. The look is one of a flag on one process; on several it is a
collective of one number every 16 batches, here between two processes of this machine over gloo.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing.queues import Queue
from types import SimpleNamespace
from typing import Any

import torch
from torch import distributed

from genbench.config.recipe import load_config
from genbench.runs.build import build
from genbench.training.checkpointer import Checkpointer
from genbench.training.stop import StopRequest
from genbench.training.train import train

ROUNDS, LOOKS = 15, 2_000


def checkpoints(name: str) -> tuple[float, float, int, float]:
    """Median seconds of a checkpoint, its bytes, parameters, and median seconds of a training step."""
    seconds, written = [], Checkpointer.save

    def timed(self: Checkpointer, *arguments: Any) -> None:
        start = time.perf_counter()
        written(self, *arguments)
        seconds.append(time.perf_counter() - start)

    config = load_config(name)
    batch = config.resolved["data"]["batch_size"]
    images = 10 * ROUNDS * batch
    with tempfile.TemporaryDirectory() as folder:
        settings = {"run_dir": f"{folder}/run", "wandb.mode": "disabled", "budget.images": images,
                    "trainer.preview_every": 10 * images, "trainer.checkpoint_every": 10 * batch}  # fmt: skip
        Checkpointer.save = timed  # type: ignore[method-assign, assignment]
        try:
            run = train(load_config(name, [f"{key}={value}" for key, value in settings.items()]))
        finally:
            Checkpointer.save = written  # type: ignore[method-assign]
        size = max(path.stat().st_size for path in run.checkpoints.glob("*.ckpt"))
        steps = (run.state()["seconds"] - sum(seconds)) / (10 * ROUNDS)
    parameters = sum(p.numel() for p in build(config)[1].parameters())
    return statistics.median(seconds), size, parameters, steps


def look(world: int) -> float:
    """Seconds of one look for a signal."""
    stop, trainer = (
        StopRequest(),
        SimpleNamespace(
            world_size=world, strategy=SimpleNamespace(root_device=torch.device("cpu"))
        ),
    )
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(LOOKS):
            stop.agreed(trainer)  # type: ignore[arg-type]
        times.append((time.perf_counter() - start) / LOOKS)
    return statistics.median(times)


def rank(number: int, port: int, answers: Queue[float]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=number, world_size=2)
    seconds = look(2)
    if number == 0:
        answers.put(seconds)
    distributed.destroy_process_group()


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    answers: Queue[float] = context.Queue()
    ranks = [context.Process(target=rank, args=(number, port, answers)) for number in range(2)]
    for process in ranks:
        process.start()
    collective = answers.get(timeout=300)
    for process in ranks:
        process.join()
    every = Checkpointer.AGREE_EVERY
    print(f"look for a signal, one process: {look(1) * 1e6:.2f} microseconds per batch")
    print(
        f"two processes: {collective * 1e3:.2f} ms per look, one every {every} batches: {collective / every * 1e3:.3f} ms per batch"
    )
    for name in names:
        seconds, size, parameters, step = checkpoints(name)
        print(
            f"{name}: {parameters:,} parameters, checkpoint {size / 2**20:.1f} MiB in {seconds * 1e3:.1f} ms; a step {step * 1e3:.1f} ms"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits/vae", "digits/ddpm"])
