"""The training step that no model has to write: players, gradients, their mean over processes,
warm-up, learning-rate schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from genbench.batch import Batch
from genbench.errors import InputError
from genbench.optimization import Optimization
from genbench.rng import Rng

__all__ = [
    "Losses",
    "OptimizerFactory",
    "Player",
    "check_loss",
    "check_losses",
    "losses_of",
    "note_rates",
    "rate_factor",
    "set_gradients",
    "set_rates",
    "warmup_factor",
]

Losses = dict[str, Tensor]
OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]


class Player(NamedTuple):
    """One side of a game; the whole model where there is no game.

    Attributes:
        parameters: The parameters that it learns.
        loss: Its loss(x, y, rng).
        steps: How many steps it takes before it is the turn of the next player.
        optimizer: Makes its optimizer from its parameters; None: the `optimizer` of the model makes
            it.
    """

    parameters: list[nn.Parameter]
    loss: Callable[[Tensor, Tensor | None, Rng], Losses]
    steps: int = 1
    optimizer: OptimizerFactory | None = None


def warmup_factor(images: int, warmup_images: int) -> float:
    """Factor of the learning rate during warm-up: it rises linearly from 0 to 1.

    Args:
        images: Images seen so far, those of the step included.
        warmup_images: Length of the warm-up in images; 0: there is none.
    """
    if warmup_images:
        return min(1.0, images / warmup_images)
    return 1.0


def rate_factor(optimization: Optimization, start: int, stop: int, budget: int) -> float:
    """Factor of the learning rate with which a step is taken: warm-up times schedule.

    Args:
        optimization: Holds the warm-up and the schedule.
        start: Images seen before the step, over all players and processes.
        stop: Images seen after it.
        budget: Images of the whole run.

    Raises:
        InputError: The schedule gives a factor that is negative or not finite.
    """
    warmup = warmup_factor(stop, optimization.warmup_images)
    if optimization.schedule is None:
        return warmup
    share = optimization.schedule.factor(start, budget)
    if not (isinstance(share, Real) and 0 <= share < math.inf):
        raise InputError(
            f"optimization.schedule: the factor of {type(optimization.schedule).__name__} is a "
            f"finite number and at least 0, not {share!r} at image {start:,} of {budget:,}"
        )
    return warmup * share


def check_loss(loss: Tensor, name: str) -> Tensor:
    """Return a loss as it is, if it is a scalar.

    Args:
        loss: What is to be minimised or logged.
        name: What it is, such as "the loss of Minimax.generator".

    Raises:
        InputError: It is no scalar.
    """
    if not isinstance(loss, Tensor):
        raise InputError(f"{name} is of type {type(loss).__name__}; right is a tensor, a scalar")
    if loss.dim():
        raise InputError(
            f"{name} has the shape {tuple(loss.shape)}; right is a scalar, such as the mean"
        )
    return loss


def check_losses(losses: Losses, name: str) -> Losses:
    """Return losses as they are, if a step can be taken with them.

    Args:
        losses: The values that a player, or the game that it plays, minimises and logs.
        name: The function that returned them, such as "GAN.discriminator_loss".

    Raises:
        InputError: They are no dictionary of scalars with an entry "loss".
    """
    rule = 'right is a dictionary of scalars, of which "loss" is minimised'
    if not isinstance(losses, dict):
        raise InputError(f"{name} returns a value of type {type(losses).__name__}; {rule}")
    if "loss" not in losses:
        entries = ", ".join(map(str, losses)) or "nothing"
        raise InputError(f'{name} returns {entries}, and no "loss"; {rule}')
    for key, value in losses.items():
        check_loss(value, f'entry "{key}" of {name}')
    return losses


def losses_of(player: Player, batch: Batch) -> Losses:
    """The losses of a player on a batch.

    Raises:
        InputError: They are no dictionary of scalars with an entry "loss".
    """
    losses = player.loss(batch.x, batch.y, batch.rng)
    return check_losses(losses, getattr(player.loss, "__qualname__", "the loss of a player"))


def loss_and_gradients(
    player: Player, batch: Batch, micro_batches: int = 1
) -> tuple[Losses, list[Tensor | None]]:
    """Losses of a player, and the gradients of "loss" with respect to its parameters.

    Args:
        player: Its loss is a mean over the images of a batch wherever micro_batches > 1.
        batch: B images.
        micro_batches: Number of equal parts of the batch whose graphs are held one after the other,
            in place of one graph of the batch.

    Returns:
        The losses, detached, and a gradient for every parameter; None where the loss does not use
        the parameter.
    """
    totals: Losses = {}
    gradients: list[Tensor | None] = [None] * len(player.parameters)
    size = len(batch.x) // micro_batches
    for first in range(0, len(batch.x), size):
        part = _rows(batch, slice(first, first + size)) if micro_batches > 1 else batch
        losses = losses_of(player, part)
        # With autograd.grad in place of backward, the gradients of the other players, and DDP's
        # hooks on them, are never touched.
        part_gradients = torch.autograd.grad(losses["loss"], player.parameters, allow_unused=True)
        gradients = [
            _sum(total, gradient) for total, gradient in zip(gradients, part_gradients, strict=True)
        ]
        for name, value in losses.items():
            # The value is copied: the model may go on using the tensor that it logs, and the mean
            # over the processes overwrites this one.
            value = value.detach().clone()
            totals[name] = totals[name] + value if name in totals else value
    if micro_batches > 1:
        totals = {name: total / micro_batches for name, total in totals.items()}
        gradients = [
            None if gradient is None else gradient / micro_batches for gradient in gradients
        ]
    return totals, gradients


def set_gradients(
    player: Player, batch: Batch, micro_batches: int, world_size: int, clip_norm: float | None
) -> Losses:
    """Give the parameters of a player the gradients that its next step takes: means over all
    processes, clipped.

    Args:
        player: The player that takes the step.
        batch: The images of this process.
        micro_batches: Number of parts of the batch, as in `loss_and_gradients`.
        world_size: Number of processes.
        clip_norm: Largest L2 norm of the whole gradient; None: it is not clipped.

    Returns:
        The losses, detached, means over all processes.
    """
    losses, gradients = loss_and_gradients(player, batch, micro_batches)
    for parameter, gradient in zip(player.parameters, gradients, strict=True):
        parameter.grad = gradient
    reduced = [p.grad for p in player.parameters if p.grad is not None]
    average_over_processes([*reduced, *losses.values()], world_size)
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(player.parameters, clip_norm)
    return losses


def _rows(batch: Batch, rows: slice) -> Batch:
    """Some images of a batch."""
    return Batch(batch.x[rows], None if batch.y is None else batch.y[rows], batch.rng[rows])


def _sum(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    """The sum of two gradients, of which None is zero."""
    if total is None or part is None:
        if total is None:
            return part
        return total
    return total + part


def note_rates(optimizers: list[Optimizer]) -> None:
    """Note in every parameter group the learning rate that it was made with."""
    for group in parameter_groups(optimizers):
        group["initial_lr"] = group["lr"]


def set_rates(optimizers: list[Optimizer], factor: float) -> None:
    """Set all learning rates to a share of those that `note_rates` has noted.

    Args:
        optimizers: Those of all players.
        factor: The share.
    """
    for group in parameter_groups(optimizers):
        group["lr"] = group["initial_lr"] * factor


def parameter_groups(optimizers: list[Optimizer]) -> Iterator[dict[str, Any]]:
    """The parameter groups of all optimizers; `lr` of a group is its learning rate."""
    return (group for optimizer in optimizers for group in optimizer.param_groups)


def average_over_processes(tensors: list[Tensor], world_size: int) -> None:
    """Replace each tensor by its mean over the processes, in place, by one all-reduce of all."""
    if world_size == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world_size
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))
