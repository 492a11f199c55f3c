r"""Batch normalisation whose evaluation statistics are estimated on purpose, never accumulated on
the side.

Training normalises by the statistics of the batch, over all processes that share it: with x_r the
images of process r of W,

    mean = 1/W sum_r mean x_r,    var = 1/W sum_r mean (x_r - mean)^2

and gradients flow through both sums, so that the shares of a batch are normalised as the whole
batch is by one process.

Evaluation uses the buffers `mean` and `var`, which `calibrate` fills from one large batch with the
weights that will be used. Running averages would lag behind averaged weights (and ruin their
samples), and would make the ranks of a distributed run differ.

References:
    Ioffe, Szegedy (2015), Batch Normalization. arXiv:1502.03167
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from genbench.system.processes import world_size

__all__ = ["BatchNorm", "calibrate"]


class BatchNorm(nn.Module):
    """y = scale (x - mean) / sqrt(var + eps) + shift, per channel of (B, C, ...)."""

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))
        self.eps = eps
        self.calibrating = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.batch_norm(
                x, self.mean, self.var, self.scale, self.shift, eps=self.eps
            )
        if self.calibrating:
            dims = [d for d in range(x.dim()) if d != 1]
            self.mean.copy_(x.mean(dims))
            self.var.copy_(x.var(dims, correction=0))
        # Each process calibrates on its own, while the others may do something else, so that only
        # training needs the statistics of all processes.
        elif world_size() > 1:
            return self._over_processes(x)
        return nn.functional.batch_norm(
            x, None, None, self.scale, self.shift, training=True, eps=self.eps
        )

    def _over_processes(self, x: Tensor) -> Tensor:
        """y by the statistics of the batch of all processes, each of which has the same number of
        images.
        """
        dims = [d for d in range(x.dim()) if d != 1]
        wide = x.to(self.scale.dtype)
        mean = mean_over_processes(wide.mean(dims, keepdim=True))
        var = mean_over_processes((wide - mean).square().mean(dims, keepdim=True))
        y = (wide - mean) / torch.sqrt(var + self.eps)
        shape = mean.shape
        return (self.scale.view(shape) * y + self.shift.view(shape)).to(x.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """sum_r v_r on every process; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        total = v.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return cast(Tensor, _SumOverProcesses.apply(gradient))


def mean_over_processes(v: Tensor) -> Tensor:
    """1/W sum_r v_r of the tensors that W processes have, with gradients for each of them."""
    return cast(Tensor, _SumOverProcesses.apply(v)) / world_size()


@torch.no_grad()
def calibrate(net: nn.Module, x: Tensor, cond: Tensor | None = None) -> None:
    """Set the statistics of every `BatchNorm` of a network to those of one large batch of inputs."""
    layers = [m for m in net.modules() if isinstance(m, BatchNorm)]
    training = net.training
    if not layers:
        return
    for layer in layers:
        layer.calibrating = True
    net.train()(x, cond)
    for layer in layers:
        layer.calibrating = False
    net.train(training)
