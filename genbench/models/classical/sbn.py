r"""Sigmoid belief network: binary pixels x below layers of binary units h_1, ..., h_L.

    p(x, h) = p(h_L) p(h_{L-1} | h_L) ... p(x | h_1)           every unit a logistic regression on the layer above it
    q(h | x) = q(h_1 | x) q(h_2 | h_1) ... q(h_L | h_{L-1})    the recognition net, from below      (`genbench.nets.sigmoid_layers`)

Neal learns by Gibbs sampling of p(h | x). Here q does what a chain would have to do for every image:

    log p(x)  >=  E_{h_1..h_K ~ q}  L,    L = log 1/K sum_k w_k,    w_k = p(x, h_k) / q(h_k | x)

h is discrete, so that no gradient passes through its draws: they are credited by how much L is above
what it would have been without them (VIMCO, Mnih & Rezende). Nothing is learnt beside p and q:

    gradient    E sum_k (L - L_{-k}) d log q(h_k | x) + sum_k w~_k d log w_k,    w~_k = w_k / sum_j w_j
    L_{-k}      L with the geometric mean of the other weights in the place of w_k

L_{-k} does not depend on h_k, which leaves the gradient unbiased. Scores and samples are those of
`models/sigmoid_belief.py`.

References:
    Neal (1992), Connectionist learning of belief networks. Artificial Intelligence 56
    Mnih, Gregor (2014), Neural variational inference and learning in belief networks. arXiv:1402.0030
    Mnih, Rezende (2016), Variational inference for Monte Carlo objectives. arXiv:1602.06725
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.formulas.pixels import bits_per_dim
from genbench.models.sigmoid_belief import SigmoidBelief
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["SBN"]


class SBN(SigmoidBelief):
    """Binary images below layers of binary units; log_prob is a lower bound.

    Args:
        spec: The images, of two levels.
        optimizer: Optimizer of both nets.
        hidden: Units of h_1, ..., h_L, the layer above the pixels first.
        K: Draws of q for each image in the training loss, at least two.
    """

    def __init__(
        self,
        spec: Spec,
        optimizer: OptimizerFactory,
        hidden: tuple[int, ...] = (100, 50),
        K: int = 5,
    ) -> None:
        super().__init__(spec, optimizer, hidden)
        if K < 2:
            raise ValueError(f"K is at least 2, since draws are compared, not {K}")
        self.K = K

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """-L in bits/dim, with the gradient of VIMCO."""
        v = self.flat(x)[:, None].expand(-1, self.K, -1)
        states = self.q.draw(v, rng)
        log_q = self.q.log_prob(states)
        log_w = self.p.log_prob(states[::-1]) - log_q
        L = log_w.logsumexp(1) - math.log(self.K)
        signal = L.detach()[:, None] - baselines(log_w.detach())
        # Its value is 0, and its gradient is that of the second factor.
        credit = (signal * (log_q - log_q.detach())).sum(1)
        return {"loss": bits_per_dim(L + credit, self.spec.dims).mean()}


def baselines(log_w: Tensor) -> Tensor:
    """L_{-k} of every draw, (B, K) -> (B, K) nats.

    Examples:
        Of two draws each is judged by the weight of the other:

        >>> baselines(torch.tensor([[1.0, 3.0]]))
        tensor([[3., 1.]])
    """
    K = log_w.shape[1]
    geometric = (log_w.sum(1, keepdim=True) - log_w) / (K - 1)
    own = torch.eye(K, dtype=torch.bool, device=log_w.device)
    others = torch.where(own, geometric[:, :, None], log_w[:, None, :])
    return others.logsumexp(2) - math.log(K)
