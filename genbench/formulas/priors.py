r"""Priors of latents whose entries are independent, each with its map from and to normal noise.

    normal      z = eps,                    eps ~ N(0, 1)
    logistic    z = logit(Phi(eps)),        p(z) = sigmoid(z) sigmoid(-z),    eps = Phi^{-1}(sigmoid(z))

Latents are drawn, interpolated and drawn as figures as normal noise eps, whatever the prior is.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.formulas.likelihood import gaussian_log_density

__all__ = ["Prior", "from_normal", "prior_log_density", "to_normal"]

Prior = Literal["normal", "logistic"]


def prior_log_density(prior: Prior, z: Tensor) -> Tensor:
    """log p(z) in nats, elementwise.

    >>> float(prior_log_density("logistic", torch.zeros(1)).exp())
    0.25
    """
    if prior == "logistic":
        return F.logsigmoid(z) + F.logsigmoid(-z)
    return gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))


def from_normal(prior: Prior, eps: Tensor) -> Tensor:
    """Standard normal noise -> entries of the prior, by their quantiles.

    >>> from_normal("logistic", torch.tensor([0.0, 1.0]))
    tensor([0.0000, 1.6683])
    """
    if prior == "logistic":
        return torch.special.log_ndtr(eps) - torch.special.log_ndtr(-eps)
    return eps


def to_normal(prior: Prior, z: Tensor) -> Tensor:
    """Inverse of `from_normal`.

    >>> to_normal("logistic", torch.tensor([-1.6683, 1.6683]))
    tensor([-1.0000,  1.0000])
    """
    if prior == "logistic":
        # in the lower tail, where a probability is not rounded to 1
        return torch.sign(z) * -torch.special.ndtri(torch.sigmoid(-z.abs()))
    return z
