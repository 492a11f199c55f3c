r"""Helmholtz machine: a sigmoid belief network and its recognition net, learnt by waking and sleeping.

    p(x, h) = p(h_L) p(h_{L-1} | h_L) ... p(x | h_1)           top-down, x and all h binary      (`genbench.nets.sigmoid_layers`)
    q(h | x) = q(h_1 | x) q(h_2 | h_1) ... q(h_L | h_{L-1})    bottom-up

Two players, each of whom learns to predict what the other has drawn, layer by layer:

    wake     min_p  -E_{x ~ data} E_{h ~ q(h | x)} log p(x, h)         images are recognised, and the generative weights learn
    sleep    min_q  -E_{(x, h) ~ p(x, h)} log q(h | x)                 images are dreamt, and the recognition weights learn

Waking follows the gradient of the bound

    log p(x)  >=  E_{h ~ q} log w,    w = p(x, h) / q(h | x);    of K draws  E log 1/K sum_k w_k

with respect to p; `models/sigmoid_belief.py` scores and samples by it. Sleeping minimises
KL(p(h | x) || q(h | x)) over dreamt images, and not KL(q || p) over the data, which the bound has: no
gradient passes through a draw, and the two together follow the gradient of no one function.

References:
    Hinton, Dayan, Frey, Neal (1995), The wake-sleep algorithm for unsupervised neural networks.
        Science 268
    Dayan, Hinton, Neal, Zemel (1995), The Helmholtz machine. Neural Computation 7
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.formulas.pixels import bits_per_dim
from genbench.models.sigmoid_belief import SigmoidBelief
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory, Player

__all__ = ["HelmholtzMachine"]


class HelmholtzMachine(SigmoidBelief):
    """Binary images below layers of binary units, learnt by wake-sleep; log_prob is a lower bound.

    Args:
        spec: The images, of two levels.
        optimizer: Optimizer of each of the two nets.
        hidden: Units of h_1, ..., h_L, the layer above the pixels first.
    """

    def __init__(
        self, spec: Spec, optimizer: OptimizerFactory, hidden: tuple[int, ...] = (100, 50)
    ) -> None:
        super().__init__(spec, optimizer, hidden)

    def players(self) -> dict[str, Player]:
        """The generative net wakes, then the recognition net sleeps."""
        return {
            "wake": Player(list(self.p.parameters()), self.wake),
            "sleep": Player(list(self.q.parameters()), self.sleep),
        }

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """The loss of the generative net, as `wake` gives it."""
        return self.wake(x, y, rng)

    def wake(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """-log p(x, h) of h ~ q(h | x), and the bound, in bits/dim."""
        states = self.q.draw(self.flat(x), rng)
        log_p = self.p.log_prob(states[::-1])
        with torch.no_grad():
            log_w = log_p - self.q.log_prob(states)
        dims = self.spec.dims
        return {
            "loss": bits_per_dim(log_p, dims).mean(),
            "bound": bits_per_dim(log_w, dims).mean(),
        }

    def sleep(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """-log q(h | x) of dreams (x, h) ~ p, one per stream, in bits/dim. The images are not looked at."""
        dreams = self.p.draw(rng)
        log_q = self.q.log_prob(dreams[::-1])
        return {"loss": bits_per_dim(log_q, self.spec.dims).mean()}
