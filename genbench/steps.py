"""The training step that no model has to write: players, gradients, their mean over processes,
warm-up, learning-rate schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from genbench.batch import Batch
from genbench.optimization import Optimization
from genbench.rng import Rng

__all__ = [
    "Losses",
    "OptimizerFactory",
    "Player",
    "average_over_processes",
    "loss_and_gradients",
    "parameter_groups",
    "rate_factor",
    "warmup_factor",
]

Losses = dict[str, Tensor]
OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]


class Player(NamedTuple):
    """One side of a game: its parameters, its loss(x, y, rng), how many steps it takes in a row,
    and what makes its optimizer; None: that of the model.
    """

    parameters: list[nn.Parameter]
    loss: Callable[[Tensor, Tensor | None, Rng], Losses]
    steps: int = 1
    optimizer: OptimizerFactory | None = None


def warmup_factor(images: int, warmup_images: int) -> float:
    """Share of its learning rate with which a step is taken, when `images` have been seen, those of
    the step included.
    """
    if warmup_images:
        return min(1.0, images / warmup_images)
    return 1.0


def rate_factor(optimization: Optimization, start: int, stop: int, budget: int) -> float:
    """Share of its learning rate with which a step is taken: warm-up times schedule.

    Args:
        optimization: Both of them.
        start: Images seen before the step, over all players and processes.
        stop: Images seen after it.
        budget: Images of the whole run.
    """
    factor = warmup_factor(stop, optimization.warmup_images)
    if optimization.schedule is not None:
        factor *= optimization.schedule.factor(start, budget)
    return factor


def loss_and_gradients(
    player: Player, batch: Batch, micro_batches: int = 1
) -> tuple[Losses, list[Tensor | None]]:
    """Losses of a player, detached, and the gradients of "loss" with respect to its parameters;
    None where one is not used.

    Args:
        player: Whose loss, a mean over the images of a batch wherever micro_batches > 1.
        batch: B images.
        micro_batches: k equal parts of the batch whose graphs are held one after the other, in
            place of one graph of the batch.
    """
    totals: Losses = {}
    gradients: list[Tensor | None] = [None] * len(player.parameters)
    size = len(batch.x) // micro_batches
    for first in range(0, len(batch.x), size):
        part = _rows(batch, slice(first, first + size)) if micro_batches > 1 else batch
        losses = player.loss(part.x, part.y, part.rng)
        # autograd.grad and not backward: the other players' gradients, and DDP's hooks on them, are
        # never touched
        part_gradients = torch.autograd.grad(losses["loss"], player.parameters, allow_unused=True)
        gradients = [
            _sum(total, gradient) for total, gradient in zip(gradients, part_gradients, strict=True)
        ]
        for name, value in losses.items():
            # a copy: the model may go on using what it logs, and means replace this
            value = value.detach().clone()
            totals[name] = totals[name] + value if name in totals else value
    if micro_batches > 1:
        totals = {name: total / micro_batches for name, total in totals.items()}
        gradients = [
            None if gradient is None else gradient / micro_batches for gradient in gradients
        ]
    return totals, gradients


def _rows(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.x[rows], None if batch.y is None else batch.y[rows], batch.rng[rows])


def _sum(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    if total is None or part is None:
        if total is None:
            return part
        return total
    return total + part


def parameter_groups(optimizers: list[Optimizer]) -> Iterator[dict[str, Any]]:
    return (group for optimizer in optimizers for group in optimizer.param_groups)


def average_over_processes(tensors: list[Tensor], world_size: int) -> None:
    """One coalesced all-reduce: the mean of each tensor over the processes, in place."""
    if world_size == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world_size
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
