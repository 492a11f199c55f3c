r"""Batch normalisation whose evaluation statistics are estimated on purpose, never accumulated on the side.

Training normalises by the statistics of the batch. Evaluation uses the buffers `mean` and `var`, which `calibrate` fills from one
large batch with the weights that will be used. Running averages would lag behind averaged weights (and ruin their samples), and
would make the ranks of a distributed run differ.

References:
    Ioffe, Szegedy (2015), Batch Normalization. arXiv:1502.03167
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BatchNorm", "calibrate"]


class BatchNorm(nn.Module):
    """y = scale (x - mean) / sqrt(var + eps) + shift, per channel of (B, C, ...)."""

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))
        self.eps, self.calibrating = eps, False

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.batch_norm(x, self.mean, self.var, self.scale, self.shift, eps=self.eps)
        if self.calibrating:
            dims = [d for d in range(x.dim()) if d != 1]
            self.mean.copy_(x.mean(dims))
            self.var.copy_(x.var(dims, correction=0))
        return nn.functional.batch_norm(x, None, None, self.scale, self.shift, training=True, eps=self.eps)


@torch.no_grad()
def calibrate(net: nn.Module, x: Tensor, cond: Tensor | None = None) -> None:
    """Set the statistics of every `BatchNorm` of a network to those of one large batch of inputs."""
    layers, training = [m for m in net.modules() if isinstance(m, BatchNorm)], net.training
    if not layers:
        return
    for layer in layers:
        layer.calibrating = True
    net.train()(x, cond)
    for layer in layers:
        layer.calibrating = False
    net.train(training)
