r"""Layers of binary units, each drawn given the layer before it by logistic regressions.

    u_0 -> u_1 -> ... -> u_L        u_l in {0, 1}^{n_l}

    a_l = b_l + W_l (2 u_{l-1} - 1),    P(u_lj = 1 | u_{l-1}) = sigma(a_lj)
    log p(u_1, ..., u_L | u_0) = sum_l sum_j u_lj a_lj - log(1 + e^{a_lj})

A unit enters as -1 or 1, so that one that is off says as much as one that is on; W and b are others
than with 0 and 1, the distributions are the same.

From images upwards they are a recognition net. With a first layer of independent units and
downwards they are the directed model that Neal calls a sigmoid belief network.

References:
    Neal (1992), Connectionist learning of belief networks. Artificial Intelligence 56
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.rng import Rng

__all__ = ["SigmoidBeliefNet", "SigmoidLayers", "log_weight", "nets_both_ways"]


class SigmoidLayers(nn.Module):
    """u_1, ..., u_L given u_0.

    Args:
        widths: n_0, ..., n_L, the numbers of units.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(
                f"sigmoid layers are at least 2, of at least 1 unit each, not {tuple(widths)}"
            )
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(widths))

    @torch.no_grad()
    def draw(self, u: Tensor, rng: Rng) -> list[Tensor]:
        """u_0, ..., u_L.

        Args:
            u: u_0, binary reals (B, ..., n_0).
            rng: One stream for each of the B.
        """
        states = [u]
        for layer in self.layers:
            states.append(_bernoulli(layer(2 * states[-1] - 1), rng))
        return states

    def log_prob(self, states: Sequence[Tensor]) -> Tensor:
        """log p(u_1, ..., u_L | u_0), (B, ...) nats.

        Args:
            states: u_0, ..., u_L, binary reals (B, ..., n_l).
        """
        total = states[0].new_zeros(())
        for layer, (parents, children) in zip(self.layers, pairwise(states), strict=True):
            total = total + _log_mass(children, layer(2 * parents - 1))
        return total


class SigmoidBeliefNet(nn.Module):
    """u_0 of independent units, P(u_0j = 1) = sigma(b_0j), and u_1, ..., u_L below it.

    Args:
        widths: n_0, ..., n_L, the numbers of units.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.below = SigmoidLayers(widths)
        self.b_0 = nn.Parameter(torch.zeros(widths[0]))

    def draw(self, rng: Rng) -> list[Tensor]:
        """u_0, ..., u_L, binary reals (len(rng), n_l)."""
        top = _bernoulli(self.b_0.detach().expand(len(rng), -1), rng)
        return self.below.draw(top, rng)

    def log_prob(self, states: Sequence[Tensor]) -> Tensor:
        """log p(u_0, ..., u_L), (B, ...) nats.

        Args:
            states: u_0, ..., u_L, binary reals (B, ..., n_l).
        """
        return _log_mass(states[0], self.b_0) + self.below.log_prob(states)


def nets_both_ways(dims: int, hidden: Sequence[int]) -> tuple[SigmoidBeliefNet, SigmoidLayers]:
    """p(x, h) from the top layer down to the pixels, and q(h | x) from the pixels up.

    Args:
        dims: Pixels.
        hidden: Units of h_1, ..., h_L, the layer above the pixels first.
    """
    if not hidden or min(hidden) < 1:
        raise ValueError(f"hidden is at least one layer of at least 1 unit, not {tuple(hidden)}")
    return SigmoidBeliefNet((*reversed(hidden), dims)), SigmoidLayers((dims, *hidden))


def log_weight(p: SigmoidBeliefNet, q: SigmoidLayers, x: Tensor, rng: Rng) -> Tensor:
    """log p(x, h) / q(h | x) of one h ~ q(h | x), (B,) nats.

    Args:
        p: From the top layer down to x.
        q: From x up to the top layer.
        x: Binary reals (B, D).
        rng: One stream per image.
    """
    states = q.draw(x, rng)
    return p.log_prob(states[::-1]) - q.log_prob(states)


def _bernoulli(log_odds: Tensor, rng: Rng) -> Tensor:
    """Binary reals of log odds (B, ...), by one stream for each of the B."""
    return (rng.uniform(log_odds.shape[1:]) < torch.sigmoid(log_odds)).to(log_odds)


def _log_mass(u: Tensor, log_odds: Tensor) -> Tensor:
    """log p of independent bits, (..., n) -> (...) nats."""
    return (u * log_odds - F.softplus(log_odds)).sum(-1)
