"""What the framework costs per training step, against a bare PyTorch loop around the same networks, loss, optimizer and average.

    python benchmarks/step.py [digits/vae digits/ddpm ...]

The bare loop draws its noise from torch's own generator and its batches from a random permutation; it has no logging, no
checkpoints and no guarantee. Both run in turns in one process; the ratio of the medians is what counts, times on a shared machine
are not.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.config.recipe import load_config
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.tracking.metrics_file import read_metrics
from genbench.training.train import train

STEPS, ROUNDS = 300, 5


class TorchRng(Rng):
    """The interface of `Rng` over torch's global generator."""

    def __init__(self, size: int) -> None:
        self.size, self.dtype = size, torch.float32

    def __len__(self) -> int:
        return self.size

    def split(self, purpose: str, k: int = 0) -> Rng:
        return self

    def uniform(self, shape: Sequence[int] = ()) -> Tensor:
        return torch.rand(self.size, *shape)

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        return torch.randn(self.size, *shape)

    def integers(self, high: int, shape: Sequence[int] = ()) -> Tensor:
        return torch.randint(high, (self.size, *shape))


def bare(name: str) -> float:
    """Seconds per step of the bare loop."""
    config = load_config(name)
    data, model = build(config)
    x, _ = data.tensors("train")
    (player,) = model.players().values()
    optimizer = model.optimizer(player.parameters)
    average = [p.detach().clone() for p in player.parameters]
    start = 0.0
    for step in range(STEPS + STEPS // 10):
        if step == STEPS // 10:
            start = time.perf_counter()
        batch = x[torch.randint(len(x), (data.batch_size,))]
        loss = player.loss(batch, None, TorchRng(data.batch_size))["loss"]
        optimizer.zero_grad()
        loss.backward()
        if config.optimization.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(player.parameters, config.optimization.clip_norm)
        optimizer.step()
        torch._foreach_lerp_(average, [p.detach() for p in player.parameters], 0.01)
    return (time.perf_counter() - start) / STEPS


def framework(name: str) -> float:
    """Seconds per step of `genbench train`, without its start and end."""
    with tempfile.TemporaryDirectory() as folder:
        batch = load_config(name).resolved["data"]["batch_size"]
        images = (STEPS + STEPS // 10) * batch
        settings = {
            "run_dir": f"{folder}/run", "wandb.mode": "disabled", "budget.images": images, "trainer.log_every": images // 11,
            "trainer.preview_every": 10 * images, "trainer.checkpoint_every": 10 * images,
        }  # fmt: skip
        run = train(load_config(name, [f"{key}={value}" for key, value in settings.items()]))
        first, *_, last = read_metrics(run.metrics)
    return (last["seconds"] - first["seconds"]) / ((last["images"] - first["images"]) / batch)


def main(names: list[str]) -> None:
    for name in names:
        pairs = [(framework(name), bare(name)) for _ in range(ROUNDS)]
        step_seconds, loop_seconds = (statistics.median(times) for times in zip(*pairs))
        print(
            f"{name}: {step_seconds * 1e3:.2f} ms per step, bare loop {loop_seconds * 1e3:.2f} ms, ratio {step_seconds / loop_seconds:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["digits/vae", "digits/ddpm"])
